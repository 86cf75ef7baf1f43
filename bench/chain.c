#include "bench.h"
#include "chain.h"

#include <inttypes.h>
#include <math.h>

static void leave(kb_sim *sim, void *object, uint64_t arg)
{
    (void)arg;
    chain_message *message = object;
    chain *c = message->chain;
    c->delivered++;
    c->latency += kb_sim_now(sim) - message->sent;
    c->resume(sim, message->source, 0);
}

static void arrive(kb_sim *sim, void *object, uint64_t hop)
{
    chain_message *message = object;
    kb_link *link = &message->chain->link[hop];
    kb_time left = kb_link_claim(link, kb_sim_now(sim), CHAIN_SERVICE, 1);
    kb_sim_at(sim, left, hop + 1 < CHAIN_LINKS ? arrive : leave, message, hop + 1);
}

void chain_send(kb_sim *sim, chain_message *message)
{
    message->sent = kb_sim_now(sim);
    arrive(sim, message, 0);
}

/* The generator of the model's definition: x <- (1103515245 x + 12345) mod 2^31. */
uint32_t chain_seed(uint32_t source)
{
    return (2654435761u * source + 12345u) & 0x7fffffffu;
}

kb_time chain_wait(uint32_t *state)
{
    *state = (1103515245u * *state + 12345u) & 0x7fffffffu;
    return 1 + (*state >> 8) % 4800;
}

void chain_check(const chain *c, const kb_sim *sim)
{
    kb_time waited = 0, served = (kb_time)CHAIN_MESSAGES * CHAIN_SERVICE;
    for (int i = 0; i < CHAIN_LINKS; i++) {
        waited += c->link[i].waited;
        if (c->link[i].busy != served)
            bench_abort("chain: link %d was busy for %" PRIu64 ", not %" PRIu64, i, c->link[i].busy,
                        served);
    }
    double mean = (double)c->latency / CHAIN_MESSAGES;
    if (c->delivered != CHAIN_MESSAGES || kb_sim_now(sim) != CHAIN_END ||
        fabs(mean - CHAIN_MEAN_LATENCY) > 0.0005)
        bench_abort("chain: %" PRIu64 " messages, end %" PRIu64
                    ", mean latency %.4f; not %d, %" PRIu64 ", %.3f",
                    c->delivered, kb_sim_now(sim), mean, CHAIN_MESSAGES, CHAIN_END,
                    CHAIN_MEAN_LATENCY);
    if (c->latency != waited + CHAIN_LINKS * served)
        bench_abort("chain: the latency is not the sum of waits and services");
}

/* A source written in C, as a state machine of one state. */
typedef struct source {
    chain_message message;
    uint32_t random, remaining;
} source;

static void send_now(kb_sim *sim, void *object, uint64_t arg)
{
    (void)arg;
    chain_send(sim, &((source *)object)->message);
}

static void wait_next(kb_sim *sim, void *object, uint64_t arg)
{
    (void)arg;
    source *s = object;
    if (s->remaining-- > 0) kb_sim_after(sim, chain_wait(&s->random), send_now, s, 0);
}

static kb_run run_c(uint64_t parameter)
{
    (void)parameter;
    kb_sim *sim = kb_sim_create();
    chain c = {.resume = wait_next};
    source sources[CHAIN_SOURCES];
    double begin = bench_clock();
    for (uint32_t i = 0; i < CHAIN_SOURCES; i++) {
        source *s = &sources[i];
        *s = (source){{&c, s, 0}, chain_seed(i), CHAIN_REPEATS};
        wait_next(sim, s, 0);
    }
    kb_sim_run(sim, KB_TIME_NEVER, UINT64_MAX);
    double seconds = bench_clock() - begin;
    chain_check(&c, sim);
    kb_sim_destroy(sim);
    return (kb_run){CHAIN_HOPS, seconds};
}

const kb_rate bench_chain_rates[] = {
    {"chain_c", "link hops", "chain model on the event kernel alone, sources in C", run_c, 0},
    {0},
};

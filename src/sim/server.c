#include "sim/server.h"

#include <assert.h>

void kb_server_init(kb_server *server, uint32_t capacity)
{
    assert(capacity > 0);
    *server = (kb_server){.capacity = capacity};
}

void kb_server_settle(kb_server *server, const kb_sim *sim)
{
    kb_time elapsed = kb_sim_now(sim) - server->changed;
    server->busy_integral += server->in_use * elapsed;
    server->queued_integral += server->queued * elapsed;
    server->changed = kb_sim_now(sim);
}

static void grant(kb_server *server, kb_sim *sim, const kb_waiter *w)
{
    server->grants++;
    kb_sim_at(sim, kb_sim_now(sim), w->fn, w->object, w->arg);
}

/* A unit at once, or one more in the queue. */
static bool take_or_queue(kb_server *server, kb_sim *sim, const kb_waiter *w)
{
    kb_server_settle(server, sim);
    if (server->in_use < server->capacity) {
        server->in_use++;
        grant(server, sim, w);
        return true;
    }
    if (++server->queued > server->queued_max) server->queued_max = server->queued;
    return false;
}

void kb_server_acquire(kb_server *server, kb_sim *sim, kb_waiter *w)
{
    if (take_or_queue(server, sim, w)) return;
    w->next = NULL;
    if (server->tail)
        server->tail->next = w;
    else
        server->head = w;
    server->tail = w;
}

void kb_server_acquire_alike(kb_server *server, kb_sim *sim, kb_event_fn fn, void *object,
                             uint64_t arg)
{
    server->alike = (kb_waiter){.fn = fn, .object = object, .arg = arg};
    take_or_queue(server, sim, &server->alike);
}

/* A unit that somebody waits for passes to him directly and is never free in between, so that
 * nobody who comes at the same time can overtake the queue. */
void kb_server_release(kb_server *server, kb_sim *sim)
{
    assert(server->in_use > 0);
    kb_server_settle(server, sim);
    if (!server->queued) {
        server->in_use--;
        return;
    }
    const kb_waiter *w = server->head ? server->head : &server->alike;
    if (server->head) server->head = w->next;
    if (!server->head) server->tail = NULL;
    server->queued--;
    grant(server, sim, w);
}

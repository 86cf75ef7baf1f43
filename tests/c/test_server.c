#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/err.h"
#include "base/rng.h"
#include "sim/server.h"

/* Customers with fixed times of arrival and service, noting when each was granted. */
typedef struct customer {
    kb_waiter waiter;
    kb_time service, granted;
} customer;

typedef struct shop {
    kb_sim *sim;
    kb_server server;
    customer customer[8];
} shop;

static shop *shop_of(void *object, uint64_t number)
{
    return (shop *)((char *)((customer *)object - number) - offsetof(shop, customer));
}

static void depart(kb_sim *sim, void *object, uint64_t number)
{
    kb_server_release(&shop_of(object, number)->server, sim);
}

static void be_served(kb_sim *sim, void *object, uint64_t number)
{
    customer *c = object;
    c->granted = kb_sim_now(sim);
    kb_sim_after(sim, c->service, depart, c, number);
}

static void come(kb_sim *sim, void *object, uint64_t number)
{
    customer *c = object;
    c->waiter = (kb_waiter){.fn = be_served, .object = c, .arg = number};
    kb_server_acquire(&shop_of(object, number)->server, sim, &c->waiter);
}

static void expect(shop *s, uint64_t number, kb_time arrival, kb_time service)
{
    s->customer[number].service = service;
    kb_sim_at(s->sim, arrival, come, &s->customer[number], number);
}

static void run(shop *s)
{
    assert_int_equal(kb_sim_run(s->sim, KB_TIME_NEVER, UINT64_MAX), KB_RUN_EMPTY);
    kb_server_settle(&s->server, s->sim);
}

static int set_up(void **state)
{
    shop *s = kb_xcalloc(1, sizeof *s);
    s->sim = kb_sim_create();
    *state = s;
    return 0;
}

static int tear_down(void **state)
{
    shop *s = *state;
    kb_sim_destroy(s->sim);
    free(s);
    return 0;
}

static void a_free_unit_is_granted_at_once(void **state)
{
    shop *s = *state;
    kb_server_init(&s->server, 2);
    expect(s, 0, 100, 50);
    expect(s, 1, 120, 50);
    run(s);
    assert_int_equal(s->customer[0].granted, 100);
    assert_int_equal(s->customer[1].granted, 120);
    assert_int_equal(s->server.in_use, 0);
    assert_int_equal(s->server.queued_max, 0);
}

static void waiters_are_granted_in_the_order_of_their_requests(void **state)
{
    shop *s = *state;
    kb_server_init(&s->server, 1);
    for (uint64_t i = 0; i < 5; i++) expect(s, i, 10 + i, 100);
    run(s);
    for (uint64_t i = 0; i < 5; i++) assert_int_equal(s->customer[i].granted, 10 + i * 100);
    assert_int_equal(s->server.grants, 5);
    assert_int_equal(s->server.queued_max, 4);
}

static void as_many_hold_a_unit_as_there_are(void **state)
{
    shop *s = *state;
    kb_server_init(&s->server, 3);
    for (uint64_t i = 0; i < 7; i++) expect(s, i, 0, 100);
    run(s);
    for (uint64_t i = 0; i < 7; i++) assert_int_equal(s->customer[i].granted, i / 3 * 100);
}

static void one_who_comes_as_a_unit_is_released_does_not_overtake_the_queue(void **state)
{
    shop *s = *state;
    kb_server_init(&s->server, 1);
    expect(s, 0, 0, 100);
    expect(s, 1, 50, 10);
    expect(s, 2, 100, 10); /* runs before the release, which was scheduled later */
    run(s);
    assert_int_equal(s->customer[1].granted, 100);
    assert_int_equal(s->customer[2].granted, 110);
}

static void integrals_are_exact(void **state)
{
    shop *s = *state;
    kb_server_init(&s->server, 2);
    expect(s, 0, 0, 100);
    expect(s, 1, 10, 100);
    expect(s, 2, 20, 30); /* waits from 20 to 100, leaves at 130 */
    expect(s, 3, 40, 30); /* waits from 40 to 110, leaves at 140 */
    run(s);
    assert_int_equal(s->server.queued_integral, (100 - 20) + (110 - 40));
    assert_int_equal(s->server.busy_integral, 100 + 100 + 30 + 30);
    assert_int_equal(s->server.changed, 140);
}

static void settling_counts_the_time_since_the_last_change(void **state)
{
    shop *s = *state;
    kb_server_init(&s->server, 1);
    expect(s, 0, 0, 1000);
    expect(s, 1, 0, 1000);
    kb_sim_run(s->sim, KB_TIME_NEVER, 3);
    expect(s, 2, 500, 1000);
    kb_sim_run(s->sim, 500, UINT64_MAX);
    kb_server_settle(&s->server, s->sim);
    assert_int_equal(s->server.busy_integral, 500);
    assert_int_equal(s->server.queued_integral, 500);
}

/* One queue with random arrivals. Means are in ticks; a service takes SERVICE on average. */
enum { SERVICE = 10000 };

typedef struct queue {
    kb_server server;
    kb_rng rng;
    double gap; /* mean time between arrivals */
    bool random_service;
    uint64_t arrivals; /* still to come */
    kb_time residence; /* sum over those who have left */
    kb_pool guests;
} queue;

typedef struct guest {
    kb_waiter waiter;
    queue *queue;
    kb_time arrival;
} guest;

static kb_time exponential(kb_rng *rng, double mean)
{
    return (kb_time)(-log(1 - kb_rng_unit(rng)) * mean + 0.5);
}

static void guest_leaves(kb_sim *sim, void *object, uint64_t arg)
{
    (void)arg;
    guest *g = object;
    queue *q = g->queue;
    q->residence += kb_sim_now(sim) - g->arrival;
    kb_server_release(&q->server, sim);
    kb_pool_give(&q->guests, g);
}

static void guest_is_served(kb_sim *sim, void *object, uint64_t arg)
{
    (void)arg;
    guest *g = object;
    queue *q = g->queue;
    kb_time service = q->random_service ? exponential(&q->rng, SERVICE) : SERVICE;
    kb_sim_after(sim, service, guest_leaves, g, 0);
}

static void guest_comes(kb_sim *sim, void *object, uint64_t arg)
{
    (void)arg;
    queue *q = object;
    guest *g = kb_pool_take(&q->guests);
    *g = (guest){{.fn = guest_is_served, .object = g}, q, kb_sim_now(sim)};
    kb_server_acquire(&q->server, sim, &g->waiter);
    if (--q->arrivals) kb_sim_after(sim, exponential(&q->rng, q->gap), guest_comes, q, 0);
}

/* Run the queue until all have left; returns its mean wait in services. */
static double mean_wait(double load, bool random_service, uint64_t arrivals)
{
    queue q = {
        .rng = {5}, .gap = SERVICE / load, .random_service = random_service, .arrivals = arrivals};
    kb_sim *sim = kb_sim_create();
    kb_server_init(&q.server, 1);
    kb_pool_init(&q.guests, sizeof(guest));
    kb_sim_at(sim, 0, guest_comes, &q, 0);
    kb_sim_run(sim, KB_TIME_NEVER, UINT64_MAX);
    kb_server_settle(&q.server, sim);
    assert_int_equal(q.server.grants, arrivals);

    /* Little's law, 0.1 %: mean occupancy = throughput x mean residence. */
    double elapsed = (double)kb_sim_now(sim), guests = (double)arrivals;
    double occupancy = (double)(q.server.busy_integral + q.server.queued_integral) / elapsed;
    double residence = (double)q.residence / guests;
    assert_true(fabs(occupancy / (guests / elapsed * residence) - 1) < 0.001);

    kb_sim_destroy(sim);
    kb_pool_fini(&q.guests);
    return (double)q.server.queued_integral / guests / SERVICE;
}

static void near(double measured, double expected, double tolerance)
{
    if (fabs(measured / expected - 1) > tolerance)
        fail_msg("mean wait is %.4f services, not %.4f", measured, expected);
}

/* Grants of a server whose customers are alike. */
typedef struct counter {
    kb_server server;
    kb_time granted[5];
    uint32_t count;
} counter;

static void one_departs(kb_sim *sim, void *object, uint64_t arg)
{
    (void)arg;
    kb_server_release(&((counter *)object)->server, sim);
}

static void one_is_served(kb_sim *sim, void *object, uint64_t service)
{
    counter *c = object;
    c->granted[c->count++] = kb_sim_now(sim);
    kb_sim_after(sim, service, one_departs, c, 0);
}

/* Five at once for two units, each for 10 ps: three wait at first, then one. */
static void customers_that_are_alike_need_no_records(void **state)
{
    const shop *s = *state;
    counter c = {.count = 0};
    kb_server_init(&c.server, 2);
    for (int i = 0; i < 5; i++) kb_server_acquire_alike(&c.server, s->sim, one_is_served, &c, 10);
    assert_int_equal(kb_sim_run(s->sim, KB_TIME_NEVER, UINT64_MAX), KB_RUN_EMPTY);
    static const kb_time granted[] = {0, 0, 10, 10, 20};
    assert_int_equal(c.count, 5);
    assert_memory_equal(c.granted, granted, sizeof granted);
    assert_int_equal(c.server.grants, 5);
    assert_int_equal(c.server.queued_max, 3);
    assert_int_equal(c.server.queued_integral, 3 * 10 + 1 * 10);
    assert_int_equal(c.server.busy_integral, 2 * 20 + 1 * 10);
}

/* W = rho s / 2(1 - rho). The mean of n waits has a relative error that grows like
 * 1 / (1 - rho) sqrt(n), hence more arrivals for the high load. */
static void waits_for_constant_service_are_those_of_m_d_1(void **state)
{
    (void)state;
    near(mean_wait(0.5, false, 1000000), 0.5 / (2 * 0.5), 0.03);
    near(mean_wait(0.9, false, 2000000), 0.9 / (2 * 0.1), 0.03);
}

/* W = rho s / (1 - rho) */
static void waits_for_exponential_service_are_those_of_m_m_1(void **state)
{
    (void)state;
    near(mean_wait(0.5, true, 1000000), 0.5 / 0.5, 0.03);
    near(mean_wait(0.9, true, 4000000), 0.9 / 0.1, 0.03);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_free_unit_is_granted_at_once),
        TEST(waiters_are_granted_in_the_order_of_their_requests),
        TEST(as_many_hold_a_unit_as_there_are),
        TEST(one_who_comes_as_a_unit_is_released_does_not_overtake_the_queue),
        TEST(integrals_are_exact),
        TEST(settling_counts_the_time_since_the_last_change),
        TEST(customers_that_are_alike_need_no_records),
        cmocka_unit_test(waits_for_constant_service_are_those_of_m_d_1),
        cmocka_unit_test(waits_for_exponential_service_are_those_of_m_m_1),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/err.h"
#include "base/rng.h"
#include "sim/link.h"
#include "sim/sim.h"

static void an_idle_link_passes_a_unit_in_its_occupancy(void **state)
{
    (void)state;
    kb_link link = {0};
    kb_time flit = kb_time_transfer(256, 204.8); /* 256 B / 204.8 GB/s = 1.25 ns */
    assert_int_equal(flit, 1250);
    assert_int_equal(kb_link_claim(&link, 7000, flit, 256), 7000 + 1250);
    assert_int_equal(link.waited, 0);
}

static void units_that_are_ready_together_leave_back_to_back(void **state)
{
    (void)state;
    kb_link link = {0};
    for (kb_time i = 1; i <= 10; i++)
        assert_int_equal(kb_link_claim(&link, 500, 1250, 256), 500 + i * 1250);
    assert_int_equal(link.busy, 10 * 1250);
    assert_int_equal(link.bytes, 10 * 256);
    assert_int_equal(link.waited, 1250 * (9 * 10 / 2)); /* the i-th waits for i before it */
}

/* Of 1 and 7 units, on a link that is free and one that is not. */
static void a_row_of_units_is_claimed_as_its_units_are(void **state)
{
    (void)state;
    for (uint64_t count = 1; count <= 7; count += 6) {
        for (kb_time ready = 100; ready <= 1000; ready += 900) {
            kb_link row = {.free = 500}, single = row;
            kb_time left = kb_link_claim(&single, ready, 1300, 256);
            for (uint64_t i = 1; i < count; i++) kb_link_claim(&single, ready, 1000, 256);
            assert_int_equal(kb_link_claim_row(&row, ready, 1300, 1000, count, count * 256), left);
            assert_memory_equal(&row, &single, sizeof row);
        }
    }
}

static void a_gap_in_the_traffic_is_not_made_up_for(void **state)
{
    (void)state;
    kb_link link = {0};
    assert_int_equal(kb_link_claim(&link, 0, 100, 1), 100);
    assert_int_equal(kb_link_claim(&link, 1000, 100, 1), 1100);
    assert_int_equal(kb_link_claim(&link, 1050, 100, 1), 1200);
    assert_int_equal(link.busy, 300);
    assert_int_equal(link.waited, 1100 - 1050);
}

static void a_unit_that_is_ready_as_the_link_falls_free_does_not_wait(void **state)
{
    (void)state;
    kb_link link = {0};
    kb_link_claim(&link, 0, 100, 1);
    assert_int_equal(kb_link_claim(&link, 100, 100, 1), 200);
    assert_int_equal(link.waited, 0);
}

/* Senders that put flits into one link, each the next flit as soon as its last one has left. */
typedef struct funnel {
    kb_link link;
    kb_time flit, last;
} funnel;

static void send_flits(kb_sim *sim, void *object, uint64_t flits)
{
    funnel *f = object;
    f->last = kb_link_claim(&f->link, kb_sim_now(sim), f->flit, 256);
    if (flits > 1) kb_sim_at(sim, f->last, send_flits, f, flits - 1);
}

static void fan_in_of_k_senders_takes_k_times_the_bytes_over_the_bandwidth(void **state)
{
    (void)state;
    for (uint64_t senders = 1; senders <= 64; senders *= 4) {
        enum { FLITS = 100 };
        kb_sim *sim = kb_sim_create();
        funnel f = {.flit = kb_time_transfer(256, 204.8)};
        for (uint64_t k = 0; k < senders; k++) kb_sim_at(sim, 0, send_flits, &f, FLITS);
        kb_sim_run(sim, KB_TIME_NEVER, UINT64_MAX);
        /* K * S / beta, with S = 100 * 256 B; 204.8 GB/s is 0.2048 B/ps, or 4.8828125 ps/B. */
        assert_int_equal(f.last, senders * FLITS * 256 * 48828125 / 10000000);
        assert_int_equal(f.link.bytes, senders * FLITS * 256);
        assert_int_equal(f.link.busy, f.last);
        kb_sim_destroy(sim);
    }
}

/* Messages that walk along a row of links at random times, with all durations times `scale`. */
enum { ROW = 6, WALKS = 500 };

typedef struct row {
    kb_link link[ROW];
    kb_time scale, left[WALKS];
} row;

static void walk(kb_sim *sim, void *object, uint64_t arg)
{
    row *r = object;
    uint64_t message = arg / (ROW + 1), hop = arg % (ROW + 1);
    if (hop == ROW) {
        r->left[message] = kb_sim_now(sim);
        return;
    }
    kb_time occupancy = r->scale * (100 + 37 * hop), propagation = r->scale * 11;
    kb_time left = kb_link_claim(&r->link[hop], kb_sim_now(sim), occupancy, 256);
    kb_sim_at(sim, left + propagation, walk, r, arg + 1);
}

static row walk_row(kb_time scale)
{
    row r = {.scale = scale};
    kb_sim *sim = kb_sim_create();
    kb_rng rng = {3};
    for (uint64_t m = 0; m < WALKS; m++)
        kb_sim_at(sim, scale * kb_rng_below(&rng, 100000), walk, &r, m * (ROW + 1));
    kb_sim_run(sim, KB_TIME_NEVER, UINT64_MAX);
    kb_sim_destroy(sim);
    return r;
}

static void clocks_k_times_slower_scale_every_time_by_k(void **state)
{
    (void)state;
    row base = walk_row(1);
    assert_true(base.link[ROW - 1].waited > 0); /* or else the test says little */
    for (kb_time k = 2; k < 100; k = 3 * k + 1) {
        row slow = walk_row(k);
        for (int m = 0; m < WALKS; m++) assert_int_equal(slow.left[m], k * base.left[m]);
        for (int i = 0; i < ROW; i++) {
            assert_int_equal(slow.link[i].waited, k * base.link[i].waited);
            assert_int_equal(slow.link[i].busy, k * base.link[i].busy);
        }
    }
}

static void an_idle_path_costs_the_sum_of_its_parts(void **state)
{
    (void)state;
    row r = {.scale = 1};
    kb_sim *sim = kb_sim_create();
    kb_sim_at(sim, 1000, walk, &r, 0);
    kb_sim_run(sim, KB_TIME_NEVER, UINT64_MAX);
    assert_int_equal(r.left[0], 1000 + 6 * 100 + 37 * (0 + 1 + 2 + 3 + 4 + 5) + 6 * 11);
    kb_sim_destroy(sim);
}

static void durations_are_rounded_to_the_nearest_picosecond(void **state)
{
    (void)state;
    assert_int_equal(kb_time_transfer(1, 3.0), 333); /* 333.3 */
    assert_int_equal(kb_time_transfer(2, 3.0), 667); /* 666.7 */
    assert_int_equal(kb_time_cycles(1, 1.4), 714);   /* 714.29 */
    assert_int_equal(kb_time_cycles(7, 1.4), 5000);
    assert_int_equal(kb_time_from_ns(0.0005), 1);
    assert_int_equal(kb_time_from_ns(12.5), 12500);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_idle_link_passes_a_unit_in_its_occupancy),
        cmocka_unit_test(units_that_are_ready_together_leave_back_to_back),
        cmocka_unit_test(a_row_of_units_is_claimed_as_its_units_are),
        cmocka_unit_test(a_gap_in_the_traffic_is_not_made_up_for),
        cmocka_unit_test(a_unit_that_is_ready_as_the_link_falls_free_does_not_wait),
        cmocka_unit_test(fan_in_of_k_senders_takes_k_times_the_bytes_over_the_bandwidth),
        cmocka_unit_test(clocks_k_times_slower_scale_every_time_by_k),
        cmocka_unit_test(an_idle_path_costs_the_sum_of_its_parts),
        cmocka_unit_test(durations_are_rounded_to_the_nearest_picosecond),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/err.h"
#include "sim/sim.h"

/* What ran, and when: each event appends its argument. */
typedef struct diary {
    kb_sim *sim;
    size_t count;
    uint64_t what[64];
    kb_time when[64];
} diary;

static int set_up(void **state)
{
    diary *d = kb_xcalloc(1, sizeof *d);
    d->sim = kb_sim_create();
    *state = d;
    return 0;
}

static int tear_down(void **state)
{
    diary *d = *state;
    kb_sim_destroy(d->sim);
    free(d);
    return 0;
}

static void note(kb_sim *sim, void *object, uint64_t arg)
{
    diary *d = object;
    d->what[d->count] = arg;
    d->when[d->count++] = kb_sim_now(sim);
}

static void note_and_follow_up(kb_sim *sim, void *object, uint64_t arg)
{
    note(sim, object, arg);
    kb_sim_at(sim, kb_sim_now(sim), note, object, arg + 100);
}

static void note_and_stop(kb_sim *sim, void *object, uint64_t arg)
{
    note(sim, object, arg);
    kb_sim_stop(sim);
}

static kb_run_end run_all(kb_sim *sim)
{
    return kb_sim_run(sim, KB_TIME_NEVER, UINT64_MAX);
}

static void events_run_in_the_order_of_their_times(void **state)
{
    diary *d = *state;
    kb_sim_at(d->sim, 7000, note, d, 3);
    kb_sim_at(d->sim, 5, note, d, 1);
    kb_sim_at(d->sim, 90, note, d, 2);
    assert_int_equal(run_all(d->sim), KB_RUN_EMPTY);
    assert_int_equal(d->count, 3);
    for (uint64_t i = 0; i < 3; i++) assert_int_equal(d->what[i], i + 1);
    assert_int_equal(d->when[1], 90);
    assert_int_equal(kb_sim_now(d->sim), 7000);
    assert_int_equal(d->sim->events, 3);
}

static void events_of_one_time_run_in_the_order_of_scheduling(void **state)
{
    diary *d = *state;
    for (uint64_t i = 0; i < 60; i++) kb_sim_at(d->sim, 123456, note, d, i);
    run_all(d->sim);
    for (uint64_t i = 0; i < 60; i++) assert_int_equal(d->what[i], i);
}

static void an_event_scheduled_for_now_runs_after_those_already_due_now(void **state)
{
    diary *d = *state;
    kb_sim_at(d->sim, 10, note_and_follow_up, d, 1);
    kb_sim_at(d->sim, 10, note, d, 2);
    kb_sim_at(d->sim, 11, note, d, 3);
    run_all(d->sim);
    static const uint64_t expected[] = {1, 2, 101, 3};
    assert_int_equal(d->count, 4);
    for (size_t i = 0; i < 4; i++) assert_int_equal(d->what[i], expected[i]);
    assert_int_equal(d->when[2], 10);
}

static void a_delay_counts_from_now(void **state)
{
    diary *d = *state;
    kb_sim_after(d->sim, 40, note, d, 0);
    run_all(d->sim);
    kb_sim_after(d->sim, 2, note, d, 0);
    run_all(d->sim);
    assert_int_equal(d->when[1], 40 + 2);
}

static void an_empty_simulation_ends_at_once(void **state)
{
    diary *d = *state;
    assert_int_equal(run_all(d->sim), KB_RUN_EMPTY);
    assert_int_equal(kb_sim_run(d->sim, 0, 0), KB_RUN_EMPTY);
    assert_int_equal(kb_sim_now(d->sim), 0);
}

static void a_time_limit_includes_its_own_time(void **state)
{
    diary *d = *state;
    kb_sim_at(d->sim, 100, note, d, 1);
    kb_sim_at(d->sim, 101, note, d, 2);
    assert_int_equal(kb_sim_run(d->sim, 100, UINT64_MAX), KB_RUN_TIME);
    assert_int_equal(d->count, 1);
    assert_int_equal(kb_sim_pending(d->sim), 1);
    assert_int_equal(kb_sim_now(d->sim), 100);
}

static void time_passes_without_events_up_to_the_next_one(void **state)
{
    diary *d = *state;
    kb_sim_at(d->sim, 100, note, d, 1);
    kb_sim_at(d->sim, 200, note, d, 2);
    assert_int_equal(kb_sim_run(d->sim, 150, UINT64_MAX), KB_RUN_TIME);
    assert_int_equal(kb_sim_now(d->sim), 100);
    kb_sim_rest(d->sim, 150);
    kb_sim_rest(d->sim, 120); /* which is over */
    assert_int_equal(kb_sim_now(d->sim), 150);
    kb_sim_after(d->sim, 10, note, d, 3);
    assert_int_equal(run_all(d->sim), KB_RUN_EMPTY);
    assert_int_equal(d->what[1], 3);
    assert_int_equal(d->what[2], 2);
}

static void what_is_scheduled_after_a_time_limit_may_precede_what_was_pending(void **state)
{
    diary *d = *state;
    kb_sim_at(d->sim, 1000000, note, d, 2);
    kb_sim_at(d->sim, 1000001, note, d, 3);
    assert_int_equal(kb_sim_run(d->sim, 999999, UINT64_MAX), KB_RUN_TIME);
    kb_sim_at(d->sim, 5, note, d, 1);
    assert_int_equal(run_all(d->sim), KB_RUN_EMPTY);
    for (uint64_t i = 0; i < 3; i++) assert_int_equal(d->what[i], i + 1);
}

static void an_event_limit_counts_the_events_of_its_own_call(void **state)
{
    diary *d = *state;
    for (uint64_t i = 0; i < 5; i++) kb_sim_at(d->sim, i, note, d, i);
    assert_int_equal(kb_sim_run(d->sim, KB_TIME_NEVER, 2), KB_RUN_EVENTS);
    assert_int_equal(d->count, 2);
    assert_int_equal(kb_sim_run(d->sim, KB_TIME_NEVER, 0), KB_RUN_EVENTS);
    assert_int_equal(kb_sim_run(d->sim, KB_TIME_NEVER, 2), KB_RUN_EVENTS);
    assert_int_equal(d->count, 4);
    assert_int_equal(kb_sim_run(d->sim, KB_TIME_NEVER, UINT64_MAX - 1), KB_RUN_EMPTY);
    assert_int_equal(d->count, 5);
}

static void a_stop_takes_effect_after_the_present_event(void **state)
{
    diary *d = *state;
    kb_sim_at(d->sim, 1, note_and_stop, d, 1);
    kb_sim_at(d->sim, 1, note, d, 2);
    assert_int_equal(run_all(d->sim), KB_RUN_STOPPED);
    assert_int_equal(d->count, 1);
    assert_int_equal(run_all(d->sim), KB_RUN_EMPTY);
    assert_int_equal(d->count, 2);
}

static void repeat(kb_sim *sim, void *object, uint64_t remaining)
{
    if (remaining) kb_sim_after(sim, 64 * remaining, repeat, object, remaining - 1);
}

static void a_steady_number_of_events_needs_no_more_memory(void **state)
{
    diary *d = *state;
    kb_sim_at(d->sim, 0, repeat, d, 10);
    run_all(d->sim);
    void *chunks = d->sim->pool.chunks;
    for (int i = 0; i < 100; i++) kb_sim_after(d->sim, (kb_time)i, repeat, d, 1000);
    run_all(d->sim);
    assert_ptr_equal(d->sim->pool.chunks, chunks);
    assert_int_equal(kb_sim_pending(d->sim), 0);
}

static void two_simulations_keep_their_own_time(void **state)
{
    diary *d = *state;
    kb_sim *other = kb_sim_create();
    kb_sim_at(d->sim, 10, note, d, 1);
    kb_sim_at(other, 3, note, d, 2);
    run_all(d->sim);
    run_all(other);
    assert_int_equal(kb_sim_now(d->sim), 10);
    assert_int_equal(kb_sim_now(other), 3);
    kb_sim_destroy(other);
}

/* More events than one chunk of the pool holds; the sanitizer build sees whether all are freed. */
static void destruction_drops_what_is_pending(void **state)
{
    diary *d = *state;
    for (uint64_t i = 0; i < 10000; i++) kb_sim_at(d->sim, i * i, note, d, i);
    assert_int_equal(kb_sim_pending(d->sim), 10000);
    kb_sim_destroy(NULL);
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(events_run_in_the_order_of_their_times),
        TEST(events_of_one_time_run_in_the_order_of_scheduling),
        TEST(an_event_scheduled_for_now_runs_after_those_already_due_now),
        TEST(a_delay_counts_from_now),
        TEST(an_empty_simulation_ends_at_once),
        TEST(a_time_limit_includes_its_own_time),
        TEST(time_passes_without_events_up_to_the_next_one),
        TEST(what_is_scheduled_after_a_time_limit_may_precede_what_was_pending),
        TEST(an_event_limit_counts_the_events_of_its_own_call),
        TEST(a_stop_takes_effect_after_the_present_event),
        TEST(a_steady_number_of_events_needs_no_more_memory),
        TEST(two_simulations_keep_their_own_time),
        TEST(destruction_drops_what_is_pending),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

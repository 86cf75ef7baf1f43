/* The wheel against the heap: whatever is pushed, both give the same events in the same order. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

#include "base/err.h"
#include "base/rng.h"
#include "base/vec.h"
#include "sim/heap.h"
#include "sim/wheel.h"

/* One event as the wheel sees it and as the heap sees it. */
typedef struct twin {
    kb_event in_wheel, in_heap;
} twin;

typedef struct duel {
    kb_wheel wheel;
    kb_heap heap;
    kb_rng rng;
    kb_time now;
    size_t pending;
    kb_vec(twin *) idle;
} duel;

static int set_up(void **state)
{
    duel *d = kb_xcalloc(1, sizeof *d);
    kb_wheel_init(&d->wheel);
    kb_heap_init(&d->heap);
    d->rng.state = 20240607;
    *state = d;
    return 0;
}

static int tear_down(void **state)
{
    duel *d = *state;
    while (d->heap.items.count) free(kb_heap_pop(&d->heap)->object);
    for (size_t i = 0; i < d->idle.count; i++) free(d->idle.data[i]);
    kb_vec_free(&d->idle);
    kb_heap_fini(&d->heap);
    free(d);
    return 0;
}

static void push(duel *d, kb_time time)
{
    twin *t = d->idle.count ? d->idle.data[--d->idle.count] : kb_xcalloc(1, sizeof *t);
    t->in_wheel.time = t->in_heap.time = time;
    t->in_wheel.object = t->in_heap.object = t;
    kb_wheel_push(&d->wheel, &t->in_wheel);
    kb_heap_push(&d->heap, &t->in_heap);
    d->pending++;
}

static void pop(duel *d)
{
    assert_int_equal(kb_wheel_peek(&d->wheel), kb_heap_peek(&d->heap));
    kb_event *a = kb_wheel_pop(&d->wheel), *b = kb_heap_pop(&d->heap);
    assert_non_null(a);
    assert_ptr_equal(a->object, b->object);
    assert_true(a->time >= d->now);
    d->now = a->time;
    d->pending--;
    kb_vec_push(&d->idle, a->object);
}

static void pop_all(duel *d)
{
    while (d->pending) pop(d);
    assert_null(kb_wheel_pop(&d->wheel));
    assert_null(kb_heap_pop(&d->heap));
    assert_int_equal(kb_wheel_peek(&d->wheel), KB_TIME_NEVER);
}

/* A delay below 2^bits whose size, too, is random: every level of the wheel gets its share. */
static kb_time delay_of_any_size(duel *d, uint32_t bits)
{
    return kb_rng_next(&d->rng) >> (64 - bits) >> kb_rng_below(&d->rng, bits);
}

static void constant_population(duel *d, size_t pending, size_t steps, uint32_t delay_bits)
{
    for (size_t i = 0; i < pending; i++) push(d, d->now + delay_of_any_size(d, delay_bits));
    for (size_t i = 0; i < steps; i++) {
        pop(d);
        push(d, d->now + delay_of_any_size(d, delay_bits));
    }
    pop_all(d);
}

static void hold_models_of_all_sizes_agree(void **state)
{
    static const size_t pending[] = {1, 2, 16, 128, 1024, 16384};
    for (size_t i = 0; i < sizeof pending / sizeof *pending; i++)
        for (uint32_t bits = 1; bits <= 40; bits += 13)
            constant_population(*state, pending[i], 20000, bits);
}

static void crowds_of_equal_times_agree(void **state)
{
    duel *d = *state;
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 5000; i++) push(d, d->now + 1000 * (kb_time)kb_rng_below(&d->rng, 8));
        while (d->pending > 1000) pop(d);
    }
    pop_all(d);
}

static void random_growth_and_shrinkage_agree(void **state)
{
    duel *d = *state;
    for (int phase = 0; phase < 20; phase++) {
        uint32_t pushes_per_8 = phase % 2 ? 3 : 5;
        for (int i = 0; i < 20000; i++) {
            if (kb_rng_below(&d->rng, 8) < pushes_per_8)
                push(d, d->now + delay_of_any_size(d, 30));
            else if (d->pending)
                pop(d);
        }
    }
    pop_all(d);
}

static void far_future_times_agree(void **state)
{
    duel *d = *state;
    kb_time half = UINT64_C(1) << 63;
    for (int i = 0; i < 1000; i++) {
        push(d, half - 500 + kb_rng_below(&d->rng, 1000));
        push(d, delay_of_any_size(d, 63));
        push(d, KB_TIME_NEVER - 1 - kb_rng_below(&d->rng, 100));
    }
    for (int i = 0; i < 2000; i++) {
        pop(d);
        if (d->now < half) push(d, d->now + delay_of_any_size(d, 63));
    }
    pop_all(d);
}

static void events_pushed_at_the_present_time_come_after_those_that_wait_for_it(void **state)
{
    duel *d = *state;
    for (size_t round = 0; round < 1000; round++) {
        kb_time when = d->now + 1 + delay_of_any_size(d, 20);
        for (int i = 0; i < 4; i++) push(d, when);
        push(d, when + 1);
        pop(d);
        for (int i = 0; i < 4; i++) push(d, d->now);
        while (d->pending > round % 3) pop(d);
    }
    pop_all(d);
}

static void equal_times_pop_in_the_order_of_their_pushes(void **state)
{
    (void)state;
    enum { COUNT = 300, DUE = 5000000 };
    kb_event events[COUNT], before[COUNT];
    kb_wheel *wheel = kb_xmalloc(sizeof *wheel);
    kb_wheel_init(wheel);
    /* Between the pushes the time comes nearer, so each of them may meet another level. */
    for (int i = 0; i < COUNT; i++) {
        before[i].time = (kb_time)i * (DUE / COUNT);
        kb_wheel_push(wheel, &before[i]);
        assert_ptr_equal(kb_wheel_pop(wheel), &before[i]);
        events[i].time = DUE;
        kb_wheel_push(wheel, &events[i]);
    }
    for (int i = 0; i < COUNT; i++) assert_ptr_equal(kb_wheel_pop(wheel), &events[i]);
    free(wheel);
}

/* A refused pop must not have moved the wheel's time: earlier events may still come. */
static void a_limited_pop_that_finds_nothing_changes_nothing(void **state)
{
    duel *d = *state;
    for (int round = 0; round < 2000; round++) {
        uint32_t more = 1 + kb_rng_below(&d->rng, 60);
        for (uint32_t i = 0; i < more; i++) push(d, d->now + 100 + delay_of_any_size(d, 28));
        kb_time nearest = kb_heap_peek(&d->heap);
        if (nearest > d->now) {
            kb_time early = nearest - d->now;
            assert_null(kb_wheel_pop_until(&d->wheel, nearest - 1));
            for (int i = 0; i < 4; i++) push(d, d->now + kb_rng_next(&d->rng) % early);
        }
        for (int i = 0; i < 20 && d->pending; i++) pop(d);
    }
    pop_all(d);
}

int main(void)
{
#define DUEL(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        DUEL(hold_models_of_all_sizes_agree),
        DUEL(crowds_of_equal_times_agree),
        DUEL(random_growth_and_shrinkage_agree),
        DUEL(far_future_times_agree),
        DUEL(events_pushed_at_the_present_time_come_after_those_that_wait_for_it),
        cmocka_unit_test(equal_times_pop_in_the_order_of_their_pushes),
        DUEL(a_limited_pop_that_finds_nothing_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

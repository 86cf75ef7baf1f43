#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/err.h"
#include "sim/wait.h"

typedef struct scene {
    kb_sim *sim;
    kb_completion completion;
    kb_waiter waiter[4];
    size_t woken;
    uint64_t who[4];
    kb_time when[4];
} scene;

static void wake(kb_sim *sim, void *object, uint64_t arg)
{
    scene *s = object;
    s->who[s->woken] = arg;
    s->when[s->woken++] = kb_sim_now(sim);
}

static void finish_part(kb_sim *sim, void *object, uint64_t arg)
{
    (void)arg;
    kb_completion_part(&((scene *)object)->completion, sim);
}

static void wait_again(kb_sim *sim, void *object, uint64_t arg)
{
    scene *s = object;
    wake(sim, object, arg);
    kb_completion_init(&s->completion, 1);
    s->waiter[arg].fn = wake;
    kb_completion_wait(&s->completion, sim, &s->waiter[arg]);
}

static int set_up(void **state)
{
    scene *s = kb_xcalloc(1, sizeof *s);
    s->sim = kb_sim_create();
    for (uint64_t i = 0; i < 4; i++) s->waiter[i] = (kb_waiter){.fn = wake, .object = s, .arg = i};
    *state = s;
    return 0;
}

static int tear_down(void **state)
{
    scene *s = *state;
    kb_sim_destroy(s->sim);
    free(s);
    return 0;
}

static void run(scene *s)
{
    assert_int_equal(kb_sim_run(s->sim, KB_TIME_NEVER, UINT64_MAX), KB_RUN_EMPTY);
}

static void the_last_part_wakes_all_waiters_in_their_order(void **state)
{
    scene *s = *state;
    kb_completion_init(&s->completion, 3);
    for (int i = 3; i >= 0; i--) kb_completion_wait(&s->completion, s->sim, &s->waiter[i]);
    for (kb_time t = 10; t <= 30; t += 10) kb_sim_at(s->sim, t, finish_part, s, 0);
    run(s);
    assert_int_equal(s->woken, 4);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(s->who[i], 3 - i);
        assert_int_equal(s->when[i], 30);
    }
}

static void nobody_wakes_before_the_last_part(void **state)
{
    scene *s = *state;
    kb_completion_init(&s->completion, 2);
    kb_completion_wait(&s->completion, s->sim, &s->waiter[0]);
    kb_sim_at(s->sim, 10, finish_part, s, 0);
    run(s);
    assert_int_equal(s->woken, 0);
    assert_false(kb_completion_done(&s->completion));
}

static void waiting_for_what_is_done_wakes_at_once_but_by_an_event(void **state)
{
    scene *s = *state;
    kb_completion_init(&s->completion, 1);
    kb_sim_at(s->sim, 10, finish_part, s, 0);
    run(s);
    assert_true(kb_completion_done(&s->completion));
    kb_completion_wait(&s->completion, s->sim, &s->waiter[2]);
    assert_int_equal(s->woken, 0);
    run(s);
    assert_int_equal(s->woken, 1);
    assert_int_equal(s->when[0], 10);
}

static void who_leaves_is_not_woken_and_the_others_keep_their_order(void **state)
{
    scene *s = *state;
    for (uint64_t gone = 0; gone < 3; gone++) { /* the first, one in the middle, the last */
        s->woken = 0;
        kb_completion_init(&s->completion, 1);
        for (int i = 0; i < 3; i++) kb_completion_wait(&s->completion, s->sim, &s->waiter[i]);
        assert_true(kb_waiter_leave(&s->waiter[gone]));
        assert_false(kb_waiter_leave(&s->waiter[gone]));
        kb_completion_wait(&s->completion, s->sim, &s->waiter[3]);
        finish_part(s->sim, s, 0);
        assert_false(kb_waiter_leave(&s->waiter[3])); /* too late */
        run(s);
        assert_int_equal(s->woken, 3);
        assert_int_equal(s->who[0], gone == 0 ? 1 : 0);
        assert_int_equal(s->who[1], gone == 2 ? 1 : 2);
        assert_int_equal(s->who[2], 3);
    }
}

static void a_completion_without_parts_is_done_from_the_beginning(void **state)
{
    scene *s = *state;
    kb_completion_init(&s->completion, 0);
    assert_true(kb_completion_done(&s->completion));
}

static void a_woken_waiter_and_a_done_completion_can_be_used_again(void **state)
{
    scene *s = *state;
    kb_completion_init(&s->completion, 1);
    s->waiter[1].fn = wait_again;
    kb_completion_wait(&s->completion, s->sim, &s->waiter[1]);
    kb_sim_at(s->sim, 10, finish_part, s, 0);
    kb_sim_at(s->sim, 25, finish_part, s, 0);
    run(s);
    assert_int_equal(s->woken, 2);
    assert_int_equal(s->when[0], 10);
    assert_int_equal(s->when[1], 25);
}

static void every_reason_has_a_name_of_its_own(void **state)
{
    (void)state;
    for (int i = 0; i < KB_WAIT_REASON_COUNT; i++) {
        assert_non_null(kb_wait_reason_name((kb_wait_reason)i));
        for (int k = 0; k < i; k++)
            assert_string_not_equal(kb_wait_reason_name((kb_wait_reason)i),
                                    kb_wait_reason_name((kb_wait_reason)k));
    }
}

int main(void)
{
#define TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(the_last_part_wakes_all_waiters_in_their_order),
        TEST(nobody_wakes_before_the_last_part),
        TEST(waiting_for_what_is_done_wakes_at_once_but_by_an_event),
        TEST(a_completion_without_parts_is_done_from_the_beginning),
        TEST(who_leaves_is_not_woken_and_the_others_keep_their_order),
        TEST(a_woken_waiter_and_a_done_completion_can_be_used_again),
        cmocka_unit_test(every_reason_has_a_name_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

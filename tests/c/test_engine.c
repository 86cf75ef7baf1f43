/* Engine, processes, tensors and launches, without Lua. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "engine/host_work.h"
#include "engine/launch.h"
#include "engine/stats.h"
#include "engine/tensor.h"

static kb_engine *open_engine(bool data)
{
    static const char *const sets[] = {"sip.cube_mesh.w=2", "sip.cube_mesh.h=1"};
    kb_engine_options options = {KB_SOURCE_DIR "/topology.yaml", sets, 2, data, 1};
    kb_engine *engine;
    kb_err err = {0};
    if (kb_engine_create(&engine, &options, &err)) fail_msg("%s", err.text);
    return engine;
}

static void run(kb_engine *engine)
{
    assert_int_equal(kb_engine_run(engine, KB_TIME_NEVER, UINT64_MAX, NULL, NULL), KB_RUN_EMPTY);
}

/* ---- processes ---- */

static void count_resume(kb_proc *proc)
{
    ++*(int *)proc->user;
}

static void a_process_is_resumed_once_when_what_it_waits_for_is_done(void **state)
{
    (void)state;
    kb_engine *engine = open_engine(false);
    int resumed = 0;
    kb_proc *proc = kb_proc_create(engine, KB_PROC_BENCH, count_resume, &resumed);
    kb_completion c;
    kb_completion_init(&c, 2);
    kb_proc_wait(proc, &c, KB_WAIT_MEMORY, "test");
    assert_true(proc->waiting);
    assert_int_equal(proc->reason, KB_WAIT_MEMORY);
    kb_completion_part(&c, engine->sim);
    run(engine);
    assert_int_equal(resumed, 0);
    kb_completion_part(&c, engine->sim);
    assert_int_equal(resumed, 0); /* by an event, not from within */
    run(engine);
    assert_int_equal(resumed, 1);
    assert_false(proc->waiting);
    kb_proc_end(proc);
    kb_engine_destroy(engine);
}

static void a_process_that_ends_while_it_waits_is_not_resumed(void **state)
{
    (void)state;
    kb_engine *engine = open_engine(false);
    int resumed = 0;
    kb_proc *proc = kb_proc_create(engine, KB_PROC_BENCH, count_resume, &resumed);
    kb_proc_wait_until(proc, 1000, KB_WAIT_TIMER, "test");
    kb_proc_end(proc);
    assert_int_equal(engine->proc_count, 0);
    run(engine);
    assert_int_equal(resumed, 0);
    assert_null(engine->procs);
    kb_engine_destroy(engine);
}

static void a_process_left_waiting_is_still_there_when_nothing_is_pending(void **state)
{
    (void)state;
    kb_engine *engine = open_engine(false);
    int resumed = 0;
    kb_proc *proc = kb_proc_create(engine, KB_PROC_BENCH, count_resume, &resumed);
    kb_completion never;
    kb_completion_init(&never, 1);
    kb_proc_wait(proc, &never, KB_WAIT_MESSAGE, "test");
    run(engine);
    assert_int_equal(engine->proc_count, 1); /* what the command line calls a deadlock */
    assert_string_equal(kb_wait_reason_name(proc->reason), "message");
    kb_proc_end(proc); /* waits no longer, and is freed */
    assert_null(never.head);
    assert_null(engine->procs);
    kb_engine_destroy(engine);
}

/* ---- tensors ---- */

/* 8 columns over the 8 PEs of cube 0: PE p holds column p of both rows. */
static kb_tensor *columns(kb_engine *engine)
{
    static const size_t shape[2] = {2, 8};
    kb_tensor_piece pieces[8] = {0};
    kb_shard shards[8] = {0};
    for (uint32_t p = 0; p < 8; p++) {
        pieces[p].start[1] = p;
        pieces[p].extent[0] = 2;
        pieces[p].extent[1] = 1;
        shards[p] = (kb_shard){.cube = 0, .pe = (int)p, .piece = p};
    }
    kb_tensor_desc desc = {.name = "t",
                           .dtype = KB_I32,
                           .rank = 2,
                           .shape = shape,
                           .pieces = pieces,
                           .piece_count = 8,
                           .shards = shards,
                           .shard_count = 8};
    kb_tensor *t;
    kb_err err = {0};
    if (kb_tensor_create(engine, &desc, &t, &err)) fail_msg("%s", err.text);
    return t;
}

static void map(kb_tensor *t)
{
    kb_host_work *work = kb_tensor_map(t, 0);
    run(t->engine);
    assert_true(kb_completion_done(&work->done));
    kb_host_work_release(work);
}

static void scattered_elements_are_gathered_again(void **state)
{
    (void)state;
    kb_engine *engine = open_engine(true);
    kb_tensor *t = columns(engine);
    map(t);
    kb_array *array, *back;
    assert_int_equal(kb_array_create(KB_I32, 2, t->shape, &array, NULL), 0);
    for (int i = 0; i < 16; i++) ((int32_t *)array->data)[i] = 100 + i;
    assert_int_equal(kb_tensor_scatter(t, NULL, array, NULL), 0);
    /* PE 5 holds elements 5 and 13 */
    const kb_shard *shard = kb_tensor_shard_of(t, 0, 5);
    const int32_t *held = (const int32_t *)kb_memory_at(&engine->memory, shard->pa, 8);
    assert_int_equal(held[0], 105);
    assert_int_equal(held[1], 113);
    assert_int_equal(kb_tensor_gather(t, NULL, &back, NULL), 0);
    assert_memory_equal(back->data, array->data, 64);
    kb_array_release(array);
    kb_array_release(back);
    kb_engine_destroy(engine);
}

/* Every PE of the SIP finds every piece; its own slice holds its own. */
static void every_pe_sees_every_piece_after_mapping(void **state)
{
    (void)state;
    kb_engine *engine = open_engine(false);
    kb_tensor *t = columns(engine);
    kb_paddr pa;
    uint64_t bytes;
    kb_pagetable *table = kb_machine_pagetable(engine->m, 0, 1);
    assert_int_equal(kb_pagetable_translate(table, 3, t->pieces[5].va, &pa, &bytes, NULL),
                     KB_EFAULT);
    map(t);
    assert_int_equal(kb_pagetable_translate(table, 3, t->pieces[5].va, &pa, &bytes, NULL), 0);
    assert_int_equal(pa.bits, kb_tensor_shard_of(t, 0, 5)->pa.bits);
    assert_int_equal(bytes, 8);
    /* pieces begin on pages of their own, and end where they end */
    assert_int_equal(t->pieces[1].va.bits - t->pieces[0].va.bits, 4096);
    assert_int_equal(
        kb_pagetable_translate(table, 3, kb_vaddr_plus(t->pieces[5].va, 8), &pa, &bytes, NULL),
        KB_EFAULT);
    kb_vaddr va = t->pieces[5].va;
    kb_tensor_destroy(t);
    assert_int_equal(kb_pagetable_translate(table, 3, va, &pa, &bytes, NULL), KB_EFAULT);
    kb_engine_destroy(engine);
}

static void a_slice_that_is_full_says_so_and_keeps_nothing(void **state)
{
    (void)state;
    kb_engine *engine = open_engine(false);
    size_t shape[1] = {(size_t)7 << 30}; /* a slice has 6 GiB */
    kb_tensor_piece piece = {.extent = {shape[0]}};
    kb_shard shard = {0};
    kb_tensor_desc desc = {.name = "big",
                           .dtype = KB_U8,
                           .rank = 1,
                           .shape = shape,
                           .pieces = &piece,
                           .piece_count = 1,
                           .shards = &shard,
                           .shard_count = 1};
    kb_tensor *t = NULL;
    kb_err err = {0};
    assert_int_equal(kb_tensor_create(engine, &desc, &t, &err), KB_ENOSPC);
    assert_non_null(strstr(err.text, "tensor 'big': sip0.cube0.hbm_ctrl.slice0"));
    assert_null(engine->tensors);
    assert_int_equal(kb_vaspace_live(&engine->va), 0);
    kb_engine_destroy(engine);
}

/* ---- launches ---- */

typedef struct tally {
    int begun, stopped;
    kb_time first;
    bool fail; /* the instance on PE 2 */
} tally;

static void resume_to_end(kb_proc *proc)
{
    kb_launch_instance_end(proc, NULL);
}

static void begin(kb_launch *launch, kb_proc *proc)
{
    tally *t = launch->user;
    if (t->begun++ == 0) t->first = launch->engine->sim->now;
    assert_int_equal(launch->engine->sim->now, t->first); /* T8 */
    if (t->fail && proc->pe->number == 2) {
        kb_launch_instance_end(proc, "it broke");
        return;
    }
    proc->resume = resume_to_end;
    kb_proc_wait_until(proc, launch->engine->sim->now + 5000, KB_WAIT_TIMER, "test");
}

static void stop(kb_proc *proc)
{
    ((tally *)proc->launch->user)->stopped++;
}

static kb_launch *submit(kb_engine *engine, tally *t)
{
    kb_msg_target *targets = kb_xcalloc(2, sizeof *targets);
    targets[0] = (kb_msg_target){.cube = 0, .pe_mask = 0xff};
    targets[1] = (kb_msg_target){.cube = 1, .pe_mask = 0x0f};
    kb_launch_sip on = {.sip = 0, .targets = targets, .target_count = 2};
    kb_launch_desc desc = {
        .name = "k", .sips = &on, .sip_count = 1, .begin = begin, .stop = stop, .user = t};
    return kb_launch_submit(engine, &desc);
}

static void every_target_runs_once_from_the_same_picosecond(void **state)
{
    (void)state;
    kb_engine *engine = open_engine(false);
    tally t = {0};
    kb_launch *launch = submit(engine, &t);
    run(engine);
    assert_int_equal(t.begun, 12);
    assert_true(kb_completion_done(&launch->done));
    assert_false(launch->failed);
    assert_int_equal(launch->end - launch->start, 5000);
    assert_int_equal(launch->start, launch->msgs[0].target_start);
    kb_stats stats;
    kb_stats_collect(engine, &stats);
    assert_int_equal(stats.violation_count, 0);
    assert_int_equal(stats.kernel_time, 5000);
    kb_engine_destroy(engine);
}

/* Of three launches that are under way, those of spawn 1 are stopped: one runs, one waits for it.
 */
static void the_launches_of_a_spawn_can_be_stopped(void **state)
{
    (void)state;
    kb_engine *engine = open_engine(false);
    tally t[3] = {0};
    kb_launch *launch[3];
    for (int i = 0; i < 3; i++) launch[i] = submit(engine, &t[i]);
    launch[0]->spawn = launch[1]->spawn = 1;
    while (!launch[0]->started) kb_engine_run(engine, KB_TIME_NEVER, 1, NULL, NULL);
    kb_launch_stop_spawn(engine, 1);
    kb_launch_stop_spawn(engine, 1);
    run(engine);
    for (int i = 0; i < 3; i++) {
        assert_true(kb_completion_done(&launch[i]->done));
        assert_int_equal(launch[i]->failed, i < 2);
        assert_int_equal(launch[i]->reported, i < 2);
    }
    assert_int_equal(t[0].begun, t[0].stopped);
    assert_int_equal(t[1].begun, 0);
    assert_int_equal(t[2].begun, 12);
    assert_int_equal(engine->proc_count, 0);
    kb_engine_destroy(engine);
}

/* Both PEs 2 fail at the start; the ten others are stopped then and there. */
static void a_failure_stops_the_siblings_and_completes_the_launch(void **state)
{
    (void)state;
    kb_engine *engine = open_engine(false);
    tally t = {.fail = true}, after = {0};
    kb_launch *launch = submit(engine, &t), *next = submit(engine, &after);
    run(engine);
    assert_int_equal(t.begun, 12);
    assert_int_equal(t.stopped, 10);
    assert_true(launch->failed && kb_completion_done(&launch->done));
    assert_int_equal(launch->end, launch->start);
    assert_int_equal(launch->failures, 2);
    char *text = kb_launch_error_text(launch);
    assert_string_equal(text, "it broke\nit broke");
    free(text);
    assert_int_equal(after.begun, 12);
    assert_false(next->failed);
    kb_engine_destroy(engine);
}

static void an_engine_can_be_dropped_in_the_middle(void **state)
{
    (void)state;
    kb_engine *engine = open_engine(true);
    tally t = {0};
    kb_tensor *tensor = columns(engine);
    map(tensor);
    kb_host_work *work;
    assert_int_equal(kb_tensor_start_write(tensor, NULL, &work, NULL), 0);
    submit(engine, &t);
    assert_int_equal(kb_engine_run(engine, KB_TIME_NEVER, 10, NULL, NULL), KB_RUN_EVENTS);
    kb_engine_destroy(engine); /* leak checkers watch */
    kb_host_work_release(work);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_process_is_resumed_once_when_what_it_waits_for_is_done),
        cmocka_unit_test(a_process_that_ends_while_it_waits_is_not_resumed),
        cmocka_unit_test(a_process_left_waiting_is_still_there_when_nothing_is_pending),
        cmocka_unit_test(scattered_elements_are_gathered_again),
        cmocka_unit_test(every_pe_sees_every_piece_after_mapping),
        cmocka_unit_test(a_slice_that_is_full_says_so_and_keeps_nothing),
        cmocka_unit_test(every_target_runs_once_from_the_same_picosecond),
        cmocka_unit_test(the_launches_of_a_spawn_can_be_stopped),
        cmocka_unit_test(a_failure_stops_the_siblings_and_completes_the_launch),
        cmocka_unit_test(an_engine_can_be_dropped_in_the_middle),
    };
    return cmocka_run_group_tests_name("engine", tests, NULL, NULL);
}

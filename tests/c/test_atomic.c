/* Atomic operations at every kind of memory: when they take place, when the old values are back,
 * and in which order. */
#include "hw/atomic.h"
#include "machine.h"

typedef struct probe {
    kb_atomic atomic;
    kb_time performed, ended;
} probe;

static void note_performed(kb_sim *sim, void *object, uint64_t arg)
{
    (void)arg;
    ((probe *)object)->performed = sim->now;
}

static void note_ended(kb_sim *sim, void *object, uint64_t arg)
{
    (void)arg;
    ((probe *)object)->ended = sim->now;
}

static void begin(bed *b, probe *p, const char *requester, const char *memory, uint64_t bytes,
                  uint32_t operands)
{
    kb_atomic_request request = {.requester = node_of(b, requester),
                                 .memory = node_of(b, memory),
                                 .offset = 512,
                                 .rows = 1,
                                 .row_bytes = bytes,
                                 .stride = bytes,
                                 .operands = operands,
                                 .perform = note_performed,
                                 .done = note_ended,
                                 .object = p};
    kb_err err = {0};
    if (kb_atomic_start(&p->atomic, b->m, &request, &err)) fail_msg("%s", err.text);
}

/* The closed form of a transaction, without its request or acknowledgement. */
static kb_time one_way(bed *b, kb_txn_op op, const char *requester, const char *memory,
                       uint64_t bytes)
{
    kb_formula f;
    kb_err err = {0};
    if (kb_closed_form(b->m, op, node_of(b, requester), node_of(b, memory), 512, bytes, &f, &err))
        fail_msg("%s", err.text);
    return f.total - f.command;
}

static void operands_go_like_a_write_and_old_values_return_like_a_read(void **state)
{
    (void)state;
    static const char *const memories[] = {"sip0.cube0.hbm_ctrl.slice0",
                                           "sip0.cube0.hbm_ctrl.slice7",
                                           "sip0.cube15.hbm_ctrl.slice2",
                                           "sip1.cube3.hbm_ctrl.slice0",
                                           "sip0.cube0.sram",
                                           "sip0.cube6.sram",
                                           "sip0.cube0.pe3.pe_tcm"};
    static const uint64_t sizes[] = {1, 4, 256, 1000, 5000};
    const char *pe = "sip0.cube0.pe0.pe_dma";
    for (size_t m = 0; m < sizeof memories / sizeof *memories; m++)
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++)
            for (uint32_t operands = 1; operands <= 2; operands++) {
                bed b = bed_default();
                probe p;
                begin(&b, &p, pe, memories[m], sizes[s], operands);
                run_all(&b);
                kb_time out = one_way(&b, KB_TXN_WRITE, pe, memories[m], sizes[s] * operands);
                kb_time back = one_way(&b, KB_TXN_READ, pe, memories[m], sizes[s]);
                assert_int_equal(p.performed, out);
                assert_int_equal(p.ended, out + back);
                bed_close(&b);
            }
}

/* Both are under way at once; the nearer one's operands are committed first. */
static void a_memory_takes_them_in_the_order_of_their_arrival(void **state)
{
    (void)state;
    static const char *const memories[] = {"sip0.cube0.hbm_ctrl.slice0", "sip0.cube0.sram"};
    for (size_t m = 0; m < 2; m++) {
        bed b = bed_default();
        probe near, far;
        begin(&b, &far, "sip0.cube9.pe0.pe_dma", memories[m], 4, 1);
        begin(&b, &near, "sip0.cube0.pe0.pe_dma", memories[m], 4, 1);
        run_all(&b);
        assert_true(near.performed < far.performed);
        bed_close(&b);
    }
}

static void a_channel_is_busy_for_a_write_and_a_read(void **state)
{
    (void)state;
    bed b = bed_default();
    probe p[4];
    for (int i = 0; i < 4; i++)
        begin(&b, &p[i], "sip0.cube0.pe0.pe_dma", "sip0.cube0.hbm_ctrl.slice0", 4, 1);
    run_all(&b);
    kb_node slice = node_of(&b, "sip0.cube0.hbm_ctrl.slice0");
    const kb_device *memory = kb_machine_device(b.m, slice);
    kb_moved moved = memory->class->moved(memory);
    assert_int_equal(moved.read, 16);
    assert_int_equal(moved.written, 16);
    for (int i = 1; i < 4; i++) /* bursts of 10 ns follow each other without a gap */
        assert_int_equal(p[i].performed - p[i - 1].performed, 10000);
    bed_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operands_go_like_a_write_and_old_values_return_like_a_read),
        cmocka_unit_test(a_memory_takes_them_in_the_order_of_their_arrival),
        cmocka_unit_test(a_channel_is_busy_for_a_write_and_a_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

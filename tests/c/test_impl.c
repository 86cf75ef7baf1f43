/* Alternative implementations of components, for a kind or for single nodes. */
#include "hw/closed_form.h"
#include "machine.h"

#define PE0    "sip0.cube0.pe0.pe_dma"
#define SLICE0 "sip0.cube0.hbm_ctrl.slice0"
#define SLICE1 "sip0.cube0.hbm_ctrl.slice1"

/* The worked example with one FIFO of 204.8 GB/s: 128 bursts of 1.25 ns, the first flit of a write
 * there after 4.0 + p, its acknowledgement 2.0 + p; of a read the last flit leaves 2.0 + p + 160
 * after the request and has two links of 1.0 and p before it. p = 0.12 ns. */
static void a_flat_slice_serves_all_bursts_in_one_fifo(void **state)
{
    (void)state;
    bed b = bed_make("cube.hbm_ctrl.impl=flat");
    assert_int_equal(time_txn(&b, KB_TXN_WRITE, PE0, SLICE0, 0, 32768), 4120 + 160000 + 2120);
    assert_int_equal(time_txn(&b, KB_TXN_READ, PE0, SLICE0, 0, 32768), 2120 + 160000 + 2000 + 120);
    bed_close(&b);
}

/* 16 rows of 256 B, 2048 B apart: all on one pseudo-channel, 16 x 10 ns; flat: 16 x 1.25 ns. */
static void a_flat_slice_has_no_conflicts_between_channels(void **state)
{
    (void)state;
    static const kb_time bursts[2] = {160000, 20000};
    static const char *const impls[2] = {"cube.hbm_ctrl.impl=pseudo_channels",
                                         "cube.hbm_ctrl.impl=flat"};
    for (int i = 0; i < 2; i++) {
        bed b = bed_make(impls[i]);
        kb_time ended = 0;
        kb_txn_request request = {.op = KB_TXN_WRITE,
                                  .requester = node_of(&b, PE0),
                                  .memory = node_of(&b, SLICE0),
                                  .rows = 16,
                                  .row_bytes = 256,
                                  .stride = 2048,
                                  .done = note_time,
                                  .object = &ended};
        assert_int_equal(kb_txn_start(b.m, &request, NULL), KB_OK);
        run_all(&b);
        assert_int_equal(ended, 4120 + bursts[i] + 2120);
        bed_close(&b);
    }
}

static void an_override_changes_one_node_only(void **state)
{
    (void)state;
    bed b = bed_yaml(DEFAULT_YAML "overrides: [{node: " SLICE1 ", impl: flat}]\n", NULL);
    kb_node flat = node_of(&b, SLICE1);
    assert_string_equal(kb_machine_class(b.m, flat, KB_HBM_CTRL)->impl, "flat");
    assert_null(kb_machine_class(b.m, node_of(&b, SLICE0), KB_HBM_CTRL)->impl);
    assert_int_equal(time_txn(&b, KB_TXN_WRITE, PE0, SLICE0, 0, 32768), 173240);
    /* slice1 is 2 mm from its crossbar, slice0 4 mm: p = 0.10 */
    assert_int_equal(time_txn(&b, KB_TXN_WRITE, PE0, SLICE1, 0, 32768), 4100 + 160000 + 2100);
    bed_close(&b);
}

static void the_closed_form_knows_flat_slices(void **state)
{
    (void)state;
    bed b = bed_make("cube.hbm_ctrl.impl=flat");
    for (uint64_t bytes = 1; bytes < 200000; bytes = bytes * 3 + 17)
        for (int op = KB_TXN_READ; op <= KB_TXN_WRITE; op++) {
            kb_formula formula;
            assert_int_equal(kb_closed_form(b.m, (kb_txn_op)op, node_of(&b, PE0),
                                            node_of(&b, SLICE0), 0, bytes, &formula, NULL),
                             KB_OK);
            assert_int_equal(time_txn(&b, (kb_txn_op)op, PE0, SLICE0, 0, bytes), formula.total);
        }
    bed_close(&b);
}

static void what_cannot_be_overridden_is_an_error(void **state)
{
    (void)state;
    static const struct {
        const char *yaml, *message;
    } cases[] = {
        {DEFAULT_YAML "overrides: [{node: sip9.cube0.m_cpu, impl: flat}]\n", "there is no node"},
        {DEFAULT_YAML "overrides: [{node: sip0.cube0.m_cpu, impl: flat}]\n",
         "m_cpu has no implementation \"flat\"; it has: none"},
        {DEFAULT_YAML "overrides: [{node: " SLICE0 ", impl: round}]\n",
         "hbm_ctrl has no implementation \"round\"; it has: flat"},
        {DEFAULT_YAML "overrides: [{node: " SLICE0 "}]\n",
         "required parameter \"impl\" is missing"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bed b;
        kb_err err = {0};
        assert_int_equal(bed_try(&b, cases[i].yaml, NULL, &err), KB_EINVAL);
        if (!strstr(err.text, cases[i].message)) fail_msg("%s", err.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_flat_slice_serves_all_bursts_in_one_fifo),
        cmocka_unit_test(a_flat_slice_has_no_conflicts_between_channels),
        cmocka_unit_test(an_override_changes_one_node_only),
        cmocka_unit_test(the_closed_form_knows_flat_slices),
        cmocka_unit_test(what_cannot_be_overridden_is_an_error),
    };
    return cmocka_run_group_tests_name("impl", tests, NULL, NULL);
}

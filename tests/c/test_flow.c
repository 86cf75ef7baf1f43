/* Finite buffers with credits: their law, that they change nothing when they are large, and that
 * nothing gets stuck when they are small. */
#include "hw/audit.h"
#include "hw/flow.h"
#include "random_machine.h"

#define ON "system.flow_control.enabled=true"

static const char *const pe0 = "sip0.cube0.pe0.pe_dma";

static void fail_on_violation(void *user, const char *text)
{
    fail_msg("%s%s", (const char *)user, text);
}

static void finish(bed *b)
{
    run_all(b);
    kb_machine_audit(b->m, fail_on_violation, "");
    bed_close(b);
}

/* ---- a stream over one link ---- */

/* Start of flit k on a link of occupancy o, whose slots come back after a round trip. */
static kb_time start_of(kb_time k, kb_time slots, kb_time o, kb_time round_trip)
{
    kb_time turn = slots * o > round_trip ? slots * o : round_trip;
    return k / slots * turn + k % slots * o;
}

/* PCIe of 20 m, 200 ns each way, so that few slots do not cover the round trip; no overheads, which
 * would hold up the first flit alone. */
static bed pcie_bed(int slots)
{
    char set[64];
    snprintf(set, sizeof set, "system.flow_control.die_buffer_flits=%d", slots);
    return bed_make(ON, set, "system.host_link.length_mm=20000", "io.pcie_ep.overhead_ns=0",
                    "cube.ucie.overhead_ns=0", "io.ucie.overhead_ns=0", "cube.xbar.overhead_ns=0");
}

static kb_time host_time(int slots, kb_txn_op op, kb_time flits)
{
    bed b = pcie_bed(slots);
    kb_time time = time_txn(&b, op, "host", "sip0.cube0.hbm_ctrl.slice0", 0, flits * 256);
    finish(&b);
    return time;
}

static void a_stream_waits_for_the_round_trip_of_its_slots(void **state)
{
    (void)state;
    static const int slots[] = {2, 3, 10, 100, 101, 102, 500};
    static const kb_time flits[] = {2, 3, 50, 101, 102, 103, 400};
    for (int s = 0; s < 7; s++) {
        kb_time write = host_time(slots[s], KB_TXN_WRITE, 1);
        kb_time read = host_time(slots[s], KB_TXN_READ, 1);
        for (int f = 0; f < 7; f++) {
            kb_time n = flits[f], b = (kb_time)slots[s];
            /* A written flit takes 4 ns on PCIe and 200 to pcie_ep, where it leaves over a link of
             * 1 ns; its credit takes 200 ns back. A read one ends at the host. */
            assert_int_equal(host_time(slots[s], KB_TXN_WRITE, n),
                             write + start_of(n - 1, b, 4000, 405000));
            assert_int_equal(host_time(slots[s], KB_TXN_READ, n),
                             read + start_of(n - 1, b, 4000, 404000));
        }
    }
}

static void throughput_is_the_least_of_bandwidth_and_slots_over_the_round_trip(void **state)
{
    (void)state;
    for (int slots = 10; slots <= 160; slots += 50) {
        enum { FLITS = 40960 };
        double gbs = FLITS * 256 / kb_time_ns(host_time(slots, KB_TXN_WRITE, FLITS));
        double expected = slots * 256 / 405.0 < 64 ? slots * 256 / 405.0 : 64;
        assert_true(gbs <= expected && gbs > 0.99 * expected);
    }
}

static void inside_a_cube_the_round_trip_has_two_links_and_two_wires(void **state)
{
    (void)state;
    /* pe0 to the SRAM: 4 links of 1 ns, the last of 2 ns without length, 20 ps of wire between
     * routers. Slots of r3c0 come back after 1 + 0.02 + 2 + 0.02 ns. */
    for (kb_time slots = 1; slots <= 3; slots++) {
        char set[64];
        snprintf(set, sizeof set, "system.flow_control.buffer_flits=%d", (int)slots);
        for (kb_time n = 1; n < 40; n += 6) {
            bed b = bed_make(ON, set);
            kb_time time = time_txn(&b, KB_TXN_WRITE, pe0, "sip0.cube0.sram", 0, n * 256);
            /* Whether credits or the last link decide: 3.04 ns for one slot, 2 ns for more. */
            assert_int_equal(time, 6000 + 2 * 60 + (n - 1) * (slots == 1 ? 3040 : 2000));
            finish(&b);
        }
    }
}

/* ---- who blocks whom ---- */

static void a_blocked_head_blocks_what_is_behind_it_and_no_other_channel(void **state)
{
    (void)state;
    const char *sets[] = {ON, "system.flow_control.buffer_flits=1", "cube.sram.bw_gbs=1", NULL};
    for (int on = 0; on < 2; on++) {
        bed b = bed_yaml(DEFAULT_YAML, on ? sets : sets + 2);
        kb_time alone = time_txn(&b, KB_TXN_WRITE, pe0, "sip0.cube0.pe1.pe_tcm", 0, 256);
        kb_time east = time_txn(&b, KB_TXN_WRITE, pe0, "sip0.cube1.pe1.pe_tcm", 0, 256);
        kb_time began = b.sim->now, slow, behind, beside;
        kb_node requester = node_of(&b, pe0);
        begin_txn(&b, KB_TXN_WRITE, requester, node_of(&b, "sip0.cube0.sram"), 0, 8 * 256, &slow);
        begin_txn(&b, KB_TXN_WRITE, requester, node_of(&b, "sip0.cube0.pe1.pe_tcm"), 0, 256,
                  &behind);
        begin_txn(&b, KB_TXN_WRITE, requester, node_of(&b, "sip0.cube1.pe1.pe_tcm"), 0, 256,
                  &beside);
        run_all(&b);
        /* Bound for the next cube it meets the others only on the link that leaves pe_dma: with
         * credits one of them has it first, without all nine. */
        assert_int_equal(beside - began, east + (on ? 1000 : 9000));
        /* The flits for the SRAM leave the last router 256 ns apart. With one slot at each of the
         * four routers the eighth leaves pe_dma after three of them have, and the flit behind it
         * after that. */
        if (on)
            assert_true(behind - began > 3 * 256000);
        else
            assert_int_equal(behind - began, alone + 8000);
        assert_true(slow - began > 8 * 256000);
        finish(&b);
    }
}

static void reads_and_writes_do_not_share_slots(void **state)
{
    (void)state;
    const char *const sets[] = {ON, "system.flow_control.buffer_flits=1", NULL};
    bed b = bed_yaml(DEFAULT_YAML, sets);
    time_txn(&b, KB_TXN_WRITE, pe0, "sip0.cube0.sram", 0, 4096);
    time_txn(&b, KB_TXN_READ, pe0, "sip0.cube0.sram", 0, 4096);
    int buffers = 0;
    for (const kb_buffer *x = b.m->flow->made; x; x = x->next_made) buffers++;
    assert_int_equal(buffers, 5 + 5);
    finish(&b);
}

/* ---- any machine, any traffic ---- */

static int below(kb_rng *rng, int bound)
{
    return (int)kb_rng_below(rng, (uint32_t)bound);
}

typedef struct load {
    kb_time ended[60];
    uint64_t events;
} load;

/* Some of it in several rows, each cut into flits of its own. */
static void begin_rows(bed *b, kb_rng *rng, kb_node to, kb_time *ended)
{
    kb_txn_request request = {.op = kb_rng_below(rng, 2) ? KB_TXN_READ : KB_TXN_WRITE,
                              .requester = random_requester(b, rng),
                              .memory = to,
                              .offset = kb_rng_below(rng, 100000),
                              .rows = kb_rng_below(rng, 2) ? 1 : 1 + kb_rng_below(rng, 5),
                              .row_bytes = random_bytes(b, rng, 20),
                              .done = note_time,
                              .object = ended};
    request.stride = request.row_bytes + 64 * kb_rng_below(rng, 3);
    kb_err err = {0};
    *ended = KB_TIME_NEVER;
    if (kb_txn_start(b->m, &request, &err)) fail_msg("%s", err.text);
}

/* The same transactions on any machine of the same structure. */
static load burst(bed *b, uint64_t seed)
{
    kb_rng rng = {seed};
    load l = {.events = 0};
    for (int i = 0; i < 60; i++) {
        const kb_graph *g = b->m->graph;
        kb_node to = random_memory(b, &rng);
        if (kb_rng_below(&rng, 5) == 0)
            to = kb_graph_pe(g, 0, (int)kb_rng_below(&rng, (uint32_t)kb_graph_cubes(g)), 0,
                             KB_PE_TCM);
        begin_rows(b, &rng, to, &l.ended[i]);
    }
    run_all(b);
    kb_machine_audit(b->m, fail_on_violation, "");
    l.events = b->sim->events;
    return l;
}

static void small_buffers_never_get_stuck(void **state)
{
    (void)state;
    kb_rng rng = {108};
    for (int i = 0; i < 60; i++) {
        random_sets sets = {.count = 0};
        char chiplets[CHIPLETS_SIZE];
        bed b = random_bed_with(&sets, chiplets, &rng);
        bed_close(&b);
        add_set(&sets, "system.flow_control.enabled", "true");
        add_number(&sets, "system.flow_control.buffer_flits", 1 + below(&rng, 2));
        add_number(&sets, "system.flow_control.die_buffer_flits", 1 + below(&rng, 2));
        b = bed_yaml(chiplets, sets.list);
        burst(&b, (uint64_t)i);
        burst(&b, (uint64_t)i + 1000);
        bed_close(&b);
    }
}

static void large_buffers_change_nothing(void **state)
{
    (void)state;
    kb_rng rng = {109};
    for (int i = 0; i < 40; i++) {
        random_sets sets = {.count = 0};
        char chiplets[CHIPLETS_SIZE];
        bed b = random_bed_with(&sets, chiplets, &rng);
        bed_close(&b);
        add_set(&sets, "system.fidelity", "flit");
        b = bed_yaml(chiplets, sets.list);
        load off = burst(&b, (uint64_t)i);
        bed_close(&b);
        add_set(&sets, "system.flow_control.enabled", "true");
        add_set(&sets, "system.flow_control.buffer_flits", "1000000");
        add_set(&sets, "system.flow_control.die_buffer_flits", "1000000");
        b = bed_yaml(chiplets, sets.list);
        load on = burst(&b, (uint64_t)i);
        bed_close(&b);
        assert_memory_equal(off.ended, on.ended, sizeof off.ended);
        assert_int_equal(off.events, on.events);
    }
}

/* Every PE of a cube with a hole writes to and reads from every other one at once. */
static void all_to_all_around_the_hole_completes_with_one_slot(void **state)
{
    (void)state;
    bed b = bed_make(
        ON, "system.flow_control.buffer_flits=1", "system.sips.count=1", "sip.cube_mesh.w=1",
        "sip.cube_mesh.h=1", "cube.pe_layout.pe_per_corner=3",
        "cube.pe_layout.pe_routers=[r1c1,r1c2,r1c3,r1c4,r2c1,r2c4,r3c1,r3c4,r4c1,r4c2,r4c3,r4c4]");
    static kb_time ended[2 * 12 * 12];
    int n = 0;
    for (int from = 0; from < 12; from++)
        for (int to = 0; to < 12; to++)
            for (int op = 0; op < 2; op++)
                if (from != to)
                    begin_txn(&b, (kb_txn_op)op, kb_graph_pe(b.m->graph, 0, 0, from, KB_PE_DMA),
                              kb_graph_pe(b.m->graph, 0, 0, to, KB_PE_TCM), 0, 8 * 256,
                              &ended[n++]);
    finish(&b);
}

/* ---- what is broken is found ---- */

static char found[2000];

static void collect(void *user, const char *text)
{
    (void)user;
    strncat(found, text, sizeof found - strlen(found) - 1);
    strncat(found, "\n", sizeof found - strlen(found) - 1);
}

static void expect(bed *b, const char *sentence)
{
    found[0] = '\0';
    kb_machine_audit(b->m, collect, NULL);
    if (!strstr(found, sentence)) fail_msg("not found: %s\nin:\n%s", sentence, found);
}

static kb_buffer *buffer_between(bed *b, const char *from, const char *to)
{
    for (kb_buffer *x = b->m->flow->made; x; x = x->next_made)
        if (x->from == node_of(b, from) && x->to == node_of(b, to)) return x;
    fail_msg("no buffer at the end of %s -> %s", from, to);
    abort();
}

static void a_lost_credit_stops_the_traffic_and_is_found(void **state)
{
    (void)state;
    bed b = bed_make(ON, "system.flow_control.buffer_flits=1");
    time_txn(&b, KB_TXN_WRITE, pe0, "sip0.cube0.sram", 0, 256);
    buffer_between(&b, "sip0.cube0.r1c0", "sip0.cube0.r2c0")->credits--;
    expect(&b, "sip0.cube0.r1c0 -> sip0.cube0.r2c0: 0 of 1 credits are back (writes, bound end)");
    kb_time ended;
    begin_txn(&b, KB_TXN_WRITE, node_of(&b, pe0), node_of(&b, "sip0.cube0.sram"), 0, 1024, &ended);
    assert_int_equal(kb_sim_run(b.sim, KB_TIME_NEVER, UINT64_MAX), KB_RUN_EMPTY);
    assert_int_equal(ended, KB_TIME_NEVER);
    expect(&b, "sip0.cube0.r1c0 -> sip0.cube0.r2c0: 1 still wait for a credit (writes, bound end)");
    expect(&b, "machine: 2 transactions started, 1 completed");
    bed_close(&b);
}

static void a_credit_given_twice_is_found(void **state)
{
    (void)state;
    bed b = bed_make(ON, "system.flow_control.buffer_flits=2");
    time_txn(&b, KB_TXN_WRITE, pe0, "sip0.cube0.sram", 0, 256);
    buffer_between(&b, pe0, "sip0.cube0.r0c0")->credits++;
    expect(&b,
           "sip0.cube0.pe0.pe_dma -> sip0.cube0.r0c0: 3 credits for 2 slots (writes, bound end)");
    bed_close(&b);
}

static void a_slot_held_too_long_is_found(void **state)
{
    (void)state;
    bed b = bed_make(ON);
    time_txn(&b, KB_TXN_WRITE, pe0, "sip0.cube0.sram", 0, 256);
    buffer_between(&b, pe0, "sip0.cube0.r0c0")->taken_integral += 2000;
    /* One flit, over 5 links. Its slot is taken from the start on the link before until it has left
     * over the next and the credit is back, 20 ps each way between routers: three times 1 + 1 ns,
     * once 1 + 2 ns, 40 ps for each of the three of them behind a wire; at the SRAM 2 ns. */
    expect(&b, "machine: buffers say that slots were taken 13.120 ns, transactions took them "
               "11.120 ns");
    bed_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stream_waits_for_the_round_trip_of_its_slots),
        cmocka_unit_test(throughput_is_the_least_of_bandwidth_and_slots_over_the_round_trip),
        cmocka_unit_test(inside_a_cube_the_round_trip_has_two_links_and_two_wires),
        cmocka_unit_test(a_blocked_head_blocks_what_is_behind_it_and_no_other_channel),
        cmocka_unit_test(reads_and_writes_do_not_share_slots),
        cmocka_unit_test(small_buffers_never_get_stuck),
        cmocka_unit_test(large_buffers_change_nothing),
        cmocka_unit_test(all_to_all_around_the_hole_completes_with_one_slot),
        cmocka_unit_test(a_lost_credit_stops_the_traffic_and_is_found),
        cmocka_unit_test(a_credit_given_twice_is_found),
        cmocka_unit_test(a_slot_held_too_long_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

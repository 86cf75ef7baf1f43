/* Properties that hold for any machine and any traffic: random topologies, random transfers, fixed
 * seeds; every case is a machine of its own. */
#include "hw/audit.h"
#include "random_machine.h"

enum { TRANSFERS_MAX = 32 };

/* A transfer by names and numbers that mean the same in machines that differ in size. */
typedef struct transfer {
    kb_txn_op op;
    bool host;
    int sip, cube, pe;          /* the requester, unless it is the host */
    int to_sip, to_cube, slice; /* slice < 0: the sram; below -1: the TCM of PE -2 - slice */
    uint64_t offset, bytes;
    kb_time start;
} transfer;

typedef struct traffic {
    transfer list[TRANSFERS_MAX];
    int count;
} traffic;

typedef struct outcome {
    kb_time ended[TRANSFERS_MAX], last;
    uint64_t trace; /* hash of the times of all events */
} outcome;

/* ---- random traffic ---- */

/* Which parts of the machine the traffic may use. */
typedef struct scope {
    int sips, cubes, pes, slices;
    bool host, tcm;
    uint64_t granule; /* bytes are multiples of it */
    kb_time spread;   /* starts are within so much */
} scope;

static scope whole(const bed *b)
{
    const kb_graph *g = b->m->graph;
    return (scope){.sips = g->sips,
                   .cubes = kb_graph_cubes(g),
                   .pes = g->cube_plan.pes,
                   .slices = g->cube_plan.slices,
                   .host = true,
                   .tcm = true,
                   .granule = 1,
                   .spread = 100000};
}

static int below(kb_rng *rng, int bound)
{
    return (int)kb_rng_below(rng, (uint32_t)bound);
}

static traffic random_traffic(const scope *s, kb_rng *rng, int count, uint32_t most_granules)
{
    traffic t = {.count = count};
    for (int i = 0; i < count; i++) {
        transfer *x = &t.list[i];
        x->op = below(rng, 2) ? KB_TXN_READ : KB_TXN_WRITE;
        x->host = s->host && below(rng, 5) == 0;
        x->sip = below(rng, s->sips);
        x->cube = below(rng, s->cubes);
        x->pe = below(rng, s->pes);
        x->to_sip = below(rng, s->sips);
        x->to_cube = below(rng, 2) ? x->cube : below(rng, s->cubes);
        x->slice = below(rng, 5) ? below(rng, s->slices) : -1;
        if (s->tcm && below(rng, 5) == 0) x->slice = -2 - below(rng, s->pes);
        x->offset = 4096 * kb_rng_below(rng, 64);
        x->bytes = s->granule * (1 + kb_rng_below(rng, most_granules));
        x->start = s->spread ? kb_rng_below(rng, (uint32_t)s->spread) : 0;
    }
    return t;
}

static kb_node memory_of(const kb_graph *g, const transfer *x)
{
    if (x->slice >= 0) return kb_graph_slice(g, x->to_sip, x->to_cube, x->slice);
    if (x->slice == -1)
        return kb_graph_node(g, (kb_place){x->to_sip, x->to_cube, g->cube_plan.sram});
    return kb_graph_pe(g, x->to_sip, x->to_cube, -2 - x->slice, KB_PE_TCM);
}

typedef struct starter {
    bed *b;
    const transfer *x;
    kb_time *ended;
} starter;

static void start_one(kb_sim *sim, void *object, uint64_t arg)
{
    (void)sim;
    (void)arg;
    const starter *s = object;
    const kb_graph *g = s->b->m->graph;
    kb_node from =
        s->x->host ? kb_graph_host(g) : kb_graph_pe(g, s->x->sip, s->x->cube, s->x->pe, KB_PE_DMA);
    begin_txn(s->b, s->x->op, from, memory_of(g, s->x), s->x->offset, s->x->bytes, s->ended);
}

static outcome run(bed *b, const traffic *t)
{
    static starter starters[TRANSFERS_MAX];
    outcome o = {.trace = 14695981039346656037u};
    for (int i = 0; i < t->count; i++) {
        starters[i] = (starter){b, &t->list[i], &o.ended[i]};
        kb_sim_at(b->sim, t->list[i].start, start_one, &starters[i], 0);
    }
    while (kb_sim_run(b->sim, KB_TIME_NEVER, 1) == KB_RUN_EVENTS) /* FNV-1a over every event */
        o.trace = (o.trace ^ (b->sim->now * 31 + b->m->flit_hops)) * 1099511628211u;
    assert_int_equal(b->m->txns_started, t->count);
    assert_int_equal(b->m->txns_completed, t->count);
    for (int i = 0; i < t->count; i++)
        if (o.ended[i] > o.last) o.last = o.ended[i];
    return o;
}

static void fail_on_violation(void *user, const char *text)
{
    fail_msg("case %d: %s", *(int *)user, text);
}

/* ---- the properties ---- */

typedef struct limit {
    kb_time window; /* from the first start to the last end */
    uint64_t most_bytes;
} limit;

static void check_link(void *user, kb_edge edge, const kb_edge_info *info, const kb_link *link)
{
    (void)edge;
    limit *l = user;
    if (link->bytes > l->most_bytes) l->most_bytes = link->bytes;
    assert_true(link->busy <= l->window);
    assert_true((double)l->window >= (double)link->bytes * 1000.0 / info->gbs * 0.999 - 1000);
}

static void nothing_is_faster_than_its_busiest_link(void **state)
{
    (void)state;
    kb_rng rng = {101};
    for (int i = 0; i < 60; i++) {
        bed b = random_bed_with_buffers(&rng);
        scope s = whole(&b);
        traffic t = random_traffic(&s, &rng, 24, 20000);
        kb_time first = KB_TIME_NEVER;
        for (int k = 0; k < t.count; k++)
            if (t.list[k].start < first) first = t.list[k].start;
        limit l = {.window = run(&b, &t).last - first};
        kb_machine_each_link(b.m, check_link, &l);
        assert_true(l.most_bytes > 0);
        kb_machine_audit(b.m, fail_on_violation, &i);
        bed_close(&b);
    }
}

static void fan_in_takes_all_bytes_over_the_bandwidth(void **state)
{
    (void)state;
    kb_rng rng = {102};
    for (int i = 0; i < 40; i++) {
        random_sets sets = {.count = 0};
        static const int wide[] = {64, 100, 128, 200, 256};
        double out = wide[below(&rng, 5)], in = out + below(&rng, 300), overhead = random_ns(&rng);
        add_set(&sets, "system.ns_per_mm", "0");
        add_set(&sets, "cube.hbm_ctrl.pc_bw_gbs", "100000"); /* so that the link is what limits */
        add_set(&sets, "cube.hbm_ctrl.efficiency", "1");
        add_number(&sets, "cube.xbar.pe_to_xbar_bw_gbs", in);
        add_number(&sets, "cube.xbar.xbar_to_hbm_bw_gbs", out);
        add_number(&sets, "cube.xbar.overhead_ns", overhead);
        bed b = bed_yaml(DEFAULT_YAML, sets.list);
        int senders = 1 + below(&rng, 4), flits = 1 + below(&rng, 60);
        traffic t = {.count = senders};
        for (int k = 0; k < senders; k++)
            t.list[k] = (transfer){.op = KB_TXN_WRITE,
                                   .pe = k,
                                   .offset = (uint64_t)k << 20,
                                   .bytes = 256 * (uint64_t)flits};
        /* Ready at the crossbar after a link and its overhead; then one flit after another; the
         * last burst, 256 B at 100 TB/s: 3 ps; the acknowledgement passes the crossbar. */
        kb_time ns = kb_time_from_ns(overhead);
        kb_time expected = kb_time_transfer(256, in) + ns +
                           (kb_time)(senders * flits) * kb_time_transfer(256, out) + 3 + ns;
        assert_int_equal(run(&b, &t).last, expected);
        bed_close(&b);
    }
}

static void idle_hardware_changes_nothing(void **state)
{
    (void)state;
    kb_rng rng = {103};
    for (int i = 0; i < 50; i++) {
        random_sets sets = {.count = 0};
        bed any = random_bed_on(DEFAULT_YAML, &sets, &rng);
        bed_close(&any);
        random_flow_control(&sets, &rng);
        int sips = 1 + below(&rng, 2), w = 1 + below(&rng, 3), h = 1 + below(&rng, 3);
        add_number(&sets, "system.sips.count", sips);
        add_number(&sets, "sip.cube_mesh.w", w);
        add_number(&sets, "sip.cube_mesh.h", h);
        bed b = bed_yaml(DEFAULT_YAML, sets.list);
        scope s = whole(&b);
        traffic t = random_traffic(&s, &rng, 20, 5000);
        outcome small = run(&b, &t);
        bed_close(&b);
        /* More SIPs, and more rows of cubes on the side where no chiplet is. */
        add_number(&sets, "system.sips.count", sips + 1 + below(&rng, 3));
        add_number(&sets, "sip.cube_mesh.h", h + below(&rng, 2));
        b = bed_yaml(DEFAULT_YAML, sets.list);
        outcome large = run(&b, &t);
        bed_close(&b);
        assert_memory_equal(small.ended, large.ended, (size_t)t.count * sizeof small.ended[0]);
        assert_true(small.trace == large.trace);
    }
}

/* Every time that the tables hold, k times as fast. Times are multiples of 40 ps before, and k is
 * at most 8, so no division is rounded: 256 B at 32..256 GB/s take 1 to 8 ns, wires 40 ps/mm. */
static bed scaled_bed(uint64_t seed, int k)
{
    static const char *const times[] = {"cube.noc.overhead_ns",      "cube.ucie.overhead_ns",
                                        "cube.xbar.overhead_ns",     "cube.bridge.overhead_ns",
                                        "io.pcie_ep.overhead_ns",    "io.ucie.overhead_ns",
                                        "system.switch.overhead_ns", "pe.pe_dma.overhead_ns"};
    static const char *const rates[] = {"cube.noc.bw_gbs",
                                        "cube.ucie.bw_gbs",
                                        "cube.bridge.bw_gbs",
                                        "cube.xbar.pe_to_xbar_bw_gbs",
                                        "cube.sram.bw_gbs",
                                        "cube.xbar.xbar_to_hbm_bw_gbs",
                                        "cube.xbar.noc_to_xbar_bw_gbs",
                                        "io.io_noc.bw_gbs",
                                        "system.host_link.bw_gbs",
                                        "system.fabric.bw_gbs",
                                        "pe.pe_tcm.read_bw_gbs",
                                        "pe.pe_tcm.write_bw_gbs"};
    kb_rng rng = {seed};
    random_sets s = {.count = 0};
    add_number(&s, "system.flit_bytes", 256 << below(&rng, 3));
    add_number(&s, "sip.cube_mesh.w", 1 + below(&rng, 3));
    add_number(&s, "sip.cube_mesh.h", 1 + below(&rng, 3));
    add_set(&s, "cube.hbm_access", below(&rng, 2) ? "xbar" : "router");
    add_number(&s, "cube.memory_map.hbm_slices_per_cube", 2 << below(&rng, 3)); /* whole mm */
    for (size_t i = 0; i < sizeof times / sizeof times[0]; i++)
        add_number(&s, times[i], 0.04 * below(&rng, 500) / k);
    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++)
        add_number(&s, rates[i], (32 << below(&rng, 4)) * k);
    add_number(&s, "system.ns_per_mm", 0.04 / k);
    add_number(&s, "cube.hbm_ctrl.pc_bw_gbs", 32 * k);
    add_number(&s, "cube.hbm_ctrl.switch_penalty_ns", 0.04 * below(&rng, 200) / k);
    random_flow_control(&s, &rng);
    return bed_yaml(DEFAULT_YAML, s.list);
}

static void clocks_k_times_as_fast_take_a_kth_of_the_time(void **state)
{
    (void)state;
    static const int factors[] = {2, 4, 5, 8};
    kb_rng rng = {104};
    for (uint64_t i = 0; i < 50; i++) {
        int k = factors[below(&rng, 4)];
        bed b = scaled_bed(i, 1);
        scope s = whole(&b);
        s.granule = 256;
        traffic t = random_traffic(&s, &rng, 24, 60);
        for (int x = 0; x < t.count; x++) t.list[x].start = t.list[x].start / 40 * 40;
        outcome slow = run(&b, &t);
        bed_close(&b);
        for (int x = 0; x < t.count; x++) t.list[x].start /= (kb_time)k;
        b = scaled_bed(i, k);
        outcome fast = run(&b, &t);
        bed_close(&b);
        for (int x = 0; x < t.count; x++)
            assert_int_equal(slow.ended[x], fast.ended[x] * (kb_time)k);
    }
}

static void a_doubled_bandwidth_never_slows_a_lone_transfer(void **state)
{
    (void)state;
    static const char *const rates[] = {"cube.noc.bw_gbs",         "cube.ucie.bw_gbs",
                                        "cube.bridge.bw_gbs",      "cube.xbar.pe_to_xbar_bw_gbs",
                                        "cube.sram.bw_gbs",        "cube.xbar.xbar_to_hbm_bw_gbs",
                                        "system.host_link.bw_gbs", "system.fabric.bw_gbs",
                                        "cube.hbm_ctrl.pc_bw_gbs"};
    kb_rng rng = {105};
    int faster = 0;
    for (int i = 0; i < 80; i++) {
        random_sets sets = {.count = 0};
        bed any = random_bed_on(DEFAULT_YAML, &sets, &rng);
        bed_close(&any);
        const char *rate = rates[below(&rng, 9)];
        double gbs = random_gbs(&rng);
        add_number(&sets, rate, gbs);
        bed b = bed_yaml(DEFAULT_YAML, sets.list);
        scope s = whole(&b);
        s.tcm = false;
        traffic t = random_traffic(&s, &rng, 1, 20000);
        kb_time before = run(&b, &t).last;
        bed_close(&b);
        add_number(&sets, rate, 2 * gbs);
        b = bed_yaml(DEFAULT_YAML, sets.list);
        kb_time after = run(&b, &t).last;
        bed_close(&b);
        assert_true(after <= before);
        faster += after < before;
    }
    assert_true(faster > 10); /* most doublings are of something that the transfer does not use */
}

static void pes_of_a_symmetric_pair_can_be_exchanged(void **state)
{
    (void)state;
    kb_rng rng = {106};
    for (int i = 0; i < 40; i++) {
        /* Without lengths the PEs of a corner differ only in which link to the crossbar is theirs.
         */
        bed b = bed_make("system.ns_per_mm=0");
        scope s = whole(&b);
        s.sips = s.cubes = 1;
        s.host = s.tcm = false;
        traffic t = random_traffic(&s, &rng, 24, 20000);
        for (int x = 0; x < t.count; x++)
            if (t.list[x].slice < 0) t.list[x].slice = 0;
        outcome one = run(&b, &t);
        bed_close(&b);
        int corner = below(&rng, 4);
        for (int x = 0; x < t.count; x++)
            if (t.list[x].pe / 2 == corner) t.list[x].pe ^= 1;
        b = bed_make("system.ns_per_mm=0");
        outcome other = run(&b, &t);
        bed_close(&b);
        assert_memory_equal(one.ended, other.ended, (size_t)t.count * sizeof one.ended[0]);
    }
}

static void the_same_input_gives_the_same_trace(void **state)
{
    (void)state;
    kb_rng rng = {107};
    for (int i = 0; i < 30; i++) {
        kb_rng again = rng;
        bed b = random_bed_with_buffers(&rng), c = random_bed_with_buffers(&again);
        scope s = whole(&b);
        s.spread = below(&rng, 2) ? 5000 : 0; /* all at once too: ties */
        traffic t = random_traffic(&s, &rng, 24, 10000);
        outcome one = run(&b, &t), two = run(&c, &t);
        assert_true(one.trace == two.trace);
        assert_memory_equal(one.ended, two.ended, sizeof one.ended);
        assert_int_equal(b.sim->events, c.sim->events);
        bed_close(&b);
        bed_close(&c);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_faster_than_its_busiest_link),
        cmocka_unit_test(fan_in_takes_all_bytes_over_the_bandwidth),
        cmocka_unit_test(idle_hardware_changes_nothing),
        cmocka_unit_test(clocks_k_times_as_fast_take_a_kth_of_the_time),
        cmocka_unit_test(a_doubled_bandwidth_never_slows_a_lone_transfer),
        cmocka_unit_test(pes_of_a_symmetric_pair_can_be_exchanged),
        cmocka_unit_test(the_same_input_gives_the_same_trace),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

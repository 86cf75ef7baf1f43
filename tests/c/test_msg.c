/* Control messages (laws T5 and T8): one start for all PEs, completion gathered on the way back. */
#include "hw/msg.h"
#include "machine.h"

enum { PES = 8, CUBES = 16 };

typedef struct post {
    kb_msg msg;
    kb_msg_target targets[CUBES];
    kb_time delivered[CUBES][32]; /* by index into targets, and PE */
    kb_time work[CUBES][32];      /* how long each PE takes until it reports */
    uint32_t count;
    bool done;
} post;

static void report(kb_sim *sim, void *object, uint64_t target_pe)
{
    (void)sim;
    post *p = object;
    kb_msg_report(&p->msg, (int)(target_pe >> 8), (int)(target_pe & 0xff));
}

static void deliver(kb_msg *msg, int target, int pe)
{
    post *p = msg->object;
    assert_int_equal(p->delivered[target][pe], 0); /* once */
    p->delivered[target][pe] = msg->m->sim->now;
    p->count++;
    kb_sim_after(msg->m->sim, p->work[target][pe], report, p, (uint64_t)target << 8 | (uint64_t)pe);
}

static void done(kb_sim *sim, void *object, uint64_t arg)
{
    (void)sim;
    (void)arg;
    post *p = object;
    assert_false(p->done);
    p->done = true;
}

/* To the PEs in `mask` of cubes 0..count-1. */
static kb_msg *write_to(bed *b, post *p, int sip, int cubes, uint32_t mask, bool launch)
{
    p->msg = (kb_msg){.m = b->m,
                      .sip = sip,
                      .synchronised = launch,
                      .component = launch ? KB_PE_CPU : KB_PE_MMU,
                      .targets = p->targets,
                      .target_count = (uint32_t)cubes,
                      .deliver = deliver,
                      .done = done,
                      .object = p};
    for (int c = 0; c < cubes; c++) p->targets[c] = (kb_msg_target){c, mask, 0};
    return &p->msg;
}

static void send(bed *b, post *p, int sip, int cubes, uint32_t mask, bool launch)
{
    kb_msg_send(write_to(b, p, sip, cubes, mask, launch));
}

static kb_time way(bed *b, kb_node from, kb_node to)
{
    kb_path path = {0};
    assert_int_equal(kb_route(b->m->graph, from, to, &path, NULL), KB_OK);
    kb_time time = kb_path_command_time(b->m->graph, &path);
    kb_path_free(&path);
    return time;
}

static kb_time from_io_cpu(bed *b, int sip, int cube, int pe, kb_kind part)
{
    const kb_graph *g = b->m->graph;
    kb_node m_cpu = kb_graph_m_cpu(g, sip, cube);
    return way(b, kb_graph_io_cpu(g, sip, 0), m_cpu) +
           way(b, m_cpu, kb_graph_pe(g, sip, cube, pe, part));
}

/* host -> io_cpu: 200 mm, pcie_ep 5 ns, 2 mm, io_noc, 2 mm, io_cpu 10 ns. */
enum { TO_IO_CPU = 2000 + 5000 + 20 + 20 + 10000 };

static void a_launch_of_one_cube_starts_when_its_farthest_pe_can(void **state)
{
    (void)state;
    bed b = bed_default();
    static post p;
    p = (post){.count = 0};
    send(&b, &p, 0, 1, 0xff, true);
    run_all(&b);
    /* io_cpu -> io_noc -> PHY (8 ns) -> port (8 ns) -> r0c1 -> r0c2 -> m_cpu (5 ns), 2 mm each;
     * then from r0c2 to pe7 at r5c5: 3 + 5 hops of 2 mm, and pe_cpu's 2 ns. */
    kb_time m_cpu = 20 + 20 + 8000 + 20 + 8000 + 20 + 20 + 5000;
    kb_time start = TO_IO_CPU + m_cpu + 8 * 20 + 2000;
    for (int pe = 0; pe < PES; pe++) assert_int_equal(p.delivered[0][pe], start);
    /* pe7 is the last to report: the same hops and m_cpu; then back without io_cpu's neighbours. */
    kb_time back = 8 * 20 + 5000 + 20 + 20 + 8000 + 20 + 8000 + 20 + 20 + 10000;
    assert_int_equal(p.msg.reported, start + back);
    assert_int_equal(p.msg.completed, start + back + 20 + 20 + 5000 + 2000);
    bed_close(&b);
}

static void every_pe_of_a_launch_begins_at_the_same_picosecond(void **state)
{
    (void)state;
    /* io_cpu on each side in turn: the farthest PE is the first or the last of the targets, or
     * between. */
    static const char *const machines[][4] = {
        {"sip.io_chiplets[0].side=N", NULL},
        {"sip.io_chiplets[0].side=S", NULL},
        {"sip.io_chiplets[0].side=E", "cube.hbm_access=router", NULL},
        {"sip.io_chiplets[0].side=W", "sip.cube_mesh.w=2", "sip.cube_mesh.h=8", NULL}};
    for (size_t i = 0; i < 4; i++) {
        bed b = bed_yaml("sip:\n  io_chiplets:\n    - side: N\n    - side: E\n", machines[i]);
        static post p;
        p = (post){.count = 0};
        send(&b, &p, 1, CUBES, 0xff, true);
        run_all(&b);
        kb_time longest = 0;
        for (int c = 0; c < CUBES; c++)
            for (int pe = 0; pe < PES; pe++) {
                kb_time time = from_io_cpu(&b, 1, c, pe, KB_PE_CPU);
                longest = time > longest ? time : longest;
            }
        assert_int_equal(p.count, CUBES * PES);
        for (int c = 0; c < CUBES; c++)
            for (int pe = 0; pe < PES; pe++)
                assert_int_equal(p.delivered[c][pe], TO_IO_CPU + longest);
        bed_close(&b);
    }
}

static void only_the_targets_decide_when_it_starts(void **state)
{
    (void)state;
    bed b = bed_default();
    static post p;
    p = (post){.count = 0};
    send(&b, &p, 0, 2, 0x05, true); /* pe0 and pe2 of cubes 0 and 1 */
    run_all(&b);
    kb_time longest = 0;
    for (int c = 0; c < 2; c++)
        for (int pe = 0; pe < PES; pe += 2) {
            kb_time time = from_io_cpu(&b, 0, c, pe, KB_PE_CPU);
            if (pe <= 2 && time > longest) longest = time;
        }
    assert_int_equal(p.count, 4);
    assert_int_equal(p.delivered[1][2], TO_IO_CPU + longest);
    assert_int_equal(p.delivered[0][0], p.delivered[1][2]);
    assert_int_equal(p.delivered[0][1], 0);
    bed_close(&b);
}

static void completion_waits_for_the_last_report_at_each_level(void **state)
{
    (void)state;
    bed b = bed_default();
    const kb_graph *g = b.m->graph;
    static post p;
    p = (post){.count = 0};
    for (int c = 0; c < CUBES; c++)
        for (int pe = 0; pe < PES; pe++) p.work[c][pe] = (kb_time)(1000 * ((c * 7 + pe * 13) % 37));
    send(&b, &p, 0, CUBES, 0xff, true);
    run_all(&b);
    kb_time last = 0, io_cpu = kb_graph_io_cpu(g, 0, 0);
    for (int c = 0; c < CUBES; c++) {
        kb_node m_cpu = kb_graph_m_cpu(g, 0, c);
        for (int pe = 0; pe < PES; pe++) {
            kb_time at = p.delivered[c][pe] + p.work[c][pe] +
                         way(&b, kb_graph_pe(g, 0, c, pe, KB_PE_CPU), m_cpu) +
                         way(&b, m_cpu, (kb_node)io_cpu);
            last = at > last ? at : last;
        }
    }
    assert_true(p.done);
    assert_int_equal(p.msg.reported, last);
    assert_int_equal(p.msg.completed, last + way(&b, (kb_node)io_cpu, kb_graph_host(g)));
    bed_close(&b);
}

static void launches_of_a_sip_run_in_order_and_sips_side_by_side(void **state)
{
    (void)state;
    bed b = bed_default();
    static post p[3], other;
    other = (post){.count = 0};
    for (int i = 0; i < 3; i++) {
        p[i] = (post){.count = 0};
        p[i].work[0][3] = 500000;
        send(&b, &p[i], 0, 1, 0x08, true);
    }
    send(&b, &other, 1, 1, 0x08, true);
    run_all(&b);
    kb_time trip = from_io_cpu(&b, 0, 0, 3, KB_PE_CPU);
    assert_int_equal(p[0].delivered[0][3], TO_IO_CPU + trip);
    assert_int_equal(other.delivered[0][3], TO_IO_CPU + trip);
    for (int i = 1; i < 3; i++) {
        assert_true(p[i].msg.at_io_cpu >= p[i - 1].msg.reported);
        assert_int_equal(p[i].delivered[0][3], p[i - 1].msg.reported + trip);
    }
    bed_close(&b);
}

static void map_messages_arrive_as_soon_as_they_can_and_do_not_queue(void **state)
{
    (void)state;
    bed b = bed_default();
    static post launch, map;
    launch = map = (post){.count = 0};
    launch.work[0][0] = 1000000;
    send(&b, &launch, 0, 1, 0x01, true);
    send(&b, &map, 0, CUBES, 0xff, false);
    run_all(&b);
    for (int c = 0; c < CUBES; c++)
        for (int pe = 0; pe < PES; pe++)
            assert_int_equal(map.delivered[c][pe],
                             TO_IO_CPU + from_io_cpu(&b, 0, c, pe, KB_PE_MMU));
    assert_true(map.done && map.msg.completed < launch.msg.completed);
    bed_close(&b);
}

static void messages_are_not_delayed_by_traffic_nor_occupy_links(void **state)
{
    (void)state;
    bed b = bed_default();
    static post p;
    p = (post){.count = 0};
    send(&b, &p, 0, 1, 0xff, true);
    run_all(&b);
    kb_time start = p.delivered[0][0];
    bed_close(&b);
    b = bed_default();
    p = (post){.count = 0};
    kb_time alone, ended;
    begin_txn(&b, KB_TXN_WRITE, node_of(&b, "host"), node_of(&b, "sip0.cube0.hbm_ctrl.slice0"), 0,
              65536, &alone);
    run_all(&b);
    kb_time began = b.sim->now;
    begin_txn(&b, KB_TXN_WRITE, node_of(&b, "host"), node_of(&b, "sip0.cube0.hbm_ctrl.slice0"), 0,
              65536, &ended);
    send(&b, &p, 0, 1, 0xff, true);
    run_all(&b);
    assert_int_equal(p.delivered[0][0] - began, start);
    assert_int_equal(ended - began, alone);
    bed_close(&b);
}

/* ---- groups ---- */

static kb_time longest_from_io_cpu(bed *b, int sip, int cubes, uint32_t mask)
{
    kb_time longest = 0;
    for (int c = 0; c < cubes; c++)
        for (int pe = 0; pe < PES; pe++) {
            kb_time time = from_io_cpu(b, sip, c, pe, KB_PE_CPU);
            if (mask >> pe & 1 && time > longest) longest = time;
        }
    return longest;
}

static void a_group_begins_on_all_sips_at_the_same_picosecond(void **state)
{
    (void)state;
    static const struct {
        int cubes;
        uint32_t mask;
    } extent[3] = {{1, 0x01}, {CUBES, 0xff}, {4, 0x30}};
    for (size_t sips = 2; sips <= 3; sips++) {
        bed b = bed_make("system.sips.count=3");
        static post p[3];
        kb_msg *messages[3];
        kb_time latest = 0;
        for (size_t s = 0; s < sips; s++) {
            p[s] = (post){.count = 0};
            messages[s] = write_to(&b, &p[s], (int)s, extent[s].cubes, extent[s].mask, true);
            kb_time way = longest_from_io_cpu(&b, (int)s, extent[s].cubes, extent[s].mask);
            latest = way > latest ? way : latest;
        }
        /* Alone, SIP 0 would begin with its first cube. */
        assert_true(longest_from_io_cpu(&b, 0, 1, 0x01) < latest);
        kb_msg_send_group(messages, sips);
        run_all(&b);
        for (size_t s = 0; s < sips; s++) {
            assert_true(p[s].done);
            assert_int_equal(p[s].msg.target_start, TO_IO_CPU + latest);
            for (int c = 0; c < extent[s].cubes; c++)
                for (int pe = 0; pe < PES; pe++)
                    assert_int_equal(p[s].delivered[c][pe],
                                     extent[s].mask >> pe & 1 ? TO_IO_CPU + latest : 0);
        }
        bed_close(&b);
    }
}

static void a_group_of_one_is_a_launch(void **state)
{
    (void)state;
    bed b = bed_default();
    static post alone, group;
    alone = group = (post){.count = 0};
    send(&b, &alone, 0, CUBES, 0xff, true);
    kb_msg *message = write_to(&b, &group, 1, CUBES, 0xff, true);
    kb_msg_send_group(&message, 1);
    run_all(&b);
    assert_int_equal(alone.msg.target_start, group.msg.target_start);
    assert_int_equal(alone.msg.completed, group.msg.completed);
    bed_close(&b);
}

static void a_group_waits_until_its_sips_are_free_and_is_not_overtaken(void **state)
{
    (void)state;
    bed b = bed_make("system.sips.count=3");
    static post before, group[2], behind, elsewhere;
    before = group[0] = group[1] = behind = elsewhere = (post){.count = 0};
    before.work[0][0] = 500000;
    kb_msg *messages[2] = {write_to(&b, &group[0], 0, 1, 0x01, true),
                           write_to(&b, &group[1], 1, CUBES, 0xff, true)};
    send(&b, &before, 1, 1, 0x01, true);
    kb_msg_send_group(messages, 2);
    send(&b, &behind, 0, 1, 0x01, true); /* its SIP is free, but the group comes first */
    send(&b, &elsewhere, 2, 1, 0x01, true);
    run_all(&b);
    kb_time short_way = TO_IO_CPU + longest_from_io_cpu(&b, 0, 1, 0x01);
    kb_time long_way = TO_IO_CPU + longest_from_io_cpu(&b, 1, CUBES, 0xff);
    assert_int_equal(before.delivered[0][0], short_way);
    assert_int_equal(elsewhere.delivered[0][0], short_way);
    kb_time start = before.msg.completed + long_way;
    assert_int_equal(group[0].delivered[0][0], start);
    assert_int_equal(group[1].delivered[0][0], start);
    assert_int_equal(group[1].delivered[CUBES - 1][7], start);
    /* The one behind was sent with the group and waited at io_cpu until it had reported. */
    assert_int_equal(behind.delivered[0][0], group[0].msg.reported + short_way - TO_IO_CPU);
    bed_close(&b);
}

static void groups_follow_one_another(void **state)
{
    (void)state;
    bed b = bed_default();
    static post p[3][2];
    kb_msg *messages[2];
    for (int i = 0; i < 3; i++) {
        for (int s = 0; s < 2; s++) {
            p[i][s] = (post){.count = 0};
            p[i][s].work[0][0] = 1000 * (kb_time)(1 + s);
            messages[s] = write_to(&b, &p[i][s], s, 1, 0x01, true);
        }
        kb_msg_send_group(messages, 2);
    }
    run_all(&b);
    kb_time way = TO_IO_CPU + longest_from_io_cpu(&b, 0, 1, 0x01);
    for (int i = 0; i < 3; i++) {
        kb_time from = i ? p[i - 1][1].msg.completed : 0; /* SIP 1 works longer */
        for (int s = 0; s < 2; s++) assert_int_equal(p[i][s].delivered[0][0], from + way);
    }
    assert_null(b.m->held);
    bed_close(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_launch_of_one_cube_starts_when_its_farthest_pe_can),
        cmocka_unit_test(every_pe_of_a_launch_begins_at_the_same_picosecond),
        cmocka_unit_test(only_the_targets_decide_when_it_starts),
        cmocka_unit_test(completion_waits_for_the_last_report_at_each_level),
        cmocka_unit_test(launches_of_a_sip_run_in_order_and_sips_side_by_side),
        cmocka_unit_test(map_messages_arrive_as_soon_as_they_can_and_do_not_queue),
        cmocka_unit_test(messages_are_not_delayed_by_traffic_nor_occupy_links),
        cmocka_unit_test(a_group_begins_on_all_sips_at_the_same_picosecond),
        cmocka_unit_test(a_group_of_one_is_a_launch),
        cmocka_unit_test(a_group_waits_until_its_sips_are_free_and_is_not_overtaken),
        cmocka_unit_test(groups_follow_one_another),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

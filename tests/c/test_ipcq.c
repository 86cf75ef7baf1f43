/* Queues between PEs (pe_ipcq.h): what messages, splitting, credits and backpressure take, to the
 * picosecond. The memory side of the expected times is kb_closed_form; the rest is written out. */
#include "hw/pe/pe_ipcq.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "engine/ipcq.h"
#include "hw/closed_form.h"

#define DEFAULT KB_SOURCE_DIR "/topology.yaml"

/* ---- a machine with a pair of PEs that are joined ---- */

typedef struct place {
    int sip, cube, pe;
} place;

static const place PE0 = {0, 0, 0};

typedef struct bed {
    kb_engine *e;
    kb_ipcq_ring *ring; /* from PE0 to the other */
    kb_pe *from, *to;
} bed;

static void run(const bed *b)
{
    kb_engine_run(b->e, KB_TIME_NEVER, UINT64_MAX, NULL, NULL);
}

static void install(const bed *b, const kb_ipcq_desc *desc)
{
    kb_err err = {0};
    kb_ipcq_work *work;
    if (kb_ipcq_install(b->e, desc, &work, &err)) fail_msg("%s", err.text);
    run(b);
    assert_true(kb_completion_done(&work->done));
    kb_ipcq_work_release(work);
}

/* PE0's "out" leads to the other's "in". */
static void join(bed *b, place other, const kb_ipcq_shape *shape)
{
    kb_ipcq_desc_pe pes[2] = {{PE0.sip, PE0.cube, PE0.pe, 0, 1},
                              {other.sip, other.cube, other.pe, 1, 1}};
    kb_ipcq_desc_direction ways[2] = {{"out", other.sip, other.cube, other.pe, "in"},
                                      {"in", PE0.sip, PE0.cube, PE0.pe, "out"}};
    install(b, &(kb_ipcq_desc){*shape, pes, ways, 2, 2});
    kb_err err = {0};
    b->from = kb_machine_pe(b->e->m, PE0.sip, PE0.cube, PE0.pe);
    b->to = kb_machine_pe(b->e->m, other.sip, other.cube, other.pe);
    assert_int_equal(kb_ipcq_open(kb_ipcq_find(b->from, "out"), true, &b->ring, &err), 0);
}

static bed make_with(const char *arbitration, place other, kb_ipcq_shape shape)
{
    kb_err err = {0};
    bed b = {0};
    char set[64];
    snprintf(set, sizeof set, "pe.pe_dma.vc_arbitration=%s", arbitration);
    const char *sets[] = {set};
    kb_engine_options options = {.topology = DEFAULT, .sets = sets, .set_count = 1};
    if (kb_engine_create(&b.e, &options, &err)) fail_msg("%s", err.text);
    join(&b, other, &shape);
    return b;
}

static bed make(place other, kb_ipcq_shape shape)
{
    return make_with("fcfs", other, shape);
}

static kb_ipcq_shape rings(kb_ipcq_buffer buffer, uint32_t n_slots)
{
    return (kb_ipcq_shape){"test", buffer, n_slots, 4096, 16, false, 0};
}

static void must_pass(void *user, const char *text)
{
    (void)user;
    fail_msg("audit: %s", text);
}

static void end(bed *b)
{
    run(b);
    kb_ipcq_audit(b->e->m, must_pass, NULL);
    kb_engine_destroy(b->e);
}

/* ---- messages and when they were where ---- */

enum { MOST = 16 };

typedef struct message {
    const bed *b;
    kb_value *value, *got;
    kb_time sent, posted, acknowledged, received;
    bool matches;
} message;

static void on_posted(kb_sim *sim, void *object, uint64_t arg)
{
    (void)arg;
    ((message *)object)->posted = sim->now;
}

static void on_acknowledged(kb_sim *sim, void *object, uint64_t arg)
{
    (void)arg;
    ((message *)object)->acknowledged = sim->now;
}

static void on_received(void *object, kb_value *value, bool matches, uint32_t slot)
{
    (void)slot;
    message *m = object;
    m->received = m->b->e->sim->now;
    m->got = value;
    m->matches = matches;
}

static message bytes(const bed *b, size_t count)
{
    return (message){.b = b, .value = kb_value_create(NULL, KB_U8, 1, &count)};
}

static void send(message *m)
{
    m->sent = m->b->e->sim->now;
    kb_ipcq_send(m->b->ring, m->value, on_posted, on_acknowledged, m);
}

static void receive(message *m)
{
    kb_ipcq_receive_value(m->b->ring, m->value, false, on_received, m);
}

/* It came: at that time since it was sent, with its value. */
static void expect(message *m, kb_time time)
{
    assert_true(m->matches);
    assert_ptr_equal(m->got, m->value);
    assert_int_equal(m->received - m->sent, time);
    kb_value_release(m->value);
}

/* ---- the laws, written out ---- */

static kb_formula transfer_at(const bed *b, kb_txn_op op, const kb_pe *pe, uint64_t at,
                              uint64_t count)
{
    kb_err err = {0};
    kb_node memory;
    uint64_t offset;
    kb_formula f;
    assert_int_equal(kb_machine_memory(b->e->m, b->ring->to->rx, &memory, &offset, &err), 0);
    int status = kb_closed_form(b->e->m, op, pe->dma_node, memory, offset + at, count, &f, &err);
    assert_int_equal(status, 0);
    return f;
}

static kb_formula transfer(const bed *b, kb_txn_op op, const kb_pe *pe, uint64_t count)
{
    return transfer_at(b, op, pe, 0, count);
}

/* From the start of the transaction to the last byte in the slot. */
static kb_time commit(const bed *b, uint64_t count)
{
    kb_formula f = transfer(b, KB_TXN_WRITE, b->from, count);
    return f.total - f.command;
}

/* Out of the slot: TCM's ports of 512 GB/s one after the other, or a read by the receiver's DMA. */
static kb_time copy(const bed *b, kb_ipcq_buffer buffer, uint64_t count)
{
    if (buffer != KB_IPCQ_TCM) return transfer(b, KB_TXN_READ, b->to, count).total;
    return 2 * kb_time_transfer(count, 512);
}

static kb_time slowest_and_commands(const bed *b, double *gbs)
{
    const kb_graph *g = b->e->m->graph;
    kb_path path = {0};
    kb_err err = {0};
    kb_node from = kb_graph_pe(g, b->to->sip, b->to->cube, b->to->number, KB_PE_IPCQ);
    kb_node to = kb_graph_pe(g, b->from->sip, b->from->cube, b->from->number, KB_PE_IPCQ);
    assert_int_equal(kb_route(g, from, to, &path, &err), 0);
    *gbs = 1e9;
    for (size_t i = 0; i < path.edges.count; i++) {
        double here = kb_graph_edge_info(g, path.edges.data[i])->gbs;
        if (here < *gbs) *gbs = here;
    }
    kb_time time = kb_path_command_time(g, &path);
    kb_path_free(&path);
    return time;
}

/* T1 and T3 of the way back, and 16 B at its slowest link. */
static kb_time credit(const bed *b)
{
    double gbs;
    kb_time time = slowest_and_commands(b, &gbs);
    return time + kb_time_transfer(16, gbs);
}

/* ---- one message ---- */

/* pe0 and pe1 have neighbouring routers, 2 mm apart: links of 256 GB/s before, between and behind.
 * 256 B: 3 x 1 ns and 0.02 ns to the TCM, 0.5 through its write port, 2 x 0.5 to copy it out. */
static void a_flit_to_the_next_pe_takes_4_520_ns(void **state)
{
    (void)state;
    bed b = make((place){0, 0, 1}, rings(KB_IPCQ_TCM, 4));
    message m = bytes(&b, 256);
    send(&m);
    receive(&m);
    run(&b);
    assert_int_equal(m.posted - m.sent, 1000);
    assert_int_equal(m.acknowledged - m.sent, 3520 + 20);
    expect(&m, 4520);
    /* the credit: 0.02 ns, 1 ns at the sender's pe_ipcq, 16 B at 256 GB/s */
    assert_int_equal(b.ring->credit_time, 20 + 1000 + 63);
    end(&b);
}

static void a_message_pays_the_way_to_its_ring_and_the_way_out_of_it(void **state)
{
    (void)state;
    static const place others[] = {{0, 0, 1}, {0, 0, 7}, {0, 1, 0}, {0, 4, 3}, {1, 5, 2}};
    static const size_t sizes[] = {1, 128, 256, 384, 4000, 4096};
    for (int kind = 0; kind < KB_IPCQ_BUFFERS; kind++)
        for (size_t o = 0; o < sizeof others / sizeof *others; o++) {
            bed b = make(others[o], rings((kb_ipcq_buffer)kind, 4));
            for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
                message m = bytes(&b, sizes[s]);
                /* always the first slot, whose address the formula takes */
                while (b.ring->sent % 4) {
                    message filler = bytes(&b, 1);
                    receive(&filler);
                    send(&filler);
                    run(&b);
                    kb_value_release(filler.value);
                }
                receive(&m);
                send(&m);
                run(&b);
                assert_int_equal(m.acknowledged - m.sent,
                                 transfer(&b, KB_TXN_WRITE, b.from, sizes[s]).total);
                expect(&m, commit(&b, sizes[s]) + copy(&b, (kb_ipcq_buffer)kind, sizes[s]));
            }
            assert_int_equal(b.ring->credit_time, credit(&b));
            end(&b);
        }
}

static void a_receive_that_comes_later_only_copies(void **state)
{
    (void)state;
    bed b = make((place){0, 1, 0}, rings(KB_IPCQ_TCM, 4));
    message m = bytes(&b, 1024);
    send(&m);
    run(&b);
    m.sent = b.e->sim->now;
    receive(&m);
    run(&b);
    expect(&m, 2 * 1000 * 1024 / 512); /* 1024 B at 512 GB/s, twice */
    end(&b);
}

/* ---- several parts ---- */

/* pe_dma has one write under way at a time, so a part begins when the one before it has been
 * acknowledged. Received afterwards, parts go one behind the other through TCM's read port, and
 * then through its write port. */
static void parts_of_a_slot_follow_each_other(void **state)
{
    (void)state;
    static const size_t sizes[] = {4097, 8192, 10240, 16384};
    static const place others[] = {{0, 0, 1}, {0, 1, 0}, {1, 0, 0}};
    for (size_t o = 0; o < 3; o++)
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
            bed b = make(others[o], rings(KB_IPCQ_TCM, 4));
            message m = bytes(&b, sizes[s]);
            send(&m);
            run(&b);
            kb_time start = 0, read = 0, written = 0;
            size_t part = 0;
            for (size_t done = 0; done < sizes[s]; done += part) {
                part = sizes[s] - done < 4096 ? sizes[s] - done : 4096;
                read += kb_time_transfer(part, 512);
                written = (read > written ? read : written) + kb_time_transfer(part, 512);
                if (done + part < sizes[s]) start += transfer(&b, KB_TXN_WRITE, b.from, part).total;
            }
            assert_int_equal(m.posted - m.sent, start + kb_time_transfer(part, 256));
            assert_int_equal(m.acknowledged - m.sent,
                             start + transfer(&b, KB_TXN_WRITE, b.from, part).total);
            assert_int_equal(b.e->m->ipcq->books.parts, (sizes[s] + 4095) / 4096);
            m.sent = b.e->sim->now;
            receive(&m);
            run(&b);
            expect(&m, written);
            end(&b);
        }
}

/* ---- chunks ---- */

/* Each chunk is a transaction that begins when the one before it is acknowledged, on the way in and
 * on the way out of HBM and SRAM. Nothing is seen before the last one is committed. */
static void chunks_of_a_part_follow_each_other(void **state)
{
    (void)state;
    static const place others[] = {{0, 0, 1}, {0, 4, 3}, {1, 5, 2}};
    static const size_t sizes[] = {16, 1536, 1537, 4000, 4096};
    enum { CHUNK = 1536 };
    for (int kind = 0; kind < KB_IPCQ_BUFFERS; kind++)
        for (size_t n = 0; n < 15; n++) {
            size_t size = sizes[n % 5], chunk = 0;
            kb_ipcq_shape shape = rings((kb_ipcq_buffer)kind, 4);
            shape.chunk_bytes = CHUNK;
            bed b = make(others[n / 5], shape);
            message m = bytes(&b, size);
            receive(&m);
            send(&m);
            run(&b);
            kb_time before = 0, out = 0;
            kb_formula last = {0};
            for (size_t at = 0; at < size; at += chunk) {
                chunk = size - at < CHUNK ? size - at : CHUNK;
                before += last.total;
                last = transfer_at(&b, KB_TXN_WRITE, b.from, at, chunk);
                out +=
                    kind == KB_IPCQ_TCM ? 0 : transfer_at(&b, KB_TXN_READ, b.to, at, chunk).total;
            }
            assert_int_equal(m.acknowledged - m.sent, before + last.total);
            assert_int_equal(m.posted - m.sent, before + kb_time_transfer(chunk, 256));
            if (kind == KB_IPCQ_TCM) out = 2 * kb_time_transfer(size, 512);
            assert_int_equal(b.e->m->ipcq->books.parts, 1);
            expect(&m, before + last.total - last.command + out);
            end(&b);
        }
}

static void stored(kb_sim *sim, void *object, uint64_t since)
{
    *(kb_time *)object = sim->now - since;
}

/* A message of a slot, and three stores of 256 B that come just behind it. */
static void send_before_stores(const bed *b, message *m, kb_time stores[3])
{
    receive(m);
    send(m);
    kb_engine_run(b->e, b->e->sim->now, UINT64_MAX, NULL, NULL); /* its first chunk is under way */
    for (int i = 0; i < 3; i++) {
        kb_pieces pieces = {0};
        kb_vec_push(&pieces, ((kb_piece){.pa = b->ring->to->rx, .rows = 1, .row_bytes = 256}));
        kb_pe_dma_vc(b->from, KB_DMA_WRITE, KB_VC_COMPUTE, &pieces, stored, &stores[i],
                     b->e->sim->now);
    }
}

/* With the whole slot in one transaction the stores wait for all of it. In chunks of 1 KiB, first
 * come, first served, they wait for the first; taking turns, each waits for one. */
static void stores_go_between_the_chunks_of_a_message(void **state)
{
    (void)state;
    static const struct {
        const char *arbitration;
        uint32_t chunk;
        int chunks_before[3], chunks;
    } cases[] = {{"fcfs", 0, {1, 1, 1}, 1},
                 {"round_robin", 0, {1, 1, 1}, 1},
                 {"fcfs", 1024, {1, 1, 1}, 4},
                 {"round_robin", 1024, {1, 2, 3}, 4},
                 {"comm_first", 1024, {4, 4, 4}, 4}};
    for (size_t n = 0; n < sizeof cases / sizeof *cases; n++) {
        kb_ipcq_shape shape = rings(KB_IPCQ_TCM, 4);
        shape.chunk_bytes = cases[n].chunk;
        bed b = make_with(cases[n].arbitration, (place){0, 4, 3}, shape);
        kb_time chunk = transfer(&b, KB_TXN_WRITE, b.from, 4096 / (size_t)cases[n].chunks).total;
        kb_time one = transfer(&b, KB_TXN_WRITE, b.from, 256).total;
        kb_time stores[3];
        message m = bytes(&b, 4096);
        send_before_stores(&b, &m, stores);
        run(&b);
        for (int i = 0; i < 3; i++)
            assert_int_equal(stores[i],
                             (kb_time)cases[n].chunks_before[i] * chunk + (kb_time)(i + 1) * one);
        kb_value_release(m.value);
        end(&b);
    }
}

/* ---- backpressure ---- */

/* With a single slot the next part leaves when the credit is back. */
static void one_slot_gives_a_slot_per_round_trip(void **state)
{
    (void)state;
    static const place others[] = {{0, 0, 1}, {0, 4, 0}, {1, 3, 3}};
    for (int kind = 0; kind < KB_IPCQ_BUFFERS; kind++)
        for (size_t o = 0; o < 3; o++) {
            bed b = make(others[o], rings((kb_ipcq_buffer)kind, 1));
            message m = bytes(&b, 5 * 4096);
            receive(&m);
            send(&m);
            run(&b);
            kb_time there = commit(&b, 4096) + copy(&b, (kb_ipcq_buffer)kind, 4096);
            expect(&m, 4 * (there + credit(&b)) + there);
            const kb_ipcq_books *books = &b.e->m->ipcq->books;
            assert_int_equal(books->stalls, 4);
            assert_int_equal(books->stalled, 4 * (there + credit(&b)));
            assert_int_equal(books->credits, 5);
            assert_int_equal(books->polls, 0);
            end(&b);
        }
}

/* It looks every 10 ns from when it found no slot, that is, from when the part before it left. */
static void polling_sees_a_credit_at_its_next_look(void **state)
{
    (void)state;
    static const place others[] = {{0, 0, 1}, {0, 4, 0}, {1, 3, 3}};
    for (size_t o = 0; o < 3; o++) {
        kb_ipcq_shape shape = rings(KB_IPCQ_TCM, 1);
        shape.poll = true;
        bed b = make(others[o], shape);
        message m = bytes(&b, 5 * 4096);
        receive(&m);
        send(&m);
        run(&b);
        kb_time there = commit(&b, 4096) + copy(&b, KB_IPCQ_TCM, 4096);
        kb_time looks = (there + credit(&b) + 9999) / 10000;
        expect(&m, 4 * looks * 10000 + there);
        assert_int_equal(b.e->m->ipcq->books.polls, 4 * looks);
        end(&b);
    }
}

/* A sender without receiver is blocked after n_slots messages, and goes on in order. */
static void a_full_ring_blocks_the_sender(void **state)
{
    (void)state;
    bed b = make((place){0, 0, 1}, rings(KB_IPCQ_TCM, 3));
    message m[5];
    for (int i = 0; i < 5; i++) {
        m[i] = bytes(&b, (size_t)16 * (size_t)(i + 1));
        send(&m[i]);
    }
    run(&b);
    assert_int_equal(kb_ipcq_full(b.ring), 3);
    assert_int_equal(kb_ipcq_unread(b.ring), 5);
    assert_true(m[2].acknowledged > 0 && m[3].posted == 0);
    for (int i = 0; i < 5; i++) receive(&m[i]);
    run(&b);
    for (int i = 0; i < 5; i++) {
        assert_ptr_equal(m[i].got, m[i].value);
        if (i) assert_true(m[i].received > m[i - 1].received);
        kb_value_release(m[i].value);
    }
    assert_int_equal(kb_ipcq_full(b.ring), 0);
    assert_int_equal(kb_ipcq_unread(b.ring), 0);
    end(&b);
}

/* ---- addresses ---- */

/* Two PEs whose E and W both lead to the other: what goes out at E comes in at W. */
static void a_message_finds_its_ring_by_address(void **state)
{
    (void)state;
    kb_err err = {0};
    bed b = {0};
    kb_engine_options options = {.topology = DEFAULT};
    assert_int_equal(kb_engine_create(&b.e, &options, &err), 0);
    kb_ipcq_desc_pe pes[2] = {{0, 0, 0, 0, 2}, {0, 0, 1, 2, 2}};
    kb_ipcq_desc_direction ways[4] = {
        {"E", 0, 0, 1, "W"}, {"W", 0, 0, 1, "E"}, {"E", 0, 0, 0, "W"}, {"W", 0, 0, 0, "E"}};
    install(&b, &(kb_ipcq_desc){rings(KB_IPCQ_SRAM, 2), pes, ways, 2, 4});
    b.from = kb_machine_pe(b.e->m, 0, 0, 0);
    b.to = kb_machine_pe(b.e->m, 0, 0, 1);
    kb_ipcq_port *east = kb_ipcq_find(b.from, "E"), *west = kb_ipcq_find(b.from, "W");
    kb_ipcq_ring *in_east, *in_west;
    assert_int_equal(kb_ipcq_open(kb_ipcq_find(b.to, "E"), false, &in_east, &err), 0);
    assert_int_equal(kb_ipcq_open(kb_ipcq_find(b.to, "W"), false, &in_west, &err), 0);
    assert_ptr_equal(east->out, in_west);
    assert_ptr_equal(west->out, in_east);
    b.ring = east->out;
    message one = bytes(&b, 64), two = bytes(&b, 65);
    send(&one);
    b.ring = west->out;
    send(&two);
    receive(&two);
    b.ring = in_west;
    receive(&one);
    run(&b);
    assert_ptr_equal(one.got, one.value);
    assert_ptr_equal(two.got, two.value);
    kb_value_release(one.value);
    kb_value_release(two.value);
    end(&b);
}

/* ---- failure ---- */

static void after_a_reset_the_ring_is_as_new(void **state)
{
    (void)state;
    for (kb_time when = 0; when < 400; when += 7) {
        kb_ipcq_shape shape = rings(KB_IPCQ_HBM, 2);
        shape.chunk_bytes = when % 2 ? 0 : 1024;
        bed b = make((place){0, 1, 0}, shape);
        message lost[4], last;
        for (int i = 0; i < 4; i++) {
            lost[i] = bytes(&b, 4096);
            send(&lost[i]);
        }
        receive(&lost[0]);
        kb_engine_run(b.e, b.e->sim->now + when * 1000, UINT64_MAX, NULL, NULL);
        kb_ipcq_reset(b.ring, b.to);
        last = bytes(&b, 100);
        send(&last);
        receive(&last);
        run(&b);
        assert_ptr_equal(last.got, last.value);
        for (int i = 0; i < 4; i++) {
            assert_true(lost[i].posted > 0 && lost[i].acknowledged > 0);
            kb_value_release(lost[i].value);
        }
        kb_value_release(last.value);
        assert_int_equal(kb_ipcq_full(b.ring), 0);
        end(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_flit_to_the_next_pe_takes_4_520_ns),
        cmocka_unit_test(a_message_pays_the_way_to_its_ring_and_the_way_out_of_it),
        cmocka_unit_test(a_receive_that_comes_later_only_copies),
        cmocka_unit_test(parts_of_a_slot_follow_each_other),
        cmocka_unit_test(chunks_of_a_part_follow_each_other),
        cmocka_unit_test(stores_go_between_the_chunks_of_a_message),
        cmocka_unit_test(one_slot_gives_a_slot_per_round_trip),
        cmocka_unit_test(polling_sees_a_credit_at_its_next_look),
        cmocka_unit_test(a_full_ring_blocks_the_sender),
        cmocka_unit_test(a_message_finds_its_ring_by_address),
        cmocka_unit_test(after_a_reset_the_ring_is_as_new),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The executor of the op log: whatever the number of threads, numbers are those of one entry after
 * the other. `./kb tsan` runs this under ThreadSanitizer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "base/rng.h"
#include "data/oplog.h"

static const int THREADS[] = {0, 1, 2, 8};
enum { RUNS = sizeof THREADS / sizeof *THREADS };

/* ---- spans ---- */

static bool touches(const kb_span *span, uint64_t byte)
{
    for (uint64_t row = 0; row < span->rows; row++) {
        uint64_t first = span->start + row * span->stride;
        if (byte >= first && byte < first + span->row_bytes) return true;
    }
    return false;
}

static kb_span random_span(kb_rng *rng, uint64_t stride)
{
    kb_span span = {.start = kb_rng_below(rng, 40), .rows = 1 + kb_rng_below(rng, 4)};
    span.row_bytes = 1 + kb_rng_below(rng, (uint32_t)stride);
    span.stride = stride;
    return span;
}

/* Every byte of two spans, tried: what shares one overlaps; what has one stride overlaps only then
 * (in the rows that both have, which for spans of many rows is nearly all). */
static void spans_overlap_if_they_share_a_byte(void **state)
{
    (void)state;
    kb_rng rng = {1};
    for (int i = 0; i < 5000; i++) {
        kb_span a = random_span(&rng, 12), b = random_span(&rng, i % 2 ? 12 : 7);
        bool shared = false;
        for (uint64_t byte = 0; byte < 100; byte++)
            shared = shared || (touches(&a, byte) && touches(&b, byte));
        if (shared) assert_true(kb_span_overlaps(&a, &b));
        assert_int_equal(kb_span_overlaps(&a, &b), kb_span_overlaps(&b, &a));
    }
}

/* 8 PEs, each with 16 B of every row of 128 B: none waits for another. */
static void columns_of_one_matrix_do_not_overlap(void **state)
{
    (void)state;
    for (uint64_t p = 0; p < 8; p++)
        for (uint64_t q = 0; q < 8; q++) {
            kb_span a = {16 * p, 100, 16, 128}, b = {16 * q + 128 * 3, 50, 16, 128};
            assert_int_equal(kb_span_overlaps(&a, &b), p == q);
        }
}

/* ---- programs ---- */

enum { BLOCKS = 5, BLOCK_BYTES = 32768, EDGE = 32, TILE_BYTES = EDGE * EDGE * 4, VALUES = 24 };

/* A random program: the same seed gives the same entries. Values that it still knows are in
 * `value`, so that it reads old ones, and drops the last reference to others while they are
 * pending. */
typedef struct program {
    kb_rng rng;
    kb_memory memory;
    kb_oplog *log; /* null: every entry runs when it is made */
    kb_value *value[VALUES];
    kb_value *zero; /* of integers: divisions by it fail */
    uint64_t made, host_writes;
    kb_err failure;
} program;

static kb_paddr block_base(uint32_t block)
{
    return (kb_paddr){0x100000 + (uint64_t)block * 2 * BLOCK_BYTES};
}

static kb_memory_block *block_at(const program *p, uint32_t block)
{
    return kb_memory_block_at(&p->memory, block_base(block), BLOCK_BYTES);
}

static void fill_block(program *p, uint32_t block)
{
    unsigned char *bytes = kb_memory_block_own(block_at(p, block), false, NULL);
    for (size_t i = 0; i < BLOCK_BYTES; i++) bytes[i] = (unsigned char)kb_rng_below(&p->rng, 256);
}

static void resolve(program *p, kb_pieces *pieces)
{
    for (size_t i = 0; i < pieces->count; i++) {
        kb_piece *piece = &pieces->data[i];
        piece->host = (unsigned char *)kb_memory_at(&p->memory, piece->pa, kb_piece_span(piece));
    }
}

/* One after the other, without a log: what all others are compared with. */
static void run_now(program *p, kb_log_entry *entry)
{
    kb_log_uses uses;
    kb_log_entry_uses(entry, &uses);
    for (int i = 0; i < uses.count; i++)
        if (uses.use[i].pieces) resolve(p, uses.use[i].pieces);
    kb_err err = {0};
    if (kb_log_entry_run(entry, NULL, &err) && !p->failure.code) p->failure = err;
    kb_log_entry_fini(entry);
}

static void emit(program *p, kb_log_entry entry)
{
    entry.stream = kb_rng_below(&p->rng, 12);
    p->made++;
    if (p->log)
        kb_oplog_append(p->log, &entry);
    else
        run_now(p, &entry);
}

static kb_value *fresh(void)
{
    static const size_t shape[2] = {EDGE, EDGE};
    return kb_value_create(NULL, KB_I32, 2, shape);
}

static kb_value *any(program *p)
{
    return kb_value_retain(p->value[kb_rng_below(&p->rng, VALUES)]);
}

/* It takes the place of another. */
static void keep(program *p, kb_value *value)
{
    kb_value **place = &p->value[kb_rng_below(&p->rng, VALUES)];
    kb_value_release(*place);
    *place = value;
}

/* A tile somewhere: dense, perhaps aligned, the rows of a wider matrix, or many small pieces. */
static kb_pieces somewhere(program *p)
{
    kb_pieces pieces = {0};
    kb_paddr base = block_base(kb_rng_below(&p->rng, BLOCKS));
    uint32_t how = kb_rng_below(&p->rng, 6), at = 4 * kb_rng_below(&p->rng, 1024);
    if (how == 2) at = 64 * (at / 64);
    if (how == 0)
        for (uint32_t i = 0; i < EDGE; i++) {
            uint64_t offset = 4 * (uint64_t)kb_rng_below(&p->rng, BLOCK_BYTES / 4 - EDGE);
            kb_vec_push(
                &pieces,
                ((kb_piece){.pa = kb_paddr_plus(base, offset), .rows = 1, .row_bytes = EDGE * 4}));
        }
    else if (how <= 2)
        kb_vec_push(
            &pieces,
            ((kb_piece){.pa = kb_paddr_plus(base, at), .rows = 1, .row_bytes = TILE_BYTES}));
    else
        kb_vec_push(&pieces, ((kb_piece){.pa = kb_paddr_plus(base, at),
                                         .rows = EDGE,
                                         .row_bytes = EDGE * 4,
                                         .stride = 640}));
    return pieces;
}

static void emit_load(program *p)
{
    kb_value *value = fresh();
    emit(p, (kb_log_entry){.op = KB_LOG_LOAD, .move = {kb_value_retain(value), somewhere(p)}});
    keep(p, value);
}

static void emit_store(program *p)
{
    emit(p, (kb_log_entry){.op = KB_LOG_STORE, .move = {any(p), somewhere(p)}});
}

/* Integers that wrap: every bit of an operand counts. */
static void emit_compute(program *p)
{
    static const kb_binary_op OPS[] = {KB_ADD, KB_SUB, KB_XOR, KB_MUL};
    kb_value *value = fresh();
    kb_log_entry entry = {.op = KB_LOG_COMPUTE};
    entry.compute.what = (kb_compute){.kind = KB_COMPUTE_BINARY,
                                      .op = (int)OPS[kb_rng_below(&p->rng, 4)],
                                      .in = {any(p), any(p)},
                                      .in_count = 2};
    assert_int_equal(kb_compute_infer(&entry.compute.what, NULL), 0);
    entry.compute.out = kb_value_retain(value);
    emit(p, entry);
    keep(p, value);
}

static void emit_product(program *p)
{
    kb_value *value = fresh();
    kb_log_entry entry = {.op = KB_LOG_GEMM};
    entry.gemm.M = entry.gemm.K = entry.gemm.N = EDGE;
    entry.gemm.in_a = entry.gemm.in_b = entry.gemm.out_type = KB_I32;
    if (kb_rng_below(&p->rng, 2))
        entry.gemm.a.value = any(p);
    else
        entry.gemm.a.pieces = somewhere(p);
    entry.gemm.b.value = any(p);
    if (kb_rng_below(&p->rng, 2))
        entry.gemm.out.value = kb_value_retain(value);
    else
        entry.gemm.out.pieces = somewhere(p);
    bool made = entry.gemm.out.value != NULL;
    emit(p, entry);
    if (made)
        keep(p, value);
    else
        kb_value_release(value);
}

/* n / 0 in integers; the shape is in no message, so what fails is told by the operation. */
static void emit_failure(program *p, kb_binary_op op)
{
    kb_log_entry entry = {.op = KB_LOG_COMPUTE};
    entry.compute.what = (kb_compute){.kind = KB_COMPUTE_BINARY,
                                      .op = (int)op,
                                      .in = {kb_value_retain(p->zero), kb_value_retain(p->zero)},
                                      .in_count = 2};
    assert_int_equal(kb_compute_infer(&entry.compute.what, NULL), 0);
    static const size_t shape[1] = {1};
    kb_value *value = kb_value_create(NULL, KB_I32, 1, shape);
    entry.compute.out = kb_value_retain(value);
    emit(p, entry);
    kb_value *sum = kb_value_create(NULL, KB_I32, 1, shape); /* needs what there is not */
    kb_log_entry next = {.op = KB_LOG_COMPUTE};
    next.compute.what = (kb_compute){.kind = KB_COMPUTE_BINARY,
                                     .op = KB_ADD,
                                     .in = {value, kb_value_retain(p->zero)},
                                     .in_count = 2};
    assert_int_equal(kb_compute_infer(&next.compute.what, NULL), 0);
    next.compute.out = sum;
    emit(p, next);
}

/* A block gives way to another at the same address. */
static void replace_block(program *p, uint32_t block)
{
    if (p->log)
        kb_oplog_remove_block(p->log, block_base(block));
    else
        kb_memory_remove(&p->memory, block_base(block));
    assert_int_equal(kb_memory_add(&p->memory, block_base(block), BLOCK_BYTES, NULL), 0);
}

/* A block becomes like another: with a log it shares that one's contents, without it copies them.
 */
static void liken_block(program *p, uint32_t block, uint32_t to)
{
    if (p->log)
        kb_memory_block_share(block_at(p, block), block_at(p, to));
    else
        memcpy(block_at(p, block)->contents->data, block_at(p, to)->contents->data, BLOCK_BYTES);
}

/* From outside: another block, the contents of another, new contents; or all comes to rest. */
static void disturb(program *p)
{
    uint32_t block = kb_rng_below(&p->rng, BLOCKS), other = (block + 1) % BLOCKS;
    uint32_t how = kb_rng_below(&p->rng, 4);
    if (how == 0) replace_block(p, block);
    if (p->log && how == 3) {
        kb_oplog_run(p->log, NULL);
    } else if (p->log && how > 0) {
        kb_oplog_run_block(p->log, block_base(block));
        kb_oplog_run_block(p->log, block_base(other));
    }
    if (how == 1) liken_block(p, block, other);
    if (how == 0 || how == 2) fill_block(p, block);
}

static void start(program *p, uint64_t seed, int threads)
{
    *p = (program){.rng = {seed}};
    for (uint32_t b = 0; b < BLOCKS; b++) {
        assert_int_equal(kb_memory_add(&p->memory, block_base(b), BLOCK_BYTES, NULL), 0);
        fill_block(p, b);
    }
    for (int i = 0; i < VALUES; i++) {
        p->value[i] = fresh();
        kb_array_zeros(KB_I32, 2, p->value[i]->shape, &p->value[i]->array, NULL);
    }
    static const size_t shape[1] = {1};
    p->zero = kb_value_create(NULL, KB_I32, 1, shape);
    kb_array_zeros(KB_I32, 1, shape, &p->zero->array, NULL);
    if (threads >= 0) p->log = kb_oplog_create(&p->memory, threads);
}

static void stop(program *p)
{
    kb_oplog_destroy(p->log);
    for (int i = 0; i < VALUES; i++) kb_value_release(p->value[i]);
    kb_value_release(p->zero);
    kb_memory_fini(&p->memory);
}

static void go(program *p, int entries)
{
    for (int i = 0; i < entries; i++) {
        uint32_t what = kb_rng_below(&p->rng, 100);
        if (what < 30)
            emit_load(p);
        else if (what < 60)
            emit_store(p);
        else if (what < 85)
            emit_compute(p);
        else if (what < 96)
            emit_product(p);
        else
            disturb(p);
    }
}

static void assert_same(program *p, const program *expected)
{
    for (uint32_t b = 0; b < BLOCKS; b++)
        assert_memory_equal(kb_memory_at(&p->memory, block_base(b), BLOCK_BYTES),
                            kb_memory_at(&expected->memory, block_base(b), BLOCK_BYTES),
                            BLOCK_BYTES);
    for (int i = 0; i < VALUES; i++)
        assert_memory_equal(p->value[i]->array->data, expected->value[i]->array->data, TILE_BYTES);
}

static void any_number_of_threads_gives_the_numbers_of_one_after_the_other(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 3; seed++) {
        program expected;
        start(&expected, seed, -1);
        go(&expected, 1500);
        for (int i = 0; i < RUNS; i++) {
            program p;
            start(&p, seed, THREADS[i]);
            go(&p, 1500);
            assert_int_equal(kb_oplog_run(p.log, NULL), 0);
            assert_int_equal(kb_oplog_executed(p.log), p.made);
            assert_same(&p, &expected);
            stop(&p);
        }
        stop(&expected);
    }
}

/* A single value is looked at in between, as item() does: it has its numbers, and what follows is
 * not disturbed. */
static void a_value_can_be_had_before_the_rest(void **state)
{
    (void)state;
    for (int i = 0; i < RUNS; i++) {
        program expected, p;
        start(&expected, 7, -1);
        start(&p, 7, THREADS[i]);
        for (int step = 0; step < 60; step++) {
            go(&expected, 10);
            go(&p, 10);
            int which = step % VALUES;
            assert_int_equal(kb_oplog_run_for(p.log, p.value[which], NULL), 0);
            assert_memory_equal(p.value[which]->array->data, expected.value[which]->array->data,
                                TILE_BYTES);
        }
        stop(&p);
        stop(&expected);
    }
}

/* Remainder fails before the quotient does, in the log; threads may see them in any order. */
static void the_first_failure_of_the_log_is_reported_and_all_else_is_computed(void **state)
{
    (void)state;
    program expected;
    start(&expected, 11, -1);
    for (int i = 0; i < 10; i++) {
        go(&expected, 100);
        emit_failure(&expected, i ? KB_FLOORDIV : KB_MOD);
    }
    assert_non_null(strstr(expected.failure.text, kb_binary_name(KB_MOD)));
    for (int i = 0; i < RUNS; i++) {
        program p;
        start(&p, 11, THREADS[i]);
        for (int part = 0; part < 10; part++) {
            go(&p, 100);
            emit_failure(&p, part ? KB_FLOORDIV : KB_MOD);
        }
        kb_err err = {0};
        assert_int_equal(kb_oplog_run(p.log, &err), KB_EINVAL);
        assert_string_equal(err.text, expected.failure.text);
        assert_same(&p, &expected);
        stop(&p);
    }
    stop(&expected);
}

/* ---- versions ---- */

static kb_value *number(float x)
{
    static const size_t shape[1] = {1};
    kb_value *value = kb_value_create(NULL, KB_F32, 1, shape);
    kb_array_zeros(KB_F32, 1, shape, &value->array, NULL);
    *(float *)value->array->data = x;
    return value;
}

static kb_pieces word(uint64_t offset)
{
    kb_pieces pieces = {0};
    kb_vec_push(
        &pieces,
        ((kb_piece){.pa = kb_paddr_plus(block_base(0), offset), .rows = 1, .row_bytes = 4}));
    return pieces;
}

/* One slot that is written, read by another stream, and written again, 2,000 times: every reader
 * has the version of its time. */
static void a_slot_that_is_used_again_keeps_its_versions_apart(void **state)
{
    (void)state;
    enum { TURNS = 2000 };
    for (int i = 0; i < RUNS; i++) {
        kb_memory memory = {0};
        kb_memory_add(&memory, block_base(0), 64, NULL);
        kb_oplog *log = kb_oplog_create(&memory, THREADS[i]);
        kb_value *seen[TURNS];
        for (uint32_t turn = 0; turn < TURNS; turn++) {
            static const size_t shape[1] = {1};
            kb_log_entry store = {
                .op = KB_LOG_STORE, .stream = 1, .move = {number((float)turn), word(8)}};
            kb_oplog_append(log, &store);
            seen[turn] = kb_value_create(NULL, KB_F32, 1, shape);
            kb_log_entry load = {.op = KB_LOG_LOAD,
                                 .stream = 2 + turn % 5,
                                 .move = {kb_value_retain(seen[turn]), word(8)}};
            kb_oplog_append(log, &load);
        }
        assert_int_equal(kb_oplog_run(log, NULL), 0);
        for (uint32_t turn = 0; turn < TURNS; turn++) {
            assert_true(*(float *)seen[turn]->array->data == (float)turn);
            kb_value_release(seen[turn]);
        }
        kb_oplog_destroy(log);
        kb_memory_fini(&memory);
    }
}

/* A large product is divided among threads by rows: the same bits as undivided. */
static void a_product_divided_among_threads_has_the_same_bits(void **state)
{
    (void)state;
    enum { M = 1700, K = 9, N = 5 };
    static const size_t a_shape[2] = {M, K}, b_shape[2] = {K, N}, c_shape[2] = {M, N};
    kb_rng rng = {5};
    kb_value *a = kb_value_create(NULL, KB_F32, 2, a_shape),
             *b = kb_value_create(NULL, KB_F32, 2, b_shape);
    kb_array_create(KB_F32, 2, a_shape, &a->array, NULL);
    kb_array_create(KB_F32, 2, b_shape, &b->array, NULL);
    for (int i = 0; i < M * K; i++) ((float *)a->array->data)[i] = (float)kb_rng_unit(&rng);
    for (int i = 0; i < K * N; i++) ((float *)b->array->data)[i] = (float)kb_rng_unit(&rng);
    for (int i = 0; i < RUNS; i++) {
        kb_memory memory = {0};
        kb_oplog *log = kb_oplog_create(&memory, THREADS[i]);
        kb_value *c = kb_value_create(NULL, KB_F32, 2, c_shape);
        kb_log_entry entry = {.op = KB_LOG_GEMM};
        entry.gemm.M = M;
        entry.gemm.K = K;
        entry.gemm.N = N;
        entry.gemm.in_a = entry.gemm.in_b = entry.gemm.out_type = KB_F32;
        entry.gemm.a.value = kb_value_retain(a);
        entry.gemm.b.value = kb_value_retain(b);
        entry.gemm.out.value = kb_value_retain(c);
        kb_oplog_append(log, &entry);
        assert_int_equal(kb_oplog_run(log, NULL), 0);
        const float *x = a->array->data, *y = b->array->data, *z = c->array->data;
        for (size_t row = 0; row < M; row++)
            for (size_t column = 0; column < N; column++) {
                float sum = 0; /* k ascending, product and sum rounded one by one: data/gemm.h */
                for (size_t k = 0; k < K; k++) {
                    float product = x[row * K + k] * y[k * N + column];
                    sum += product;
                }
                assert_true(z[row * N + column] == sum);
            }
        kb_value_release(c);
        kb_oplog_destroy(log);
    }
    kb_value_release(a);
    kb_value_release(b);
}

/* A log that is dropped with work in it ends its threads and frees what it held. */
static void a_log_can_be_dropped_with_work_in_it(void **state)
{
    (void)state;
    for (int i = 0; i < RUNS; i++) {
        program p;
        start(&p, 3, THREADS[i]);
        go(&p, 400);
        stop(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spans_overlap_if_they_share_a_byte),
        cmocka_unit_test(columns_of_one_matrix_do_not_overlap),
        cmocka_unit_test(any_number_of_threads_gives_the_numbers_of_one_after_the_other),
        cmocka_unit_test(a_value_can_be_had_before_the_rest),
        cmocka_unit_test(the_first_failure_of_the_log_is_reported_and_all_else_is_computed),
        cmocka_unit_test(a_slot_that_is_used_again_keeps_its_versions_apart),
        cmocka_unit_test(a_product_divided_among_threads_has_the_same_bits),
        cmocka_unit_test(a_log_can_be_dropped_with_work_in_it),
    };
    return cmocka_run_group_tests_name("executor", tests, NULL, NULL);
}

/* Numbers: the reference product, the op log's overhead, and whole benches run as users run them.
 * product_reference and product_whole_sip count the same multiply-accumulates, so that their ratio
 * is the simulator's share. */
#include <lauxlib.h>
#include <lualib.h>
#include <string.h>

#include "bench.h"
#include "bind/bind.h"
#include "data/oplog.h"

enum { SIZE = 4096, ENTRIES = 1000000 };

static kb_value *tile(kb_dtype dtype, size_t rows, size_t columns)
{
    size_t shape[2] = {rows, columns};
    return kb_value_create(NULL, dtype, 2, shape);
}

static kb_value *filled(kb_dtype dtype, size_t rows, size_t columns, double number)
{
    kb_value *value = tile(dtype, rows, columns);
    if (kb_array_create(dtype, 2, value->shape, &value->array, NULL)) bench_abort("no memory");
    kb_array_fill(value->array, KB_F64, &number);
    return value;
}

/* One product of f16 matrices, by the executor's default number of threads. */
static kb_run product_reference(uint64_t parameter)
{
    (void)parameter;
    kb_memory memory = {0};
    kb_oplog *log = kb_oplog_create(&memory, kb_executor_default_threads());
    kb_value *c = tile(KB_F16, SIZE, SIZE);
    kb_log_entry entry = {.op = KB_LOG_GEMM};
    entry.gemm.M = entry.gemm.K = entry.gemm.N = SIZE;
    entry.gemm.in_a = entry.gemm.in_b = entry.gemm.out_type = KB_F16;
    entry.gemm.a.value = filled(KB_F16, SIZE, SIZE, 0.5);
    entry.gemm.b.value = filled(KB_F16, SIZE, SIZE, 0.25);
    entry.gemm.out.value = kb_value_retain(c);
    double from = bench_clock();
    kb_oplog_append(log, &entry);
    if (kb_oplog_run(log, NULL)) bench_abort("the product failed");
    double seconds = bench_clock() - from, sum = 0;
    kb_convert(KB_F64, &sum, KB_F16, c->array->data, 1);
    if (sum != SIZE * 0.125) bench_abort("the product is wrong");
    kb_value_release(c);
    kb_oplog_destroy(log);
    return (kb_run){(uint64_t)SIZE * SIZE * SIZE, seconds};
}

/* x + 1 again and again on a tile of 8 numbers. */
static kb_run log_tiny(uint64_t threads)
{
    kb_memory memory = {0};
    kb_oplog *log = kb_oplog_create(&memory, (int)threads);
    kb_value *one = filled(KB_I32, 1, 8, 1), *x = filled(KB_I32, 1, 8, 0);
    double from = bench_clock();
    for (int i = 0; i < ENTRIES; i++) {
        kb_log_entry entry = {.op = KB_LOG_COMPUTE};
        entry.compute.what = (kb_compute){.kind = KB_COMPUTE_BINARY,
                                          .op = KB_ADD,
                                          .in = {x, kb_value_retain(one)},
                                          .in_count = 2};
        kb_compute_infer(&entry.compute.what, NULL);
        x = tile(KB_I32, 1, 8);
        entry.compute.out = kb_value_retain(x);
        kb_oplog_append(log, &entry);
    }
    if (kb_oplog_run(log, NULL)) bench_abort("an addition failed");
    double seconds = bench_clock() - from;
    if (*(int32_t *)x->array->data != ENTRIES) bench_abort("the sum is wrong");
    kb_value_release(one);
    kb_value_release(x);
    kb_oplog_destroy(log);
    return (kb_run){ENTRIES, seconds};
}

/* kernbench run --bench ARGS, by the arguments in a Lua list; the bench checks its own numbers. */
static double run_bench(const char *arguments)
{
    kb_sized memory;
    lua_State *L = kb_new_state(&memory);
    luaL_openlibs(L);
    kb_bind_open(L);
    lua_pushfstring(L,
                    "local core = require 'kernbench.core'\n"
                    "local code = require('kernbench.cli.run').main {\n"
                    "  '--topology', core.home() .. '/topology.yaml', '-q', %s }\n"
                    "assert(code == 0, 'the bench failed')",
                    arguments);
    double from = bench_clock();
    if (luaL_dostring(L, lua_tostring(L, -1))) bench_abort("%s", lua_tostring(L, -1));
    double seconds = bench_clock() - from;
    lua_close(L);
    kb_sized_fini(&memory);
    return seconds;
}

static kb_run product_whole_sip(uint64_t parameter)
{
    (void)parameter;
    double seconds = run_bench("'--bench', 'gemm_whole_sip', '--size', '4096', '--verify-data'");
    return (kb_run){(uint64_t)SIZE * SIZE * SIZE, seconds};
}

static kb_run tl_commands(uint64_t data)
{
    double seconds = run_bench(data ? "'--bench', 'tl_commands', '--commands', '1000000'"
                                    : "'--bench', 'tl_commands', '--commands', '1000000', "
                                      "'--no-data'");
    return (kb_run){1000000, seconds};
}

const kb_rate bench_data_rates[] = {
    {"log_tiny", "entries", "tiny entries of the op log, with one thread beside", log_tiny, 1},
    {"log_tiny_alone", "entries", "the same, without threads", log_tiny, 0},
    {"tl_commands", "commands", "a kernel of 10^6 small commands, from start to end", tl_commands,
     1},
    {"tl_commands_timing", "commands", "the same with --no-data", tl_commands, 0},
    {"product_reference", "MACs", "one product of 4096 x 4096 f16 matrices on all cores",
     product_reference, 0},
    {"product_whole_sip", "MACs", "the same product simulated on 128 PEs, verified, start to end",
     product_whole_sip, 0},
    {0},
};

/* pe_gemm: an array of rows x cols multiply-accumulators, `depth` of them deep for 16-bit operands.
 * cycles = ceil(m / rows) x ceil(n / cols) x ceil(k / depth), plus the pipeline once per
 * accumulation; 8-bit operands go at double the rate, 32-bit at half, 64-bit at a quarter. */
#include "hw/classes.h"
#include "hw/pe/pe.h"

static const kb_param params[] = {
    {"overhead_ns", KB_PARAM_REAL, "ns", "0", 0, 1e6, NULL, "time per tile"},
    {"ghz", KB_PARAM_REAL, "GHz", "1", 1e-3, 100, NULL, "clock"},
    {"rows", KB_PARAM_INT, NULL, "32", 1, 4096, NULL, "rows of the array"},
    {"cols", KB_PARAM_INT, NULL, "32", 1, 4096, NULL, "columns of the array"},
    {"depth", KB_PARAM_INT, NULL, "8", 4, 4096, NULL,
     "products summed per cycle and array element, for 16-bit operands"},
    {"pipeline_cycles", KB_PARAM_INT, "cycle", "16", 0, 1e6, NULL, "paid once per accumulation"},
    {"tile_m", KB_PARAM_INT, NULL, "32", 1, 4096, NULL, "rows of a tile of A and of the result"},
    {"tile_k", KB_PARAM_INT, NULL, "64", 1, 65536, NULL, "columns of a tile of A, rows of B"},
    {"tile_n", KB_PARAM_INT, NULL, "32", 1, 4096, NULL, "columns of a tile of B and of the result"},
    {0}};

typedef struct gemm_config {
    kb_time overhead;
    double ghz;
    uint32_t rows, cols, depth, pipeline;
    kb_gemm_tile tile;
} gemm_config;

static int configure(kb_machine *m, const kb_spec *spec, void *block, kb_err *err)
{
    (void)m;
    (void)err;
    gemm_config *config = block;
    config->overhead = kb_spec_time(spec, "pe.pe_gemm.overhead_ns");
    config->ghz = kb_spec_real(spec, "pe.pe_gemm.ghz");
    config->rows = (uint32_t)kb_spec_int(spec, "pe.pe_gemm.rows");
    config->cols = (uint32_t)kb_spec_int(spec, "pe.pe_gemm.cols");
    config->depth = (uint32_t)kb_spec_int(spec, "pe.pe_gemm.depth");
    config->pipeline = (uint32_t)kb_spec_int(spec, "pe.pe_gemm.pipeline_cycles");
    config->tile.m = (uint32_t)kb_spec_int(spec, "pe.pe_gemm.tile_m");
    config->tile.k = (uint32_t)kb_spec_int(spec, "pe.pe_gemm.tile_k");
    config->tile.n = (uint32_t)kb_spec_int(spec, "pe.pe_gemm.tile_n");
    return KB_OK;
}

/* Products per cycle and array element: 8 for 16-bit operands by default. */
static uint32_t depth(const gemm_config *config, uint32_t element_bytes)
{
    return config->depth * 2 / element_bytes;
}

static uint64_t ceil_div(uint64_t a, uint64_t b)
{
    return (a + b - 1) / b;
}

kb_gemm_tile kb_pe_gemm_tile(const kb_machine *m)
{
    return ((const gemm_config *)kb_machine_config(m, KB_PE_GEMM))->tile;
}

kb_time kb_pe_gemm_time(const kb_machine *m, kb_gemm_tile tile, uint32_t element_bytes, bool last)
{
    const gemm_config *config = kb_machine_config(m, KB_PE_GEMM);
    uint64_t cycles = ceil_div(tile.m, config->rows) * ceil_div(tile.n, config->cols) *
                      ceil_div(tile.k, depth(config, element_bytes));
    return config->overhead + kb_time_cycles(cycles + (last ? config->pipeline : 0), config->ghz);
}

double kb_pe_gemm_peak(const kb_machine *m, uint32_t element_bytes)
{
    const gemm_config *config = kb_machine_config(m, KB_PE_GEMM);
    return (double)config->rows * config->cols * depth(config, element_bytes) * config->ghz * 1e9;
}

const kb_device_class kb_pe_gemm_class = {.kind = KB_PE_GEMM,
                                          .help = "the PE's matrix engine",
                                          .params = params,
                                          .config_size = sizeof(gemm_config),
                                          .configure = configure,
                                          .transit = kb_txn_forward};

#include "data/gemm.h"

#include <math.h>
#include <stdlib.h>

#include "data/gemm_kernels.h"

/* Blocking after Goto and van de Geijn (2008), in elements. A packed block of A (MC x KC) lives in
 * the second-level cache, a column panel of packed B (KC x a kernel's columns) in the first. MC is
 * a multiple of every kernel's rows. Running results of MROWS x NC elements are kept apart from C,
 * in the accumulator's type and padded to whole kernel blocks, so that kernels know no edges. */
enum { KC = 256, MC = 192, NC = 1024, MROWS = 8 * MC, ALIGN = 64, PAD = 16 };

typedef struct work {
    const kb_gemm *g;
    kb_gemm_kernel kernel;
    kb_dtype acc;
    size_t size;           /* of an accumulator */
    char *a, *b, *c, *row; /* packed A, packed B, running results, one converted row */
    size_t ldc;            /* of the running results */
    char *memory;
} work;

kb_dtype kb_gemm_acc(kb_dtype in)
{
    if (in == KB_F64) return KB_F64;
    if (kb_dtype_is_float(in)) return KB_F32;
    return kb_dtype_size(in) <= 2 ? KB_I32 : KB_I64;
}

bool kb_gemm_takes(kb_dtype in_a, kb_dtype in_b)
{
    return in_a == in_b || (kb_dtype_is_f8(in_a) && kb_dtype_is_f8(in_b));
}

static size_t min(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t round_up(size_t x, size_t unit)
{
    return (x + unit - 1) / unit * unit;
}

/* One allocation for all four buffers, no larger than this product needs. */
static int work_init(work *w, const kb_gemm *g, size_t rows, kb_err *err)
{
    kb_dtype acc = kb_gemm_acc(g->in_a);
    *w = (work){.g = g, .acc = acc, .size = kb_dtype_size(acc)};
    w->kernel = kb_gemm_kernel_for(acc, g->level);
    size_t kc = min(g->k, KC), nc = round_up(min(g->n, NC), w->kernel.columns);
    size_t mc = round_up(min(rows, MC), w->kernel.rows);
    w->ldc = nc + PAD; /* a power of two would put a block's rows into one set of the cache */
    size_t a = round_up(mc * kc * w->size, ALIGN), b = round_up(kc * nc * w->size, ALIGN);
    size_t c = round_up(round_up(min(rows, MROWS), w->kernel.rows) * w->ldc * w->size, ALIGN);
    size_t row = round_up((nc > kc ? nc : kc) * w->size, ALIGN);
    w->memory = aligned_alloc(ALIGN, a + b + c + row);
    if (!w->memory) return kb_fail(err, KB_ELIMIT, "out of memory in a matrix product");
    w->a = w->memory;
    w->b = w->a + a;
    w->c = w->b + b;
    w->row = w->c + c;
    return 0;
}

/* n elements of an operand, as accumulators: in place, or converted in the row buffer. */
static const char *as_acc(work *w, const void *from, kb_dtype type, size_t offset, size_t n)
{
    const char *src = (const char *)from + offset * kb_dtype_size(type);
    if (type == w->acc) return src;
    kb_convert(w->acc, w->row, type, src, n);
    return w->row;
}

/* Rows p0 … p0+kc-1, columns j0 … j0+nc-1 of B into panels of kc x columns. */
static void pack_b(work *w, size_t p0, size_t kc, size_t j0, size_t nc)
{
    size_t width = w->kernel.columns, line = width * w->size;
    for (size_t p = 0; p < kc; p++) {
        const char *src = as_acc(w, w->g->b, w->g->in_b, (p0 + p) * w->g->ldb + j0, nc);
        for (size_t j = 0; j < nc; j += width) {
            char *dst = w->b + j * kc * w->size + p * line;
            size_t n = min(width, nc - j);
            memcpy(dst, src + j * w->size, n * w->size);
            memset(dst + n * w->size, 0, line - n * w->size);
        }
    }
}

/* A row of kc elements into column `r` of a panel of kc x step; a null row is zeros. */
static void spread_row(const work *w, char *panel, size_t step, size_t r, const char *row,
                       size_t kc)
{
    if (w->size == 4) {
        kb_word32 *dst = (kb_word32 *)panel + r;
        for (size_t p = 0; p < kc; p++) dst[p * step] = row ? ((const kb_word32 *)row)[p] : 0;
    } else {
        kb_word64 *dst = (kb_word64 *)panel + r;
        for (size_t p = 0; p < kc; p++) dst[p * step] = row ? ((const kb_word64 *)row)[p] : 0;
    }
}

static void pack_a(work *w, size_t i0, size_t mc, size_t p0, size_t kc)
{
    const kb_gemm *g = w->g;
    size_t height = w->kernel.rows;
    for (size_t i = 0; i < round_up(mc, height); i++) {
        char *panel = w->a + i / height * height * kc * w->size;
        const char *row = i < mc ? as_acc(w, g->a, g->in_a, (i0 + i) * g->lda + p0, kc) : NULL;
        spread_row(w, panel, height, i % height, row, kc);
    }
}

/* The same as pack_b, of a B whose columns lie in rows. */
static void pack_transposed_b(work *w, size_t p0, size_t kc, size_t j0, size_t nc)
{
    const kb_gemm *g = w->g;
    size_t width = w->kernel.columns;
    for (size_t j = 0; j < round_up(nc, width); j++) {
        char *panel = w->b + j / width * width * kc * w->size;
        const char *column = j < nc ? as_acc(w, g->b, g->in_b, (j0 + j) * g->ldb + p0, kc) : NULL;
        spread_row(w, panel, width, j % width, column, kc);
    }
}

/* Packed A (mc rows) times packed B (nc columns), onto the running results from row `at`. */
static void multiply(work *w, size_t at, size_t mc, size_t kc, size_t nc)
{
    size_t height = w->kernel.rows, width = w->kernel.columns;
    for (size_t j = 0; j < nc; j += width)
        for (size_t i = 0; i < mc; i += height)
            w->kernel.run(kc, w->a + i * kc * w->size, w->b + j * kc * w->size,
                          w->c + ((at + i) * w->ldc + j) * w->size, w->ldc);
}

static void begin(work *w, size_t i0, size_t rows, size_t j0, size_t nc)
{
    const kb_gemm *g = w->g;
    for (size_t i = 0; i < round_up(rows, w->kernel.rows); i++) {
        char *line = w->c + i * w->ldc * w->size;
        size_t have = g->acc && i < rows ? nc : 0;
        if (have)
            memcpy(line, (const char *)g->acc + ((i0 + i) * g->ldacc + j0) * w->size,
                   have * w->size);
        memset(line + have * w->size, 0, (w->ldc - have) * w->size);
    }
}

#define CANONICAL_NAN(T)                                                                           \
    do {                                                                                           \
        T *x = data;                                                                               \
        for (size_t i = 0; i < n; i++) x[i] = x[i] != x[i] ? (T)NAN : x[i];                        \
    } while (0)

static void canonical_nan(kb_dtype acc, void *data, size_t n)
{
    if (acc == KB_F32)
        CANONICAL_NAN(float);
    else if (acc == KB_F64)
        CANONICAL_NAN(double);
}

static void finish(work *w, size_t i0, size_t rows, size_t j0, size_t nc)
{
    const kb_gemm *g = w->g;
    size_t size = kb_dtype_size(g->out);
    for (size_t i = 0; i < rows; i++) {
        char *line = w->c + i * w->ldc * w->size;
        canonical_nan(w->acc, line, nc);
        kb_convert(g->out, (char *)g->c + ((i0 + i) * g->ldc + j0) * size, w->acc, line, nc);
    }
}

static void run_block(work *w, size_t i0, size_t rows, size_t j0, size_t nc)
{
    begin(w, i0, rows, j0, nc);
    for (size_t p = 0; p < w->g->k; p += KC) {
        size_t kc = min(KC, w->g->k - p);
        if (w->g->b_transposed)
            pack_transposed_b(w, p, kc, j0, nc);
        else
            pack_b(w, p, kc, j0, nc);
        for (size_t i = 0; i < rows; i += MC) {
            size_t mc = min(MC, rows - i);
            pack_a(w, i0 + i, mc, p, kc);
            multiply(w, i, mc, kc, nc);
        }
    }
    finish(w, i0, rows, j0, nc);
}

static int check(const kb_gemm *g, kb_err *err)
{
    kb_dtype acc = kb_gemm_acc(g->in_a);
    size_t b_rows = g->b_transposed ? g->n : g->k, b_row = g->b_transposed ? g->k : g->n;
    if (kb_gemm_acc(g->in_b) != acc)
        return kb_fail(err, KB_EINVAL, "matrix product: operands of %s and %s",
                       kb_dtype_name(g->in_a), kb_dtype_name(g->in_b));
    if (kb_dtype_is_float(g->out) != kb_dtype_is_float(acc) || g->out == KB_BOOL)
        return kb_fail(err, KB_EINVAL, "matrix product: %s operands do not give %s",
                       kb_dtype_name(g->in_a), kb_dtype_name(g->out));
    if ((g->m > 1 && (g->lda < g->k || g->ldc < g->n || (g->acc && g->ldacc < g->n))) ||
        (b_rows > 1 && g->ldb < b_row))
        return kb_fail(err, KB_EINVAL, "matrix product: a row stride is shorter than its row");
    if (!kb_gemm_level_supported(g->level))
        return kb_fail(err, KB_EINVAL, "matrix product: this CPU lacks the instructions asked for");
    return 0;
}

int kb_gemm_rows(const kb_gemm *g, size_t first, size_t last, kb_err *err)
{
    int code = check(g, err);
    if (code) return code;
    if (last > g->m || first > last)
        return kb_fail(err, KB_EINVAL, "matrix product: rows %zu to %zu of %zu", first, last, g->m);
    if (first == last || g->n == 0) return 0;
    work w;
    code = work_init(&w, g, last - first, err);
    if (code) return code;
    for (size_t j = 0; j < g->n; j += NC)
        for (size_t i = first; i < last; i += MROWS)
            run_block(&w, i, min(MROWS, last - i), j, min(NC, g->n - j));
    free(w.memory);
    return 0;
}

int kb_gemm_run(const kb_gemm *g, kb_err *err)
{
    return kb_gemm_rows(g, 0, g->m, err);
}

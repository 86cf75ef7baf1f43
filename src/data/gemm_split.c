/* A matrix product on several threads, in rectangles of C. */
#include <stdatomic.h>

#include "data/gemm.h"

/* Of a part. Packing rows and columns costs little beside so many of the other. */
enum { PART_ROWS = 768, PART_COLUMNS = 1024 };

typedef struct split {
    const kb_gemm *gemm;
    size_t across; /* parts side by side */
    kb_err *err;
    atomic_int status; /* of a part that failed: the same for all */
} split;

static size_t parts_of(size_t n, size_t part)
{
    return (n + part - 1) / part;
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Columns [first, last) of a product. */
static kb_gemm columns(const kb_gemm *g, size_t first, size_t last)
{
    kb_gemm part = *g;
    part.n = last - first;
    part.b = (const char *)g->b + first * (g->b_transposed ? g->ldb : 1) * kb_dtype_size(g->in_b);
    part.c = (char *)g->c + first * kb_dtype_size(g->out);
    if (g->acc) part.acc = (const char *)g->acc + first * kb_dtype_size(kb_gemm_acc(g->in_a));
    return part;
}

static void multiply_part(void *object, uint32_t i)
{
    split *s = object;
    size_t row = i / s->across * PART_ROWS, column = i % s->across * PART_COLUMNS;
    kb_gemm part = columns(s->gemm, column, least(column + PART_COLUMNS, s->gemm->n));
    kb_err err = {0};
    int expected = 0, status = kb_gemm_rows(&part, row, least(row + PART_ROWS, part.m), &err);
    if (status && atomic_compare_exchange_strong(&s->status, &expected, status) && s->err)
        *s->err = err;
}

int kb_gemm_split(const kb_gemm *gemm, kb_executor *executor, kb_err *err)
{
    size_t across = parts_of(gemm->n, PART_COLUMNS), down = parts_of(gemm->m, PART_ROWS);
    if (!executor || across * down < 2 || across * down > UINT32_MAX) return kb_gemm_run(gemm, err);
    split s = {.gemm = gemm, .across = across, .err = err};
    kb_executor_split(executor, (uint32_t)(across * down), multiply_part, &s);
    return atomic_load(&s.status);
}

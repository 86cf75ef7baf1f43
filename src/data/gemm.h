/* Matrix product: C[m x n] = A[m x k] B[k x n] (+ acc). B may be given as its transpose, n x k.
 *
 * Defined order, so that results are the same bits on every CPU and for every number of threads:
 * each element of C has one accumulator, which begins with acc's element (else +0) and to which the
 * products a[i][p] * b[p][j] are added for p = 0, 1, …, k - 1; multiplication and addition are
 * rounded separately (no fused multiply-add). Hence a product split along k, each part handing its
 * result to the next as `acc`, has the bits of the whole.
 *
 * Accumulator types: f32 for 8-bit floats, f16, bf16, f32; f64 for f64; i32, wrapping, for 8- and
 * 16-bit integers and bool; i64, wrapping, for wider ones. A and B may have different types of one
 * accumulator's, which holds the values of both exactly. C may have the accumulator's type or any
 * type of the same kind, into which each finished accumulator is rounded once (integers keep their
 * low bits). NaN results are the quiet NaN without sign or payload.
 *
 * Row-major blocks: a pointer and the elements from one row to the next, so that parts of larger
 * matrices can be multiplied where they lie. C may be the very block `acc` if type and stride
 * agree; otherwise C overlaps nothing. */
#ifndef KB_DATA_GEMM_H
#define KB_DATA_GEMM_H

#include "data/array.h"
#include "data/executor.h"

/* Which instructions to use. All give the same bits; only tests ask for a particular one. */
typedef enum kb_gemm_level {
    KB_GEMM_BEST, /* the most this CPU has */
    KB_GEMM_BASE, /* what the program was compiled for */
    KB_GEMM_AVX2,
    KB_GEMM_AVX512
} kb_gemm_level;

typedef struct kb_gemm {
    size_t m, n, k;
    kb_dtype in_a, in_b; /* of A and B */
    kb_dtype out;        /* of C */
    bool b_transposed;   /* b points to rows of k elements, n of them */
    const void *a, *b;
    const void *acc; /* of the accumulator's type, or null */
    void *c;
    size_t lda, ldb, ldacc, ldc; /* elements */
    kb_gemm_level level;
} kb_gemm;

/* The accumulator's type for operands of that type. */
kb_dtype kb_gemm_acc(kb_dtype in);

/* Does the CPU have what the level needs? */
bool kb_gemm_level_supported(kb_gemm_level level);

/* Whether kernels have products of operands of those types: of one, or two of 8-bit floats. */
bool kb_gemm_takes(kb_dtype in_a, kb_dtype in_b);

/* KB_EINVAL if strides are shorter than rows or the types do not go together. */
int kb_gemm_run(const kb_gemm *gemm, kb_err *err);

/* Rows [first, last) of C only. Calls for disjoint row ranges may run on different threads. */
int kb_gemm_rows(const kb_gemm *gemm, size_t first, size_t last, kb_err *err);

/* kb_gemm_run, a large product in parts on the threads of the executor that have nothing to do;
 * null: none. */
int kb_gemm_split(const kb_gemm *gemm, kb_executor *executor, kb_err *err);

/* NumPy's matmul for arrays of rank 1 and more: [..., m, k] x [..., k, n], leading dimensions
 * broadcast; a vector on either side counts as a row on the left, a column on the right, and that
 * dimension disappears. Operands are promoted; `out_type` is the result's type, -1 the promoted
 * one. Large matrices are multiplied by kb_gemm_split. */
int kb_matmul(const kb_array *a, const kb_array *b, int out_type, kb_executor *executor,
              kb_array **out, kb_err *err);

#endif

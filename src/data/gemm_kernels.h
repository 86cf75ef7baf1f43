/* Inside src/data/gemm*.c: the register-blocked inner kernels and how to choose among them. */
#ifndef KB_DATA_GEMM_KERNELS_H
#define KB_DATA_GEMM_KERNELS_H

#include "data/gemm.h"

/* C's block of rows x columns += packed A (k x rows) times packed B (k x columns). */
typedef void (*kb_gemm_kernel_fn)(size_t k, const void *packed_a, const void *packed_b, void *block,
                                  size_t ldc);

typedef struct kb_gemm_kernel {
    kb_gemm_kernel_fn run;
    size_t rows, columns;
} kb_gemm_kernel;

/* For an accumulator type (f32, f64, i32, i64) and a supported level. */
kb_gemm_kernel kb_gemm_kernel_for(kb_dtype acc, kb_gemm_level level);

#endif

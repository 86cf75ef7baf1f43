#include "data/gemm_kernels.h"

#if defined(__x86_64__)
#define HAVE_X86 1
#endif

/* Integers accumulate unsigned: they wrap, and the low bits of a product do not depend on signs. */
#define ROWS  6
#define BYTES 16
#define TARGET
#define NAME base_f32
#define T    float
#include "data/gemm_kernel.h"
#define NAME base_f64
#define T    double
#include "data/gemm_kernel.h"
#define NAME base_i32
#define T    uint32_t
#include "data/gemm_kernel.h"
#define NAME base_i64
#define T    uint64_t
#include "data/gemm_kernel.h"
#undef BYTES
#undef TARGET

#if HAVE_X86
#define BYTES  32
#define TARGET __attribute__((target("avx2")))
#define NAME   avx2_f32
#define T      float
#include "data/gemm_kernel.h"
#define NAME avx2_f64
#define T    double
#include "data/gemm_kernel.h"
#define NAME avx2_i32
#define T    uint32_t
#include "data/gemm_kernel.h"
#define NAME avx2_i64
#define T    uint64_t
#include "data/gemm_kernel.h"
#undef BYTES
#undef TARGET
#undef ROWS

#define ROWS   12
#define BYTES  64
#define TARGET __attribute__((target("avx512f,avx512dq")))
#define NAME   avx512_f32
#define T      float
#include "data/gemm_kernel.h"
#define NAME avx512_f64
#define T    double
#include "data/gemm_kernel.h"
#define NAME avx512_i32
#define T    uint32_t
#include "data/gemm_kernel.h"
#define NAME avx512_i64
#define T    uint64_t
#include "data/gemm_kernel.h"
#endif

bool kb_gemm_level_supported(kb_gemm_level level)
{
    switch (level) {
#if HAVE_X86
    case KB_GEMM_AVX2:
        return __builtin_cpu_supports("avx2");
    case KB_GEMM_AVX512:
        return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq");
#endif
    default:
        return level == KB_GEMM_BEST || level == KB_GEMM_BASE;
    }
}

static int column(kb_dtype acc)
{
    return acc == KB_F32 ? 0 : acc == KB_F64 ? 1 : acc == KB_I32 ? 2 : 3;
}

kb_gemm_kernel kb_gemm_kernel_for(kb_dtype acc, kb_gemm_level level)
{
    static const kb_gemm_kernel BASE[4] = {
        {base_f32, 6, 8}, {base_f64, 6, 4}, {base_i32, 6, 8}, {base_i64, 6, 4}};
#if HAVE_X86
    static const kb_gemm_kernel AVX2[4] = {
        {avx2_f32, 6, 16}, {avx2_f64, 6, 8}, {avx2_i32, 6, 16}, {avx2_i64, 6, 8}};
    static const kb_gemm_kernel AVX512[4] = {
        {avx512_f32, 12, 32}, {avx512_f64, 12, 16}, {avx512_i32, 12, 32}, {avx512_i64, 12, 16}};
    bool best = level == KB_GEMM_BEST;
    if (level == KB_GEMM_AVX512 || (best && kb_gemm_level_supported(KB_GEMM_AVX512)))
        return AVX512[column(acc)];
    if (level == KB_GEMM_AVX2 || (best && kb_gemm_level_supported(KB_GEMM_AVX2)))
        return AVX2[column(acc)];
#endif
    (void)level;
    return BASE[column(acc)];
}

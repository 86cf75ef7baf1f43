/* One block of C, ROWS x 2 vectors, held in registers. Included by gemm_kernels.c once per element
 * type and instruction set with these defined:
 *   NAME     of the function            TARGET  its target attribute
 *   T        element type               BYTES   of a vector
 *   ROWS     6 or 12
 *
 * `a` is packed k x ROWS, `b` k x (2 vectors), both zero-padded; `c` has a stride of ldc elements.
 * Every accumulator sees its products in ascending k, multiplied and added separately. The lanes
 * are different elements of C, so the width of a vector has no influence on any result. */

/* clang-format off: the macros below read as a table */
#define LANES (BYTES / sizeof(T))

#define EACH_ROW_6(DO)  DO(0) DO(1) DO(2) DO(3) DO(4) DO(5)
#define EACH_ROW_12(DO) EACH_ROW_6(DO) DO(6) DO(7) DO(8) DO(9) DO(10) DO(11)
#define EACH_ROW__(n)   EACH_ROW_##n
#define EACH_ROW_(n)    EACH_ROW__(n)
#define EACH_ROW        EACH_ROW_(ROWS)

#define LOAD(i) vec x##i = *(vec *)(c + i * ldc), y##i = *(vec *)(c + i * ldc + LANES);
#define STEP(i)                                                                                    \
    x##i += a[i] * x;                                                                              \
    y##i += a[i] * y;
#define STORE(i)                                                                                   \
    *(vec *)(c + i * ldc) = x##i;                                                                  \
    *(vec *)(c + i * ldc + LANES) = y##i;

TARGET static void NAME(size_t k, const void *packed_a, const void *packed_b, void *block,
                        size_t ldc)
{
    typedef T vec __attribute__((vector_size(BYTES), aligned(sizeof(T)), may_alias));
    const T *a = packed_a, *b = packed_b;
    T *c = block;
    EACH_ROW(LOAD)
    for (; k > 0; k--, a += ROWS, b += 2 * LANES) {
        vec x = *(const vec *)b, y = *(const vec *)(b + LANES);
        EACH_ROW(STEP)
    }
    EACH_ROW(STORE)
}

#undef LANES
#undef EACH_ROW_6
#undef EACH_ROW_12
#undef EACH_ROW__
#undef EACH_ROW_
#undef EACH_ROW
#undef LOAD
#undef STEP
#undef STORE
#undef NAME
#undef T
/* clang-format on */

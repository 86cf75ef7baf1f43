/* Random numbers in arrays: by their definition, whoever draws them. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "data/fmath.h"
#include "data/random.h"

static void no_task(kb_executor *executor, kb_task *task)
{
    (void)executor;
    (void)task;
}

static kb_array *blank(kb_dtype dtype, size_t n)
{
    kb_array *array;
    assert_int_equal(kb_array_create(dtype, 1, &n, &array, NULL), 0);
    return array;
}

static double value(const kb_array *a, size_t i)
{
    double x;
    kb_convert(KB_F64, &x, a->dtype, (char *)a->data + i * kb_dtype_size(a->dtype), 1);
    return x;
}

/* Every draw is one element: u cut to a multiple of 2^-bits. The generator is then behind them. */
static void uniform_numbers_are_draws_cut_to_the_bits_of_the_type(void **state)
{
    (void)state;
    static const struct {
        kb_dtype dtype;
        int bits;
    } TYPES[] = {{KB_F8E4M3, 4}, {KB_F8E5M2, 3}, {KB_F16, 11},
                 {KB_BF16, 8},   {KB_F32, 24},   {KB_F64, 53}};
    for (size_t t = 0; t < sizeof TYPES / sizeof *TYPES; t++) {
        kb_rng rng = {5}, each = {5};
        kb_array *a = blank(TYPES[t].dtype, 1300);
        kb_random_uniform(&rng, a, NULL);
        for (size_t i = 0; i < a->count; i++) {
            double steps = ldexp(1, TYPES[t].bits);
            assert_true(value(a, i) == floor(kb_rng_unit(&each) * steps) / steps);
        }
        assert_true(rng.state == each.state);
        kb_array_release(a);
    }
}

/* sqrt(-2 log(1 - u)) cos(2 pi v), and the sine; an odd count draws the pair of its last. */
static void normal_numbers_come_in_pairs(void **state)
{
    (void)state;
    kb_rng rng = {6}, each = {6};
    kb_array *a = blank(KB_F64, 1301);
    kb_random_normal(&rng, a, NULL);
    for (size_t i = 0; i < a->count; i += 2) {
        double radius = sqrt(-2 * kb_log(1 - kb_rng_unit(&each)));
        double angle = 2 * 3.14159265358979323846 * kb_rng_unit(&each);
        assert_true(value(a, i) == radius * kb_cos(angle));
        if (i + 1 < a->count) assert_true(value(a, i + 1) == radius * kb_sin(angle));
    }
    assert_true(rng.state == each.state);
    kb_array_release(a);
}

/* low + draw mod bound, except for draws among the first 2^64 mod bound. */
static void integers_are_draws_without_bias(void **state)
{
    (void)state;
    const uint64_t bound = (UINT64_C(3) << 62) + 5; /* a quarter of all draws is thrown away */
    kb_rng rng = {7}, each = {7};
    kb_array *a = blank(KB_I64, 1000);
    kb_random_integers(&rng, a, INT64_MIN, (int64_t)(bound - (UINT64_C(1) << 63)));
    uint64_t thrown = 0;
    for (size_t i = 0; i < a->count; i++) {
        uint64_t draw = kb_rng_next(&each);
        for (; draw < 0 - bound; thrown++) draw = kb_rng_next(&each); /* 2^64 - bound < bound */
        assert_true(((int64_t *)a->data)[i] == (int64_t)(draw % bound + (UINT64_C(1) << 63)));
    }
    assert_true(thrown > 100 && rng.state == each.state);
    kb_array_release(a);
}

/* Several parts and a bit, in two calls. */
static void threads_draw_what_one_draws(void **state)
{
    (void)state;
    enum { N = 200001 };
    for (int threads = 0; threads < 4; threads++) {
        kb_executor *executor = kb_executor_create(threads, no_task);
        for (int normal = 0; normal < 2; normal++) {
            kb_rng one = {8}, many = {8};
            kb_array *a = blank(KB_F16, N), *b = blank(KB_F16, N);
            for (int call = 0; call < 2; call++) {
                (normal ? kb_random_normal : kb_random_uniform)(&one, a, NULL);
                (normal ? kb_random_normal : kb_random_uniform)(&many, b, executor);
                assert_memory_equal(a->data, b->data, a->nbytes);
                assert_true(one.state == many.state);
            }
            kb_array_release(a);
            kb_array_release(b);
        }
        kb_executor_destroy(executor);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(uniform_numbers_are_draws_cut_to_the_bits_of_the_type),
        cmocka_unit_test(normal_numbers_come_in_pairs),
        cmocka_unit_test(integers_are_draws_without_bias),
        cmocka_unit_test(threads_draw_what_one_draws),
    };
    return cmocka_run_group_tests_name("random", tests, NULL, NULL);
}

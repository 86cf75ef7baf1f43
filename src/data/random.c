#include "data/random.h"

#include <math.h>

#include "data/fmath_many.h"

/* Elements of a part, which one thread draws, and of a step within it. Both are even: normal
 * numbers come in pairs. */
enum { PART = 1 << 16, STEP = 512 };

/* Draws n <= STEP elements of that type to `to`. */
typedef void (*draw_fn)(kb_rng *rng, kb_dtype dtype, void *to, size_t n);

typedef struct drawing {
    kb_rng rng; /* at the first element */
    kb_array *array;
    draw_fn draw;
} drawing;

static void draw_part(void *object, uint32_t i)
{
    const drawing *d = object;
    kb_rng rng = d->rng;
    size_t at = (size_t)i * PART, count = d->array->count, size = kb_dtype_size(d->array->dtype);
    size_t end = count - at < PART ? count : at + PART;
    kb_rng_skip(&rng, at);
    for (; at < end; at += STEP)
        d->draw(&rng, d->array->dtype, (char *)d->array->data + at * size,
                end - at < STEP ? end - at : STEP);
}

static void fill(kb_rng *rng, kb_array *array, draw_fn draw, kb_executor *executor)
{
    drawing d = {*rng, array, draw};
    uint32_t parts = (uint32_t)((array->count + PART - 1) / PART);
    if (executor && parts > 1) {
        kb_executor_split(executor, parts, draw_part, &d);
    } else {
        for (uint32_t i = 0; i < parts; i++) draw_part(&d, i);
    }
}

/* ---- uniform ---- */

/* Bits of the significand, the hidden one among them. */
static unsigned significant_bits(kb_dtype dtype)
{
    static const unsigned char BITS[] = {[KB_F8E4M3] = 4, [KB_F8E5M2] = 3, [KB_F16] = 11,
                                         [KB_BF16] = 8,   [KB_F32] = 24,   [KB_F64] = 53};
    return BITS[dtype];
}

/* Up to 24 bits fit into f32 as they are. */
static void draw_uniform(kb_rng *rng, kb_dtype dtype, void *to, size_t n)
{
    float numbers[STEP];
    unsigned bits = significant_bits(dtype);
    float unit = 1.0f / (float)(UINT32_C(1) << bits);
    for (size_t i = 0; i < n; i++)
        numbers[i] = (float)(int32_t)(kb_rng_next(rng) >> (64 - bits)) * unit;
    kb_convert(dtype, to, KB_F32, numbers, n);
}

static void draw_uniform_f64(kb_rng *rng, kb_dtype dtype, void *to, size_t n)
{
    (void)dtype;
    double *numbers = to;
    for (size_t i = 0; i < n; i++) numbers[i] = kb_rng_unit(rng);
}

void kb_random_uniform(kb_rng *rng, kb_array *array, kb_executor *executor)
{
    fill(rng, array, array->dtype == KB_F64 ? draw_uniform_f64 : draw_uniform, executor);
    kb_rng_skip(rng, array->count);
}

/* ---- normal ---- */

static void draw_normal(kb_rng *rng, kb_dtype dtype, void *to, size_t n)
{
    enum { PAIRS = STEP / 2 };
    double unit[PAIRS] = {0}, logarithm[PAIRS], angle[PAIRS], sine[PAIRS], cosine[PAIRS],
           numbers[STEP];
    size_t pairs = (n + 1) / 2;
    for (size_t i = 0; i < pairs; i++) {
        unit[i] = 1 - kb_rng_unit(rng);                     /* never 0 */
        angle[i] = 0x1.921fb54442d18p+2 * kb_rng_unit(rng); /* 2 pi u */
    }
    kb_log_many(pairs, unit, logarithm);
    kb_sin_cos_many(pairs, angle, sine, cosine);
    for (size_t i = 0; i < pairs; i++) {
        double radius = sqrt(-2 * logarithm[i]);
        numbers[2 * i] = radius * cosine[i];
        numbers[2 * i + 1] = radius * sine[i];
    }
    kb_convert(dtype, to, KB_F64, numbers, n);
}

void kb_random_normal(kb_rng *rng, kb_array *array, kb_executor *executor)
{
    fill(rng, array, draw_normal, executor);
    kb_rng_skip(rng, array->count + array->count % 2);
}

/* ---- integers ---- */

void kb_random_integers(kb_rng *rng, kb_array *array, int64_t low, int64_t high)
{
    size_t size = kb_dtype_size(array->dtype);
    uint64_t bound = (uint64_t)high - (uint64_t)low;
    uint64_t reject = (0 - bound) % bound; /* draws from the incomplete last multiple */
    int64_t numbers[STEP];
    for (size_t at = 0; at < array->count; at += STEP) {
        size_t n = array->count - at < STEP ? array->count - at : STEP;
        for (size_t i = 0; i < n; i++) {
            uint64_t draw;
            do draw = kb_rng_next(rng);
            while (draw < reject);
            numbers[i] = (int64_t)((uint64_t)low + draw % bound);
        }
        kb_convert(array->dtype, (char *)array->data + at * size, KB_I64, numbers, n);
    }
}

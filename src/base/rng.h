/* Random numbers: SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators",
 * 2014). One 64-bit state, seeded by any value, the same sequence everywhere. */
#ifndef KB_BASE_RNG_H
#define KB_BASE_RNG_H

#include <stdint.h>

typedef struct kb_rng {
    uint64_t state;
} kb_rng;

#define KB_RNG_STEP UINT64_C(0x9e3779b97f4a7c15)

/* As if n numbers had been drawn. */
static inline void kb_rng_skip(kb_rng *rng, uint64_t n)
{
    rng->state += n * KB_RNG_STEP;
}

static inline uint64_t kb_rng_next(kb_rng *rng)
{
    uint64_t z = (rng->state += KB_RNG_STEP);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

/* A key's bits, well mixed: for hashing. */
static inline uint64_t kb_rng_mix(uint64_t key)
{
    kb_rng rng = {key};
    return kb_rng_next(&rng);
}

/* Uniform in [0, bound), bound > 0; by multiplication (Lemire 2019), bias below bound / 2^32. */
static inline uint32_t kb_rng_below(kb_rng *rng, uint32_t bound)
{
    return (uint32_t)(((kb_rng_next(rng) >> 32) * bound) >> 32);
}

/* Uniform in [0, 1) with 53 random bits. */
static inline double kb_rng_unit(kb_rng *rng)
{
    return (double)(kb_rng_next(rng) >> 11) * 0x1p-53;
}

#endif

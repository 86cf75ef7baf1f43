/* Random numbers of kernels: Philox4x32 (Salmon, Moraes, Dror and Shaw, "Parallel random numbers:
 * as easy as 1, 2, 3", 2011), as Triton's tl.rand uses it. A number is a function of seed and
 * offset alone, so any part of a sequence can be made anywhere. */
#ifndef KB_DATA_PHILOX_H
#define KB_DATA_PHILOX_H

#include "data/array.h"

typedef enum kb_philox_kind {
    KB_RANDINT, /* u32 */
    KB_RAND,    /* f32, in [0, 1) */
    KB_RANDN    /* f32, normal (Box and Muller 1958) */
} kb_philox_kind;

enum { KB_PHILOX_ROUNDS = 10, KB_PHILOX_ROUNDS_MAX = 100 };

void kb_philox4x32(const uint32_t counter[4], const uint32_t key[2], int rounds, uint32_t out[4]);

/* One number for each of the integers at `offset`, which are the counters; the seed is the key. */
int kb_philox_draw(kb_philox_kind kind, uint64_t seed, int rounds, const kb_array *offset,
                   kb_array **out, kb_err *err);

/* Passes of a vector engine: a round is two multiplications, their high halves, and four times
 * exclusive or; then what makes floats of integers. */
uint32_t kb_philox_passes(kb_philox_kind kind, int rounds);

#endif

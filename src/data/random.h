/* Random numbers in arrays: for a generator's state, a count and a dtype the same on every machine
 * and for every number of threads. The generator can begin anywhere in its sequence (base/rng.h),
 * so parts of a large array are drawn on several threads of an executor; null: on none beside the
 * caller's. */
#ifndef KB_DATA_RANDOM_H
#define KB_DATA_RANDOM_H

#include "base/rng.h"
#include "data/array.h"
#include "data/executor.h"

/* Uniform in [0, 1), an element from every draw: as many of its highest bits as the type's
 * significand has, since rounding could reach 1. Floats only. */
void kb_random_uniform(kb_rng *rng, kb_array *array, kb_executor *executor);

/* Mean 0, variance 1: pairs of elements from pairs of draws (Box and Muller 1958), computed in f64
 * and rounded once. The last element of an odd count takes a pair of draws, too. Floats only. */
void kb_random_normal(kb_rng *rng, kb_array *array, kb_executor *executor);

/* Uniform in [low, high), low < high, both values of the array's type; without bias, so the number
 * of draws is not known before. */
void kb_random_integers(kb_rng *rng, kb_array *array, int64_t low, int64_t high);

#endif

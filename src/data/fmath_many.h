/* The functions of fmath.h of n numbers: the same bits, several at a time with the vectors that the
 * CPU has. Arguments that most programs never have are left to the functions of one number. */
#ifndef KB_DATA_FMATH_MANY_H
#define KB_DATA_FMATH_MANY_H

#include <stddef.h>

/* `z` and `x` may be the same, but not overlap otherwise. */
void kb_exp_many(size_t n, const double *x, double *z);
void kb_log_many(size_t n, const double *x, double *z);
void kb_tanh_many(size_t n, const double *x, double *z);
void kb_sigmoid_many(size_t n, const double *x, double *z);
void kb_erf_many(size_t n, const double *x, double *z);

/* Sine and cosine of the same numbers; x, sine and cosine do not overlap. */
void kb_sin_cos_many(size_t n, const double *x, double *sine, double *cosine);

#endif

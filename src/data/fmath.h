/* Elementary functions in double precision, the same bits on every CPU and C library.
 *
 * A C library picks variants of exp, log, sin, … by CPU (with and without fused multiply-add), and
 * they differ in the last bit. These use only +, -, *, / and sqrt, each rounded as IEEE 754 says,
 * so a result is a function of its argument alone. Errors stay within 3 units in the last place
 * (pow: 8, and below 1 unless the result is near overflow or underflow), which a test checks
 * against the C library's long double functions. Results for f32, f16 and bf16 come from here
 * through one rounding.
 *
 * Special values are those of C11 annex F. */
#ifndef KB_DATA_FMATH_H
#define KB_DATA_FMATH_H

double kb_exp(double x);
double kb_exp2(double x);
double kb_log(double x);
double kb_log2(double x);
double kb_pow(double x, double y);
double kb_sin(double x);
double kb_cos(double x);
double kb_tanh(double x);
double kb_erf(double x);
double kb_sigmoid(double x); /* 1 / (1 + e^-x) */

#endif

/* The benchmark program: a table of rates, each measured several times, the median reported.
 *
 * A file that offers rates exports an array of kb_rate that ends with a null name, declared below,
 * and main.c lists the array. One call of `measure` makes one run: it prepares, times only the part
 * that counts, checks that the result is right and says how much was done in how long. A wrong
 * result ends the program through bench_abort: the speed of a wrong answer is nobody's business. */
#ifndef KB_BENCH_BENCH_H
#define KB_BENCH_BENCH_H

#include <stdint.h>

typedef struct kb_run {
    uint64_t operations;
    double seconds;
} kb_run;

typedef struct kb_rate {
    const char *name;
    const char *unit; /* of one operation, plural: "link hops" */
    const char *help;
    kb_run (*measure)(uint64_t parameter);
    uint64_t parameter; /* lets one function serve several rates */
} kb_rate;

extern const kb_rate bench_chain_rates[];
extern const kb_rate bench_hold_rates[];
extern const kb_rate bench_lua_rates[];
extern const kb_rate bench_fabric_rates[];
extern const kb_rate bench_data_rates[];

/* Seconds of a clock that only runs forward. */
double bench_clock(void);

/* "kb_bench: " and the message on stderr, exit code 1. */
_Noreturn void bench_abort(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif

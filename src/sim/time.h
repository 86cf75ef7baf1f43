/* Simulated time: unsigned 64-bit picoseconds, 213 days of range.
 *
 * Bandwidths and clocks become durations here and nowhere else, rounded to nearest. Time is never
 * kept, compared or added as floating point; reports divide by 1000 and show ns. */
#ifndef KB_SIM_TIME_H
#define KB_SIM_TIME_H

#include <stdint.h>

typedef uint64_t kb_time;

#define KB_TIME_NEVER UINT64_MAX

/* Nearest picosecond to a duration in nanoseconds (also: mm x ns/mm). */
static inline kb_time kb_time_from_ns(double ns)
{
    return (kb_time)(ns * 1000.0 + 0.5);
}

/* Time that `bytes` occupy a resource of `gbs` gigabytes (1e9 B) per second. */
static inline kb_time kb_time_transfer(uint64_t bytes, double gbs)
{
    return (kb_time)((double)bytes * 1000.0 / gbs + 0.5);
}

/* Duration of `cycles` of a clock of `ghz`. */
static inline kb_time kb_time_cycles(uint64_t cycles, double ghz)
{
    return (kb_time)((double)cycles * 1000.0 / ghz + 0.5);
}

static inline double kb_time_ns(kb_time t)
{
    return (double)t / 1000.0;
}

#endif

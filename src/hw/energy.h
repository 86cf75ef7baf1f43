/* Energy: what was moved and computed times the energy of each unit, and static power times time.
 *
 * It is read off the counters of links, memories and engines, so it costs a run nothing and may be
 * asked for at any moment; the energy of an interval, a launch say, is the difference of two
 * totals. Laws:
 *
 *   links     a byte costs its kind's energy on every link that it passes
 *   hbm, sram a byte read or written
 *   tcm       a byte through a port, moved by the PE's own DMA, or both
 *   gemm      a multiply-accumulate, by the size of its operands
 *   math      a lane for a cycle, whether an element was in it or not
 *   static    every PE and every cube of the machine, for all of the time
 *
 * Off by default: then all is 0. */
#ifndef KB_HW_ENERGY_H
#define KB_HW_ENERGY_H

#include "hw/machine.h"
#include "hw/traffic.h"

enum {
    KB_ENERGY_LINKS, /* first of KB_TRAFFIC_COUNT, in their order */
    KB_ENERGY_HBM_READ = KB_ENERGY_LINKS + KB_TRAFFIC_COUNT,
    KB_ENERGY_HBM_WRITE,
    KB_ENERGY_SRAM,
    KB_ENERGY_TCM,
    KB_ENERGY_GEMM,
    KB_ENERGY_MATH,
    KB_ENERGY_STATIC,
    KB_ENERGY_COUNT
};
const char *kb_energy_name(int part);

typedef struct kb_energy {
    double joules[KB_ENERGY_COUNT];
    double total;
} kb_energy;

/* Of section "energy". */
extern const kb_param kb_energy_params[];

typedef struct kb_energy_config {
    bool enabled;
    double link[KB_TRAFFIC_COUNT]; /* all in joules: per byte */
    double hbm_read, hbm_write, sram, tcm;
    double mac[4]; /* per multiply-accumulate, by log2 of the operands' bytes */
    double lane;   /* per lane and cycle */
    double pe_watts, cube_watts;
} kb_energy_config;

kb_energy_config *kb_energy_configure(const kb_spec *spec); /* freed by the caller */

/* From the beginning until now. */
void kb_energy_total(kb_machine *m, kb_energy *out);

#endif

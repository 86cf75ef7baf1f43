/* The controller of one HBM slice (law T7).
 *
 * Flit i of a transaction goes to the pseudo-channel of its address, (address / burst) mod
 * channels. A channel is a FIFO of bursts of burst / (pc_bw x efficiency); a flit longer than a
 * burst takes several, one shorter takes a whole one. A change of direction costs switch_penalty.
 * The bursts of a read queue when its request arrives, those of a write as its flits arrive.
 *
 * Two refinements, off by default, which closed_form.h does not know:
 *
 * Refresh. Channel c of n is blocked for `refresh` at interval x (c + 1) / n and every interval
 * from then on. A burst that would overlap starts behind it.
 *
 * Rows. A channel's bytes, row by row, go round its banks; each bank keeps open the row used last.
 * A flit in another row of its bank than the open one takes row_miss more, once; activations of
 * different banks do not overlap, and a refresh leaves rows open. */
#ifndef KB_HW_HBM_CTRL_H
#define KB_HW_HBM_CTRL_H

#include "hw/device.h"
#include "sim/link.h"

typedef struct kb_hbm_config {
    uint32_t channels;
    uint32_t burst_bytes;
    uint32_t burst_shift; /* log2 of burst_bytes; used if both numbers are powers of two */
    bool powers_of_two;
    kb_time burst;          /* time of one burst on its channel */
    kb_time flat_burst;     /* at the rate of all channels together (hbm_flat.c) */
    kb_time switch_penalty; /* read after write or write after read, per channel */
    kb_time refresh_interval, refresh;
    uint64_t row_bytes; /* 0: rows are not modelled */
    uint32_t banks;
    kb_time row_miss;
} kb_hbm_config;

typedef struct kb_hbm_channel {
    kb_link fifo;
    int last_op; /* kb_txn_op of the last burst, -1 before the first */
} kb_hbm_channel;

typedef struct kb_hbm_ctrl {
    kb_device device;
    uint64_t bytes_read, bytes_written, bursts;
    uint64_t switches; /* of direction */
    uint64_t row_misses;
    uint64_t *open_row; /* by channel * banks + bank: its number in the bank + 1; or null */
    kb_hbm_channel channel[];
} kb_hbm_ctrl;

/* What the bursts and penalties counted so far take, over all channels. */
kb_time kb_hbm_busy(const kb_hbm_ctrl *hbm, const kb_hbm_config *config);

#endif

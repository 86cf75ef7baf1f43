/* The crossbars between PEs and HBM slices.
 * Contention is on the links into the crossbar and on the link to each slice. */
#include "hw/classes.h"

static const kb_param params[] = {
    {"overhead_ns", KB_PARAM_REAL, "ns", "2", 0, 1e6, NULL, "time per transaction"},
    {"pe_to_xbar_bw_gbs", KB_PARAM_REAL, "GB/s", "256", 1e-3, 1e5, NULL,
     "bandwidth between a PE's DMA and its crossbar, per direction"},
    {"xbar_to_hbm_bw_gbs", KB_PARAM_REAL, "GB/s", "256", 1e-3, 1e5, NULL,
     "bandwidth of the link to each HBM slice, per direction"},
    {"noc_to_xbar_bw_gbs", KB_PARAM_REAL, "GB/s", "256", 1e-3, 1e5, NULL,
     "bandwidth of each link by which remote traffic enters, per direction"},
    {0}};

const kb_device_class kb_xbar_class = {.kind = KB_XBAR,
                                       .help = "crossbars (top and bottom) from PEs to HBM slices",
                                       .params = params,
                                       .transit = kb_txn_forward};

/* The crossbars between PEs and HBM slices, and the bridges that join the upper and the lower one.
 * Contention is on the links into the crossbar and on the link to each slice. */
#include "hw/classes.h"

static const kb_param xbar_params[] = {
    {"overhead_ns", KB_PARAM_REAL, "ns", "2", 0, 1e6, NULL, "time per transaction"},
    {"pe_to_xbar_bw_gbs", KB_PARAM_REAL, "GB/s", "256", 1e-3, 1e5, NULL,
     "bandwidth between a PE's DMA and its crossbar, per direction"},
    {"xbar_to_hbm_bw_gbs", KB_PARAM_REAL, "GB/s", "256", 1e-3, 1e5, NULL,
     "bandwidth of the link to each HBM slice, per direction"},
    {"noc_to_xbar_bw_gbs", KB_PARAM_REAL, "GB/s", "256", 1e-3, 1e5, NULL,
     "bandwidth of each link by which remote traffic enters, per direction"},
    {0}};

static const kb_param bridge_params[] = {
    {"overhead_ns", KB_PARAM_REAL, "ns", "1", 0, 1e6, NULL, "time per transaction"},
    {"bw_gbs", KB_PARAM_REAL, "GB/s", "256", 1e-3, 1e5, NULL,
     "bandwidth between a bridge and each crossbar, per direction"},
    {0}};

const kb_device_class kb_xbar_class = {.kind = KB_XBAR,
                                       .help = "crossbars (top and bottom) from PEs to HBM slices",
                                       .params = xbar_params,
                                       .transit = kb_txn_forward};

const kb_device_class kb_bridge_class = {.kind = KB_BRIDGE,
                                         .help =
                                             "bridges (left and right) between the two crossbars",
                                         .params = bridge_params,
                                         .transit = kb_txn_forward};

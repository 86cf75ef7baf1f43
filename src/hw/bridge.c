/* The bridges left and right of the HBM that join the upper and the lower crossbar. */
#include "hw/classes.h"

static const kb_param params[] = {
    {"overhead_ns", KB_PARAM_REAL, "ns", "1", 0, 1e6, NULL, "time per transaction"},
    {"bw_gbs", KB_PARAM_REAL, "GB/s", "256", 1e-3, 1e5, NULL,
     "bandwidth between a bridge and each crossbar, per direction"},
    {0}};

const kb_device_class kb_bridge_class = {.kind = KB_BRIDGE,
                                         .help =
                                             "bridges (left and right) between the two crossbars",
                                         .params = params,
                                         .transit = kb_txn_forward};

/* The star inside an IO chiplet that joins pcie_ep, io_cpu and the UCIe PHYs. */
#include "hw/classes.h"

static const kb_param params[] = {
    {"overhead_ns", KB_PARAM_REAL, "ns", "0", 0, 1e6, NULL, "time per transaction"},
    {"bw_gbs", KB_PARAM_REAL, "GB/s", "256", 1e-3, 1e5, NULL,
     "bandwidth of each of its links, per direction"},
    {"link_mm", KB_PARAM_REAL, "mm", "2", 0, 1000, NULL, "length of each of its links"},
    {0}};

const kb_device_class kb_io_noc_class = {.kind = KB_IO_NOC,
                                         .help = "interconnect of an IO chiplet",
                                         .params = params,
                                         .transit = kb_txn_forward};

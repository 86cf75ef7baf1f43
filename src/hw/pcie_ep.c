/* PCIe endpoint of an IO chiplet: cut-through like every node (T4). */
#include "hw/classes.h"

static const kb_param params[] = {
    {"overhead_ns", KB_PARAM_REAL, "ns", "5", 0, 1e6, NULL, "time per transaction"}, {0}};

const kb_device_class kb_pcie_ep_class = {
    .kind = KB_PCIE_EP,
    .help = "PCIe endpoint of an IO chiplet; connects to the host and to the switch",
    .params = params,
    .transit = kb_txn_forward};

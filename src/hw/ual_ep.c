/* UALink endpoint of an IO chiplet, optional: where there is one, it and not pcie_ep is joined to
 * the switch, so that traffic between SIPs and traffic of the host do not meet. Cut-through like
 * every node (T4). */
#include "hw/classes.h"

static const kb_param params[] = {
    {"enabled", KB_PARAM_BOOL, NULL, "false", 0, 0, NULL,
     "whether IO chiplets have one; it then carries what goes between SIPs, instead of pcie_ep"},
    {"overhead_ns", KB_PARAM_REAL, "ns", "5", 0, 1e6, NULL, "time per transaction"},
    {0}};

const kb_device_class kb_ual_ep_class = {
    .kind = KB_UAL_EP,
    .help = "UALink endpoint of an IO chiplet, optional; connects to the switch",
    .params = params,
    .transit = kb_txn_forward};

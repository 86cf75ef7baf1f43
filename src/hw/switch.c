/* The switch between the SIPs: forwards flits after its overhead (T3, T4). */
#include "hw/classes.h"

static const kb_param params[] = {
    {"overhead_ns", KB_PARAM_REAL, "ns", "5", 0, 1e6, NULL, "time per transaction"}, {0}};

const kb_device_class kb_switch_class = {.kind = KB_SWITCH,
                                         .help = "the switch through which SIPs reach each other",
                                         .params = params,
                                         .transit = kb_txn_forward};

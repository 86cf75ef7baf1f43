/* The host CPU: origin of launches and of host memory traffic (T8, T9). */
#include "hw/classes.h"

static const kb_param params[] = {{"overhead_ns", KB_PARAM_REAL, "ns", "0", 0, 1e6, NULL,
                                   "time that the host takes to accept a completion"},
                                  {0}};

const kb_device_class kb_host_class = {.kind = KB_HOST,
                                       .help = "the host CPU, source of launches and host traffic",
                                       .params = params,
                                       .transit = kb_txn_forward};

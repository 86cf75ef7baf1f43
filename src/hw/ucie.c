/* UCIe ports between dies. Each connection of a side is a node of its own, so a crossing pays two
 * port overheads; the wire between them has its bandwidth per connection and direction. */
#include "hw/classes.h"

static const kb_param params[] = {
    {"overhead_ns", KB_PARAM_REAL, "ns", "8", 0, 1e6, NULL, "time per transaction and port"},
    {"connections", KB_PARAM_INT, NULL, "4", 1, KB_MESH_MAX, NULL, "connections on each side"},
    {"bw_gbs", KB_PARAM_REAL, "GB/s", "128", 1e-3, 1e5, NULL,
     "bandwidth of each connection, per direction"},
    {"length_mm", KB_PARAM_REAL, "mm", "2", 0, 1000, NULL, "wire between two dies"},
    {0}};

static const kb_param io_params[] = {
    {"overhead_ns", KB_PARAM_REAL, "ns", "8", 0, 1e6, NULL, "time per transaction and port"}, {0}};

const kb_device_class kb_ucie_class = {
    .kind = KB_UCIE,
    .help = "UCIe connections of a cube to its neighbours, also those to an IO chiplet",
    .params = params,
    .transit = kb_txn_forward};

const kb_device_class kb_io_ucie_class = {.kind = KB_IO_UCIE,
                                          .help = "UCIe connections of an IO chiplet",
                                          .params = io_params,
                                          .transit = kb_txn_forward};

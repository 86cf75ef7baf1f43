/* NOC routers of a cube (T4, T10): forward in order, first come first served per output link. */
#include "hw/classes.h"

static const kb_param params[] = {
    {"rows", KB_PARAM_INT, NULL, "6", 1, KB_MESH_MAX, NULL, "rows of routers"},
    {"cols", KB_PARAM_INT, NULL, "6", 1, KB_MESH_MAX, NULL, "columns of routers"},
    {"pitch_mm", KB_PARAM_REAL, "mm", "2", 0.01, 100, NULL, "distance between neighbours"},
    {"col_gaps_mm", KB_PARAM_REAL_LIST, "mm", "[]", 0.01, 100, NULL,
     "gaps between columns from west to east, one fewer than columns; []: pitch_mm everywhere"},
    {"row_gaps_mm", KB_PARAM_REAL_LIST, "mm", "[]", 0.01, 100, NULL,
     "gaps between rows from north to south, one fewer than rows; []: pitch_mm everywhere"},
    {"bw_gbs", KB_PARAM_REAL, "GB/s", "256", 1e-3, 1e5, NULL,
     "bandwidth of every link of a router, per direction"},
    {"overhead_ns", KB_PARAM_REAL, "ns", "0", 0, 1e6, NULL, "time per transaction and router"},
    {"missing", KB_PARAM_STRING_LIST, NULL, "[r2c2, r2c3, r3c2, r3c3]", 0, 0, NULL,
     "routers left out to make room for the HBM stack"},
    {"skip_links", KB_PARAM_BOOL, NULL, "false", 0, 0, NULL,
     "whether routers that face each other across missing ones are joined"},
    {0}};

const kb_device_class kb_router_class = {.kind = KB_ROUTER,
                                         .help = "the mesh of NOC routers of a cube",
                                         .params = params,
                                         .transit = kb_txn_forward};

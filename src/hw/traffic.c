#include "hw/traffic.h"

static bool is_ucie(kb_kind kind)
{
    return kind == KB_UCIE || kind == KB_IO_UCIE;
}

kb_traffic kb_traffic_between(const kb_graph *g, kb_node from, kb_node to)
{
    kb_kind a = kb_graph_info(g, from)->kind, b = kb_graph_info(g, to)->kind;
    if (a == KB_HOST || b == KB_HOST) return KB_TRAFFIC_PCIE;
    if (kb_graph_place(g, from).sip != kb_graph_place(g, to).sip) return KB_TRAFFIC_FABRIC;
    if (is_ucie(a) && is_ucie(b)) return KB_TRAFFIC_UCIE;
    if (a == KB_ROUTER && b == KB_ROUTER) return KB_TRAFFIC_NOC;
    if (a == KB_XBAR || b == KB_XBAR) return KB_TRAFFIC_XBAR;
    return KB_TRAFFIC_NONE;
}

#include "topo/vchannel.h"

#include <stdio.h>

/* Place in the path of its last system node, or -1. */
static long last_outside(const kb_graph *g, const kb_path *path)
{
    long i = (long)path->nodes.count - 1;
    while (i >= 0 && kb_graph_place(g, path->nodes.data[i]).sip >= 0) i--;
    return i;
}

static bool same_die(const kb_graph *g, kb_node a, kb_node b)
{
    kb_place p = kb_graph_place(g, a), q = kb_graph_place(g, b);
    return p.sip == q.sip && p.die == q.die;
}

/* What payload is bound for in the die in which each edge ends. */
static void classify(const kb_graph *g, const kb_path *path, kb_vchannel *out)
{
    long outside = last_outside(g, path);
    kb_vchannel bound = KB_TOWARDS_END;
    for (long i = (long)path->edges.count - 1; i >= 0; i--) {
        if (i + 1 == outside) bound = KB_TOWARDS_OUT;
        out[i] = bound;
        kb_node from = path->nodes.data[i];
        if (outside >= 0 || same_die(g, from, path->nodes.data[i + 1])) continue;
        const kb_node_info *port = kb_graph_info(g, from);
        if (port->kind == KB_UCIE) bound = port->a;
    }
}

/* Count turns from a column into a row, and move each edge behind one up. */
static void add_detours(const kb_graph *g, const kb_path *path, kb_vchannel *out)
{
    kb_vchannel detour = 0;
    bool on_column = false;
    for (size_t i = 0; i < path->edges.count; i++) {
        kb_node from = path->nodes.data[i], to = path->nodes.data[i + 1];
        if (!same_die(g, from, to)) {
            detour = 0;
            on_column = false;
        }
        const kb_node_info *p = kb_graph_info(g, from), *q = kb_graph_info(g, to);
        if (p->kind == KB_ROUTER && q->kind == KB_ROUTER) {
            if (on_column && p->a == q->a) detour++;
            on_column = p->a != q->a;
        }
        out[i] = (kb_vchannel)(out[i] + detour * KB_TOWARDS_COUNT);
    }
}

void kb_vchannel_assign(const kb_graph *g, const kb_path *path, kb_vchannel *out)
{
    classify(g, path, out);
    add_detours(g, path, out);
}

const char *kb_vchannel_name(kb_vchannel channel, char out[KB_VCHANNEL_NAME_MAX])
{
    static const char *const names[KB_TOWARDS_COUNT] = {
        [KB_TOWARDS_NORTH] = "north", [KB_TOWARDS_EAST] = "east", [KB_TOWARDS_SOUTH] = "south",
        [KB_TOWARDS_WEST] = "west",   [KB_TOWARDS_OUT] = "out",   [KB_TOWARDS_END] = "end"};
    const char *name = names[channel % KB_TOWARDS_COUNT];
    unsigned detour = channel / KB_TOWARDS_COUNT;
    if (detour)
        snprintf(out, KB_VCHANNEL_NAME_MAX, "%s, detour %u", name, detour);
    else
        snprintf(out, KB_VCHANNEL_NAME_MAX, "%s", name);
    return out;
}

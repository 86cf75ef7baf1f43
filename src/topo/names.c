#include "topo/names.h"

#include <stdio.h>
#include <string.h>

static const char *const sides[] = {"n", "e", "s", "w"};
static const char *const halves[] = {"top", "bottom"};
static const char *const flanks[] = {"left", "right"};

/* The part of the name after "sipX.cubeY." or "sipX.ioY.". */
static void local_name(const kb_node_info *info, char *out, size_t size)
{
    const char *kind = kb_kind_name(info->kind);
    switch (info->kind) {
    case KB_IO_UCIE:
        snprintf(out, size, "ucie%d.conn%d", info->a, info->b);
        return;
    case KB_ROUTER:
        snprintf(out, size, "r%dc%d", info->a, info->b);
        return;
    case KB_UCIE:
        snprintf(out, size, "ucie_%s.conn%d", sides[info->a & 3], info->b);
        return;
    case KB_XBAR:
        snprintf(out, size, "xbar.%s", halves[info->a & 1]);
        return;
    case KB_BRIDGE:
        snprintf(out, size, "bridge.%s", flanks[info->a & 1]);
        return;
    case KB_HBM_CTRL:
        snprintf(out, size, "hbm_ctrl.slice%d", info->a);
        return;
    default:
        break;
    }
    if (info->kind >= KB_PE_CPU)
        snprintf(out, size, "pe%d.%s", info->a, kind);
    else
        snprintf(out, size, "%s", kind);
}

char *kb_node_name(const kb_graph *graph, kb_node node, char out[KB_NAME_MAX])
{
    kb_place place = kb_graph_place(graph, node);
    const kb_node_info *info = kb_graph_info(graph, node);
    if (place.sip < 0) return strcpy(out, info->kind == KB_HOST ? "host" : "fabric.switch0");
    char local[40];
    local_name(info, local, sizeof local);
    int io = place.die - kb_graph_cubes(graph);
    snprintf(out, KB_NAME_MAX, "sip%d.%s%d.%s", place.sip, io < 0 ? "cube" : "io",
             io < 0 ? place.die : io, local);
    return out;
}

static kb_node find_in_die(const kb_graph *graph, kb_place place, const char *local)
{
    const kb_die_type *die = kb_graph_die_type(graph, place);
    for (size_t n = 0; n < die->nodes.count; n++) {
        char name[40];
        local_name(&die->nodes.data[n], name, sizeof name);
        if (strcmp(name, local)) continue;
        place.local = (uint16_t)n;
        return kb_graph_node(graph, place);
    }
    return KB_NO_NODE;
}

kb_node kb_node_parse(const kb_graph *graph, const char *name)
{
    if (!strcmp(name, "host")) return 0;
    if (!strcmp(name, "fabric.switch0")) return 1;
    char die[5];
    int sip, index, used = 0;
    if (sscanf(name, "sip%5d.%4[a-z]%5d.%n", &sip, die, &index, &used) != 3 || !used)
        return KB_NO_NODE;
    int cubes = kb_graph_cubes(graph);
    bool cube = !strcmp(die, "cube");
    if (!cube && strcmp(die, "io")) return KB_NO_NODE;
    if (sip < 0 || sip >= graph->sips || index < 0 || index >= (cube ? cubes : graph->ios))
        return KB_NO_NODE;
    kb_node node =
        find_in_die(graph, (kb_place){sip, cube ? index : cubes + index, 0}, name + used);
    char only[KB_NAME_MAX]; /* no other spelling of the numbers: "sip 0", "sip+0", "sip00" */
    if (node != KB_NO_NODE && strcmp(kb_node_name(graph, node, only), name)) return KB_NO_NODE;
    return node;
}

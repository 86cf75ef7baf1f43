#include "topo/route.h"

#include <assert.h>
#include <stdlib.h>

#include "topo/names.h"

/* A route under construction: where it stands, and the path so far. */
typedef struct walk {
    const kb_graph *g;
    kb_path *path;
    kb_place at;
} walk;

void kb_path_free(kb_path *path)
{
    kb_vec_free(&path->nodes);
    kb_vec_free(&path->edges);
}

static void push(walk *w, kb_edge edge, kb_place to)
{
    kb_vec_push(&w->path->edges, edge);
    kb_vec_push(&w->path->nodes, kb_graph_node(w->g, to));
    w->at = to;
}

static kb_edge edge_base(const kb_graph *g, kb_place place)
{
    return (kb_edge)g->system.edges.count + (kb_edge)place.sip * g->sip_edges +
           g->die_edge[place.die];
}

/* Local number of the edge from `from` to `to`, or -1. */
static int find_edge(const kb_die_type *die, uint16_t from, uint16_t to)
{
    for (int e = die->first_edge[from]; e < die->first_edge[from + 1]; e++)
        if (die->edges.data[e].to == to) return e;
    return -1;
}

static bool step(walk *w, uint16_t to)
{
    int edge = find_edge(kb_graph_die_type(w->g, w->at), w->at.local, to);
    if (edge < 0) return false;
    kb_place next = {w->at.sip, w->at.die, to};
    push(w, edge_base(w->g, w->at) + (kb_edge)edge, next);
    return true;
}

/* Leave the die over its edge of the class `exit` (KB_TO_PEER, ...) and arrive at `to`. */
static bool cross(walk *w, uint16_t exit, kb_place to)
{
    int edge = find_edge(kb_graph_die_type(w->g, w->at), w->at.local, exit);
    if (edge < 0) return false;
    push(w, edge_base(w->g, w->at) + (kb_edge)edge, to);
    return true;
}

static const kb_node_info *standing(const walk *w)
{
    return &kb_graph_die_type(w->g, w->at)->nodes.data[w->at.local];
}

/* ---- inside a cube ---- */

static int cell_of(const kb_graph *g, uint16_t router)
{
    const kb_node_info *info = &g->cube.nodes.data[router];
    return info->a * g->cube_plan.cols + info->b;
}

static void walk_routers(walk *w, uint16_t to)
{
    const kb_cube_plan *plan = &w->g->cube_plan;
    int cells = plan->rows * plan->cols, target = cell_of(w->g, to);
    while (w->at.local != to) {
        int cell = cell_of(w->g, w->at.local);
        bool ok = step(w, plan->neighbour[cell][plan->next[cell * cells + target]]);
        assert(ok);
        (void)ok;
    }
}

static bool to_home(walk *w, uint16_t router)
{
    const kb_node_info *here = standing(w);
    if (here->kind != KB_ROUTER && !(here->home != KB_NO_LOCAL && step(w, here->home)))
        return false;
    walk_routers(w, router);
    return true;
}

/* From a PE of this cube straight through the crossbars. */
static bool through_xbars(walk *w, int pe, uint16_t slice)
{
    const kb_cube_plan *plan = &w->g->cube_plan;
    int from = plan->pe_half[pe], to = w->g->cube.nodes.data[slice].b;
    if (!step(w, plan->xbars[from])) return false;
    if (from != to) {
        if (!step(w, plan->bridges[plan->pe_west[pe]])) return false;
        if (!step(w, plan->xbars[to])) return false;
    }
    return step(w, slice);
}

static bool within_cube(walk *w, uint16_t to)
{
    const kb_cube_plan *plan = &w->g->cube_plan;
    const kb_node_info *target = &w->g->cube.nodes.data[to];
    if (w->at.local == to) return true;
    if (target->kind == KB_HBM_CTRL && plan->xbar) {
        if (standing(w)->kind == KB_PE_DMA) return through_xbars(w, standing(w)->a, to);
        if (!to_home(w, plan->slice_entry[target->a])) return false;
        return step(w, plan->xbars[target->b]) && step(w, to);
    }
    if (target->home == KB_NO_LOCAL || !to_home(w, target->home)) return false;
    return target->kind == KB_ROUTER || step(w, to);
}

/* ---- between dies ---- */

/* Wire between two places of a cube by their positions; used to choose connections only. */
static double apart(const kb_graph *g, uint16_t a, uint16_t b)
{
    const kb_node_info *p = &g->cube.nodes.data[a], *q = &g->cube.nodes.data[b];
    double dx = p->x_mm - q->x_mm, dy = p->y_mm - q->y_mm;
    return (dx < 0 ? -dx : dx) + (dy < 0 ? -dy : dy);
}

/* Connection over which to leave through `side`: nearest to `from` here (KB_NO_LOCAL: no matter)
 * plus, if the next die is the last, nearest to `target` there. */
static int choose_connection(const kb_graph *g, enum kb_side side, uint16_t from, uint16_t target)
{
    const kb_cube_plan *plan = &g->cube_plan;
    int best = 0;
    double best_distance = 0;
    for (int c = 0; c < plan->connections; c++) {
        double distance = 0;
        if (from != KB_NO_LOCAL) distance += apart(g, from, plan->ucie[side][c]);
        if (target != KB_NO_LOCAL) distance += apart(g, plan->ucie[(side + 2) & 3][c], target);
        if (c && distance >= best_distance - 1e-9) continue;
        best = c;
        best_distance = distance;
    }
    return best;
}

/* Where a target is for the purpose of choosing a connection. */
static uint16_t anchor(const kb_graph *g, uint16_t local)
{
    uint16_t home = g->cube.nodes.data[local].home;
    return home == KB_NO_LOCAL ? local : home;
}

static bool to_next_cube(walk *w, enum kb_side side, uint16_t target)
{
    const kb_cube_plan *plan = &w->g->cube_plan;
    static const int dx[4] = {0, 1, 0, -1}, dy[4] = {-1, 0, 1, 0};
    int c = choose_connection(w->g, side, anchor(w->g, w->at.local), target);
    if (!within_cube(w, plan->ucie[side][c])) return false;
    kb_place next = {w->at.sip, w->at.die + dx[side] + dy[side] * w->g->mesh_w,
                     plan->ucie[(side + 2) & 3][c]};
    return cross(w, KB_TO_PEER, next);
}

static int cube_distance(const kb_graph *g, int a, int b)
{
    int dx = a % g->mesh_w - b % g->mesh_w, dy = a / g->mesh_w - b / g->mesh_w;
    return (dx < 0 ? -dx : dx) + (dy < 0 ? -dy : dy);
}

/* The side through which XY over the cube mesh leaves `from` for another cube. */
static enum kb_side side_towards(const kb_graph *g, int from, int to)
{
    int dx = to % g->mesh_w - from % g->mesh_w, dy = to / g->mesh_w - from / g->mesh_w;
    return dx > 0 ? KB_EAST : dx < 0 ? KB_WEST : dy > 0 ? KB_SOUTH : KB_NORTH;
}

/* XY over the cube mesh, then inside the last cube. */
static bool to_cube(walk *w, int cube, uint16_t target)
{
    while (w->at.die != cube) {
        enum kb_side side = side_towards(w->g, w->at.die, cube);
        bool last = cube_distance(w->g, w->at.die, cube) == 1;
        if (!to_next_cube(w, side, last ? anchor(w->g, target) : KB_NO_LOCAL)) return false;
    }
    return within_cube(w, target);
}

/* Cube of an IO chiplet's edge that lies in line with `cube`, or is nearest to that line, and the
 * PHY that leads to it. */
static int edge_cube(const kb_graph *g, int io, int cube, int *phy)
{
    const kb_io_plan *plan = &g->io_plan[io];
    bool across = plan->side == KB_NORTH || plan->side == KB_SOUTH;
    int place = (across ? cube % g->mesh_w : cube / g->mesh_w) - plan->first;
    *phy = place < 0 ? 0 : place >= plan->phys ? plan->phys - 1 : place;
    int line = plan->first + *phy;
    if (across) return line + (plan->side == KB_SOUTH ? (g->mesh_h - 1) * g->mesh_w : 0);
    return line * g->mesh_w + (plan->side == KB_EAST ? g->mesh_w - 1 : 0);
}

/* The IO chiplet with the shortest way to `cube`; the first of equals. */
static int nearest_io(const kb_graph *g, int cube)
{
    int best = 0, best_distance = 1 << 20;
    for (int io = 0; io < g->ios; io++) {
        int phy, distance = cube_distance(g, edge_cube(g, io, cube, &phy), cube);
        if (distance >= best_distance) continue;
        best = io;
        best_distance = distance;
    }
    return best;
}

static bool cube_to_io(walk *w, int io)
{
    const kb_graph *g = w->g;
    const kb_io_plan *plan = &g->io_plan[io];
    int phy, exit = edge_cube(g, io, w->at.die, &phy);
    while (w->at.die != exit) {
        enum kb_side side = side_towards(g, w->at.die, exit);
        if (!to_next_cube(w, side, KB_NO_LOCAL)) return false;
    }
    int c = choose_connection(g, plan->side, anchor(g, w->at.local), KB_NO_LOCAL);
    if (!within_cube(w, g->cube_plan.ucie[plan->side][c])) return false;
    kb_place port = {w->at.sip, kb_graph_cubes(g) + io,
                     (uint16_t)(plan->ucie + phy * plan->connections + c)};
    return cross(w, KB_TO_PEER, port) && step(w, plan->io_noc);
}

/* From an io_noc over the PHY in line with `cube`, over the connection nearest to `target` there,
 * which may be KB_NO_LOCAL. */
static bool enter_cubes(walk *w, int io, int cube, uint16_t target)
{
    const kb_graph *g = w->g;
    const kb_io_plan *plan = &g->io_plan[io];
    int phy, entry = edge_cube(g, io, cube, &phy);
    enum kb_side inward = (enum kb_side)((plan->side + 2) & 3);
    int c = choose_connection(g, inward, KB_NO_LOCAL, target);
    if (!step(w, (uint16_t)(plan->ucie + phy * plan->connections + c))) return false;
    kb_place port = {w->at.sip, entry, g->cube_plan.ucie[plan->side][c]};
    return cross(w, KB_TO_PEER, port);
}

static bool io_to_cube(walk *w, int io, int cube, uint16_t target)
{
    return enter_cubes(w, io, cube, anchor(w->g, target)) && to_cube(w, cube, target);
}

/* From an io_noc over the cubes between the two chiplets' edges to the other's io_noc. */
static bool io_to_io(walk *w, int from, int to)
{
    int phy, middle = edge_cube(w->g, to, edge_cube(w->g, from, 0, &phy), &phy);
    return enter_cubes(w, from, middle, KB_NO_LOCAL) && cube_to_io(w, to);
}

/* ---- between SIPs and the system ---- */

static int chiplet_number(const kb_graph *g, int sip, int io)
{
    return sip * g->ios + io;
}

/* From the host or the switch down to the endpoint that it is joined to. */
static void system_to_sip(walk *w, int sip, int io)
{
    bool fabric = w->at.local == 1;
    kb_edge edge = (kb_edge)(chiplet_number(w->g, sip, io) + (fabric ? w->g->sips * w->g->ios : 0));
    const kb_io_plan *plan = &w->g->io_plan[io];
    uint16_t endpoint = fabric ? plan->fabric_ep : plan->pcie_ep;
    push(w, edge, (kb_place){sip, kb_graph_cubes(w->g) + io, endpoint});
}

static int io_of(const kb_graph *g, kb_place place)
{
    return place.die - kb_graph_cubes(g);
}

/* From wherever the route stands up to the io_noc of its SIP's chiplet `io`. */
static bool to_io_noc(walk *w, int io)
{
    uint16_t noc = w->g->io_plan[io].io_noc;
    if (io_of(w->g, w->at) < 0) return cube_to_io(w, io);
    return w->at.local == noc || step(w, noc);
}

static bool leave_sip(walk *w, kb_place to)
{
    int io = io_of(w->g, w->at) >= 0 ? io_of(w->g, w->at) : nearest_io(w->g, w->at.die);
    bool host = to.sip < 0 && to.local == 0;
    uint16_t endpoint = host ? w->g->io_plan[io].pcie_ep : w->g->io_plan[io].fabric_ep;
    if (w->at.local != endpoint || io_of(w->g, w->at) < 0) {
        if (!to_io_noc(w, io) || !step(w, endpoint)) return false;
    }
    return cross(w, host ? KB_TO_HOST : KB_TO_SWITCH, (kb_place){.sip = -1, .local = host ? 0 : 1});
}

static bool enter_sip(walk *w, kb_place to)
{
    int cubes = kb_graph_cubes(w->g);
    int io = to.die >= cubes ? to.die - cubes : nearest_io(w->g, to.die);
    system_to_sip(w, to.sip, io);
    return w->at.local == to.local && w->at.die == to.die ? true
                                                          : step(w, w->g->io_plan[io].io_noc);
}

static bool within_sip(walk *w, kb_place to)
{
    int cubes = kb_graph_cubes(w->g);
    if (w->at.die == to.die && w->at.local == to.local) return true;
    if (w->at.die < cubes && to.die < cubes) return to_cube(w, to.die, to.local);
    int io = w->at.die >= cubes ? w->at.die - cubes : to.die - cubes;
    if (!to_io_noc(w, io)) return false;
    if (to.die >= cubes && w->at.die != to.die && !io_to_io(w, io, to.die - cubes)) return false;
    if (to.die < cubes) return io_to_cube(w, io, to.die, to.local);
    return w->at.local == to.local || step(w, to.local);
}

static bool run(walk *w, kb_place to)
{
    if (w->at.sip >= 0 && to.sip != w->at.sip && !leave_sip(w, to)) return false;
    if (to.sip < 0) return w->at.local == to.local && w->at.sip < 0;
    if (w->at.sip < 0 && !enter_sip(w, to)) return false;
    return within_sip(w, to);
}

int kb_route(const kb_graph *graph, kb_node from, kb_node to, kb_path *path, kb_err *err)
{
    path->nodes.count = path->edges.count = 0;
    walk w = {.g = graph, .path = path, .at = kb_graph_place(graph, from)};
    kb_vec_push(&path->nodes, from);
    if (run(&w, kb_graph_place(graph, to))) return KB_OK;
    char a[KB_NAME_MAX], b[KB_NAME_MAX];
    return kb_fail(err, KB_EINVAL, "there is no way from %s to %s", kb_node_name(graph, from, a),
                   kb_node_name(graph, to, b));
}

/* ---- whole paths ---- */

/* The edge from `from` to `to`, which are neighbours. */
static kb_edge edge_between(const kb_graph *g, kb_node from, kb_node to)
{
    kb_place a = kb_graph_place(g, from), b = kb_graph_place(g, to);
    if (a.sip < 0) {
        int fabric = a.local == 1 ? g->sips * g->ios : 0;
        return (kb_edge)(chiplet_number(g, b.sip, io_of(g, b)) + fabric);
    }
    uint16_t target = b.local;
    if (b.sip < 0)
        target = b.local == 0 ? KB_TO_HOST : KB_TO_SWITCH;
    else if (a.die != b.die)
        target = KB_TO_PEER;
    int edge = find_edge(kb_graph_die_type(g, a), a.local, target);
    assert(edge >= 0);
    return edge_base(g, a) + (kb_edge)edge;
}

void kb_path_reverse(const kb_graph *graph, kb_path *path)
{
    size_t n = path->nodes.count;
    for (size_t i = 0; i < n / 2; i++) {
        kb_node swap = path->nodes.data[i];
        path->nodes.data[i] = path->nodes.data[n - 1 - i];
        path->nodes.data[n - 1 - i] = swap;
    }
    for (size_t i = 0; i + 1 < n; i++)
        path->edges.data[i] = edge_between(graph, path->nodes.data[i], path->nodes.data[i + 1]);
}

kb_time kb_path_command_time(const kb_graph *graph, const kb_path *path)
{
    kb_time time = 0;
    for (size_t i = 0; i < path->edges.count; i++)
        time += kb_graph_edge_info(graph, path->edges.data[i])->propagation +
                kb_graph_info(graph, path->nodes.data[i + 1])->overhead;
    return time;
}

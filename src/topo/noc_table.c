/* Next hops between the routers of a cube, for every pair of the template: always along a shortest
 * way in mm, so following entries comes nearer and ends, and along the row wherever that is one.
 * Where nothing is in the way this is XY. A hole is gone round. A skip link is taken like any other
 * unless it leads past the target's column or row: coming back would not be a shortest way, so a
 * router inside its span is reached round the hole. */
#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "topo/build_cube.h"

enum { CELLS = KB_MESH_MAX * KB_MESH_MAX };

/* Order in which equally short ways are tried: along the row first. */
static const enum kb_side preference[4] = {KB_EAST, KB_WEST, KB_NORTH, KB_SOUTH};

/* The routers as cells. Lengths are differences of places in whole nanometres, so that equally long
 * ways are equal whatever they are added up from. */
typedef struct mesh {
    int cells;
    int next[CELLS][4]; /* cell on each side, or -1 */
    int64_t length[CELLS][4];
} mesh;

static int64_t nm(double mm)
{
    return llround(mm * 1e6);
}

static void open_side(const kb_graph *g, mesh *m, int cell, int side)
{
    const kb_cube_plan *plan = &g->cube_plan;
    m->next[cell][side] = -1;
    uint16_t to = plan->neighbour[cell][side];
    if (to == KB_NO_LOCAL) return;
    const kb_node_info *p = &g->cube.nodes.data[plan->router[cell / plan->cols][cell % plan->cols]];
    const kb_node_info *q = &g->cube.nodes.data[to];
    m->next[cell][side] = q->a * plan->cols + q->b;
    m->length[cell][side] = llabs(nm(p->x_mm) - nm(q->x_mm)) + llabs(nm(p->y_mm) - nm(q->y_mm));
    assert(m->length[cell][side] > 0); /* or ways could go in circles */
}

static bool exists(const kb_cube_plan *plan, int cell)
{
    return plan->router[cell / plan->cols][cell % plan->cols] != KB_NO_LOCAL;
}

static void find_neighbours(kb_graph *g, mesh *m)
{
    kb_cube_plan *plan = &g->cube_plan;
    m->cells = plan->rows * plan->cols;
    for (int cell = 0; cell < m->cells; cell++)
        for (int side = 0; side < 4; side++) {
            plan->neighbour[cell][side] =
                exists(plan, cell)
                    ? kb_noc_facing(plan, cell / plan->cols, cell % plan->cols, (enum kb_side)side)
                    : KB_NO_LOCAL;
            open_side(g, m, cell, side);
        }
}

/* Length of the way from every cell to `to`; -1 where there is none. A queue of cells whose
 * distance has shrunk; each is in it once at most. */
static void distances(const mesh *m, int to, int64_t *distance)
{
    int queue[CELLS], head = 0, waiting = 1;
    bool queued[CELLS] = {false};
    for (int i = 0; i < m->cells; i++) distance[i] = -1;
    distance[to] = 0;
    queue[0] = to;
    while (waiting) {
        int cell = queue[head];
        head = (head + 1) % CELLS;
        waiting--;
        queued[cell] = false;
        for (int side = 0; side < 4; side++) {
            int next = m->next[cell][side];
            if (next < 0) continue;
            int64_t there = distance[cell] + m->length[cell][side];
            if (distance[next] >= 0 && distance[next] <= there) continue;
            distance[next] = there;
            if (queued[next]) continue;
            queued[next] = true;
            queue[(head + waiting++) % CELLS] = next;
        }
    }
}

static enum kb_side shortest_side(const mesh *m, int cell, const int64_t *distance)
{
    for (int i = 0; i < 4; i++) {
        enum kb_side side = preference[i];
        int next = m->next[cell][side];
        if (next >= 0 && distance[next] + m->length[cell][side] == distance[cell]) return side;
    }
    assert(false); /* a cell with a way has one along its side */
    return KB_NORTH;
}

static int fill(kb_graph *g, const mesh *m, kb_err *err)
{
    kb_cube_plan *plan = &g->cube_plan;
    int64_t distance[CELLS];
    for (int to = 0; to < m->cells; to++) {
        if (!exists(plan, to)) continue;
        distances(m, to, distance);
        for (int cell = 0; cell < m->cells; cell++) {
            if (cell == to || !exists(plan, cell)) continue;
            if (distance[cell] < 0)
                return kb_spec_reject(g->spec, "cube.noc.missing", err,
                                      "without these routers r%dc%d cannot reach r%dc%d",
                                      cell / plan->cols, cell % plan->cols, to / plan->cols,
                                      to % plan->cols);
            plan->next[cell * m->cells + to] = (uint8_t)shortest_side(m, cell, distance);
        }
    }
    return KB_OK;
}

int kb_noc_table(kb_graph *graph, kb_err *err)
{
    mesh *m = kb_xmalloc(sizeof *m);
    find_neighbours(graph, m);
    graph->cube_plan.next = kb_xcalloc((size_t)(m->cells * m->cells), 1);
    int status = fill(graph, m, err);
    free(m);
    return status;
}

/* Next hops between the routers of a cube, for every pair of the template: always along a shortest
 * way, so following entries comes nearer and ends, and along the row wherever that is one. Where
 * nothing is in the way this is XY; a hole is gone round. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "topo/build_cube.h"

static const int step_row[4] = {[KB_NORTH] = -1, [KB_SOUTH] = 1};
static const int step_col[4] = {[KB_EAST] = 1, [KB_WEST] = -1};

/* Order in which equally short ways are tried: along the row first. */
static const enum kb_side preference[4] = {KB_EAST, KB_WEST, KB_NORTH, KB_SOUTH};

static void find_neighbours(kb_cube_plan *plan)
{
    for (int cell = 0; cell < plan->rows * plan->cols; cell++)
        for (int side = 0; side < 4; side++) {
            int r = cell / plan->cols + step_row[side], c = cell % plan->cols + step_col[side];
            bool inside = r >= 0 && r < plan->rows && c >= 0 && c < plan->cols;
            plan->neighbour[cell][side] = inside ? plan->router[r][c] : KB_NO_LOCAL;
        }
}

static int cell_towards(const kb_cube_plan *plan, int cell, enum kb_side side)
{
    return cell + step_row[side] * plan->cols + step_col[side];
}

/* Hops from every cell to `to`; -1 where there is no way. */
static void distances(const kb_cube_plan *plan, int to, int *distance, int *queue)
{
    int cells = plan->rows * plan->cols, head = 0, tail = 0;
    for (int i = 0; i < cells; i++) distance[i] = -1;
    distance[to] = 0;
    queue[tail++] = to;
    while (head < tail) {
        int cell = queue[head++];
        for (int side = 0; side < 4; side++) {
            if (plan->neighbour[cell][side] == KB_NO_LOCAL) continue;
            int next = cell_towards(plan, cell, (enum kb_side)side);
            assert(next >= 0 && next < cells);
            if (distance[next] >= 0) continue;
            distance[next] = distance[cell] + 1;
            queue[tail++] = next;
        }
    }
}

static enum kb_side shortest_side(const kb_cube_plan *plan, int cell, const int *distance)
{
    for (int i = 0; i < 4; i++) {
        enum kb_side side = preference[i];
        if (plan->neighbour[cell][side] == KB_NO_LOCAL) continue;
        if (distance[cell_towards(plan, cell, side)] == distance[cell] - 1) return side;
    }
    return KB_NORTH; /* unreachable: a reachable cell has a nearer neighbour */
}

static bool exists(const kb_cube_plan *plan, int cell)
{
    return plan->router[cell / plan->cols][cell % plan->cols] != KB_NO_LOCAL;
}

int kb_noc_table(kb_graph *graph, kb_err *err)
{
    kb_cube_plan *plan = &graph->cube_plan;
    int cells = plan->rows * plan->cols;
    assert(cells > 0 && cells <= KB_MESH_MAX * KB_MESH_MAX);
    find_neighbours(plan);
    plan->next = kb_xcalloc((size_t)(cells * cells), 1);
    int distance[KB_MESH_MAX * KB_MESH_MAX] = {0}, queue[KB_MESH_MAX * KB_MESH_MAX];
    for (int to = 0; to < cells; to++) {
        if (!exists(plan, to)) continue;
        distances(plan, to, distance, queue);
        for (int cell = 0; cell < cells; cell++) {
            if (cell == to || !exists(plan, cell)) continue;
            if (distance[cell] < 0)
                return kb_spec_reject(graph->spec, "cube.noc.missing", err,
                                      "without these routers r%dc%d cannot reach r%dc%d",
                                      cell / plan->cols, cell % plan->cols, to / plan->cols,
                                      to % plan->cols);
            plan->next[cell * cells + to] = (uint8_t)shortest_side(plan, cell, distance);
        }
    }
    return KB_OK;
}

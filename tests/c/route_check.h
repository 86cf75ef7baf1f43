/* What must hold of any route, for tests. */
#ifndef KB_TESTS_ROUTE_CHECK_H
#define KB_TESTS_ROUTE_CHECK_H

#include "machine.h"

static inline kb_path route(const bed *b, kb_node from, kb_node to)
{
    kb_path path = {0};
    kb_err err = {0};
    if (kb_route(b->m->graph, from, to, &path, &err)) fail_msg("%s", err.text);
    return path;
}

/* The names of a route's nodes must be these, separated by spaces; a leading "sip0.cube0." is left
 * out. */
static inline void expect_route(const bed *b, const char *from, const char *to, const char *names)
{
    kb_path path = route(b, node_of(b, from), node_of(b, to));
    char text[4000] = "";
    for (size_t i = 0; i < path.nodes.count; i++) {
        char name[KB_NAME_MAX];
        kb_node_name(b->m->graph, path.nodes.data[i], name);
        if (i) strcat(text, " ");
        strcat(text, strncmp(name, "sip0.cube0.", 11) ? name : name + 11);
    }
    assert_string_equal(text, names);
    kb_path_free(&path);
}

/* Every edge leads from its node to the next; no node comes twice. */
static inline void check_path(const kb_graph *g, const kb_path *path)
{
    assert_int_equal(path->nodes.count, path->edges.count + 1);
    for (size_t i = 0; i < path->edges.count; i++) {
        const kb_edge_info *edge = kb_graph_edge_info(g, path->edges.data[i]);
        kb_place from = kb_graph_place(g, path->nodes.data[i]);
        kb_place to = kb_graph_place(g, path->nodes.data[i + 1]);
        assert_int_equal(edge->from, from.local);
        if (edge->to < KB_TO_PEER) {
            assert_int_equal(edge->to, to.local);
            assert_true(from.sip == to.sip && from.die == to.die);
        } else {
            assert_true(from.sip != to.sip || from.die != to.die);
        }
        for (size_t k = 0; k <= i; k++)
            assert_int_not_equal(path->nodes.data[k], path->nodes.data[i + 1]);
    }
}

/* The same nodes backwards, over links like those of the way there; a command takes as long, but
 * for the overhead of the end that it enters. */
static inline void check_reverse(const kb_graph *g, const kb_path *path)
{
    kb_path back = {0};
    for (size_t i = 0; i < path->nodes.count; i++) kb_vec_push(&back.nodes, path->nodes.data[i]);
    for (size_t i = 0; i < path->edges.count; i++) kb_vec_push(&back.edges, path->edges.data[i]);
    kb_path_reverse(g, &back);
    check_path(g, &back);
    size_t n = path->edges.count;
    for (size_t i = 0; i < n; i++) {
        const kb_edge_info *there = kb_graph_edge_info(g, path->edges.data[i]);
        const kb_edge_info *here = kb_graph_edge_info(g, back.edges.data[n - 1 - i]);
        assert_true(there->gbs == here->gbs && there->propagation == here->propagation);
    }
    kb_time first = kb_graph_info(g, path->nodes.data[0])->overhead;
    kb_time last = kb_graph_info(g, path->nodes.data[n])->overhead;
    assert_int_equal(kb_path_command_time(g, path) + first, kb_path_command_time(g, &back) + last);
    kb_path_reverse(g, &back);
    assert_memory_equal(back.nodes.data, path->nodes.data, (n + 1) * sizeof(kb_node));
    assert_memory_equal(back.edges.data, path->edges.data, n * sizeof(kb_edge));
    kb_path_free(&back);
}

/* Of two cubes, in cubes. */
static inline int distance(const kb_graph *g, int a, int b)
{
    return abs(a % g->mesh_w - b % g->mesh_w) + abs(a / g->mesh_w - b / g->mesh_w);
}

static inline int die_changes(const kb_graph *g, const kb_path *path)
{
    int count = 0;
    for (size_t i = 1; i < path->nodes.count; i++) {
        kb_place a = kb_graph_place(g, path->nodes.data[i - 1]);
        kb_place b = kb_graph_place(g, path->nodes.data[i]);
        count += a.sip != b.sip || a.die != b.die;
    }
    return count;
}

static inline double wire_mm(const kb_graph *g, const kb_path *path)
{
    double mm = 0;
    for (size_t i = 0; i < path->edges.count; i++)
        mm += kb_graph_edge_info(g, path->edges.data[i])->length_mm;
    return mm;
}

#endif

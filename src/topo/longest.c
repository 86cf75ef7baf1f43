#include "topo/longest.h"

#include <assert.h>

enum {
    MOST_PAIRS = 40000, /* pairs tried within a SIP, when not only corners */
    MOST_ENDS = 8192,   /* ends tried in one sweep, when not cube and place in turn */
    MOST_ROUNDS = 4
};

typedef kb_vec(uint16_t) kb_locals;

typedef struct search {
    const kb_graph *g;
    kb_path path;
    kb_locals sources, targets; /* local numbers in a cube */
    kb_longest best;
    kb_err *err;
} search;

static bool is_memory(kb_kind kind)
{
    return kind == KB_HBM_CTRL || kind == KB_SRAM || kind == KB_PE_TCM;
}

static void find_ends(search *s)
{
    for (size_t n = 0; n < s->g->cube.nodes.count; n++) {
        kb_kind kind = s->g->cube.nodes.data[n].kind;
        if (kind == KB_PE_DMA) kb_vec_push(&s->sources, (uint16_t)n);
        if (is_memory(kind)) kb_vec_push(&s->targets, (uint16_t)n);
    }
    assert(s->sources.data && s->targets.data && "a cube has PEs and an SRAM");
}

static bool longer(const kb_longest *a, const kb_longest *b)
{
    if (b->from == KB_NO_NODE) return true;
    if (a->command != b->command) return a->command > b->command;
    if (a->mm > b->mm + 1e-9 || b->mm > a->mm + 1e-9) return a->mm > b->mm;
    return a->links > b->links;
}

static int offer(search *s, kb_node from, kb_node to)
{
    int status = kb_route(s->g, from, to, &s->path, s->err);
    if (status) return status;
    kb_longest here = {.from = from, .to = to, .links = s->path.edges.count};
    here.command = kb_path_command_time(s->g, &s->path);
    for (size_t i = 0; i < s->path.edges.count; i++)
        here.mm += kb_graph_edge_info(s->g, s->path.edges.data[i])->length_mm;
    if (longer(&here, &s->best)) s->best = here;
    return KB_OK;
}

/* Every source of one cube of SIP 0 with every target of another, or the same. */
static int offer_cubes(search *s, int from, int to)
{
    for (size_t i = 0; i < s->sources.count; i++)
        for (size_t j = 0; j < s->targets.count; j++) {
            kb_place a = {0, from, s->sources.data[i]}, b = {0, to, s->targets.data[j]};
            int status = offer(s, kb_graph_node(s->g, a), kb_graph_node(s->g, b));
            if (status) return status;
        }
    return KB_OK;
}

/* The cube at displacement (dx, dy) from a corner that has room for it. */
static int offer_displacement(search *s, int dx, int dy)
{
    int w = s->g->mesh_w, h = s->g->mesh_h;
    int x = dx < 0 ? w - 1 : 0, y = dy < 0 ? h - 1 : 0;
    return offer_cubes(s, y * w + x, (y + dy) * w + x + dx);
}

static int within_sip(search *s)
{
    int w = s->g->mesh_w, h = s->g->mesh_h;
    size_t all = (size_t)(2 * w - 1) * (size_t)(2 * h - 1);
    bool corners = all * s->sources.count * s->targets.count > MOST_PAIRS;
    int step_x = corners && w > 1 ? 2 * (w - 1) : 1, step_y = corners && h > 1 ? 2 * (h - 1) : 1;
    for (int dy = 1 - h; dy < h; dy += step_y)
        for (int dx = 1 - w; dx < w; dx += step_x) {
            int status = offer_displacement(s, dx, dy);
            if (status) return status;
        }
    return KB_OK;
}

/* A place in a SIP against the other end, which stays. */
static int offer_end(search *s, kb_place place, kb_node fixed, bool fixed_is_source)
{
    kb_node node = kb_graph_node(s->g, place);
    return fixed_is_source ? offer(s, fixed, node) : offer(s, node, fixed);
}

/* All ends in a SIP against a fixed one; cube and place within it in turn if these are too many. */
static int sweep(search *s, int sip, kb_node fixed, bool fixed_is_source)
{
    const kb_locals *ends = fixed_is_source ? &s->targets : &s->sources;
    int cubes = kb_graph_cubes(s->g), status;
    bool all = (size_t)cubes * ends->count <= MOST_ENDS;
    for (int cube = 0; cube < cubes; cube++)
        for (size_t i = 0; i < (all ? ends->count : 1); i++) {
            kb_place place = {sip, cube, ends->data[i]};
            if ((status = offer_end(s, place, fixed, fixed_is_source))) return status;
        }
    if (all) return KB_OK;
    kb_place far = kb_graph_place(s->g, fixed_is_source ? s->best.to : s->best.from);
    for (size_t i = 0; i < ends->count; i++) {
        far.local = ends->data[i];
        if ((status = offer_end(s, far, fixed, fixed_is_source))) return status;
    }
    return KB_OK;
}

static int between_sips(search *s)
{
    int status;
    if (s->g->sips < 2) return KB_OK;
    kb_node from = kb_graph_node(s->g, (kb_place){0, 0, s->sources.data[0]});
    for (int sip = 1; sip < s->g->sips; sip++) {
        kb_place to = {sip, 0, s->targets.data[0]};
        if ((status = offer(s, from, kb_graph_node(s->g, to)))) return status;
    }
    int sip = kb_graph_place(s->g, s->best.to).sip;
    for (int round = 0; round < MOST_ROUNDS; round++) {
        kb_longest before = s->best;
        if ((status = sweep(s, sip, s->best.from, true))) return status;
        if ((status = sweep(s, 0, s->best.to, false))) return status;
        if (before.from == s->best.from && before.to == s->best.to) break;
    }
    return KB_OK;
}

/* SIPs hang off the host alike. */
static int search_scope(search *s, kb_scope scope)
{
    switch (scope) {
    case KB_WITHIN_CUBE:
        return offer_cubes(s, 0, 0);
    case KB_WITHIN_SIP:
        return within_sip(s);
    case KB_BETWEEN_SIPS:
        return between_sips(s);
    default:
        return sweep(s, 0, kb_graph_host(s->g), true);
    }
}

int kb_longest_route(const kb_graph *graph, kb_scope scope, kb_longest *out, kb_err *err)
{
    search s = {.g = graph, .err = err, .best = {.from = KB_NO_NODE, .to = KB_NO_NODE}};
    find_ends(&s);
    int status = search_scope(&s, scope);
    *out = s.best;
    kb_path_free(&s.path);
    kb_vec_free(&s.sources);
    kb_vec_free(&s.targets);
    return status;
}

#include "hw/closed_form.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "hw/hbm_ctrl.h"
#include "hw/pe/pe_tcm.h"

/* ---- flits in tandem through the links of a path ---- */

/* One link and the node behind it. Times at link k are kept less the propagation before it, so that
 * passing from link to link adds occupancies only. */
typedef struct stage {
    kb_time occupancy, tail_occupancy; /* of a full flit, and of the last one if it is shorter */
    kb_time overhead;                  /* of the node behind */
    kb_time free;                      /* when the last flit so far left it; 0: none has */
    kb_time slowest_after;             /* greatest occupancy from here to the end */
    kb_time wire_after;                /* sum of occupancies from here to the end */
} stage;

typedef struct tandem {
    stage *stages;
    size_t count;
    kb_time propagation;
    kb_time first;  /* when the first flit was ready at the end */
    kb_time last;   /* when the last flit so far was */
    kb_time *fresh; /* scratch, one per stage */
} tandem;

static kb_time later(kb_time a, kb_time b)
{
    return a > b ? a : b;
}

static void arrive(tandem *t)
{
    t->last = later(t->stages[t->count - 1].free, t->first);
}

/* The first flit: it alone pays the overheads. */
static void pass_first(tandem *t, kb_time release, bool tail)
{
    kb_time at = release;
    for (size_t k = 0; k < t->count; k++) {
        stage *s = &t->stages[k];
        at += tail ? s->tail_occupancy : s->occupancy;
        s->free = at;
        at += s->overhead;
    }
    t->first = t->last = at;
}

/* The shorter flit, behind others. */
static void pass_tail(tandem *t, kb_time release)
{
    kb_time at = release;
    for (size_t k = 0; k < t->count; k++) {
        stage *s = &t->stages[k];
        at = later(at, s->free) + s->tail_occupancy;
        s->free = at;
    }
    arrive(t);
}

/* Of a block of flits the last `flits` are released not before `release`. */
typedef struct bound {
    kb_time release;
    uint64_t flits;
} bound;

/* By max-plus algebra the last of n flits, of which the first may start at stage `from` at time
 * `at`, leaves stage k at `at` + (sum of o_from..o_k) + (n - 1) x (greatest of o_from..o_k) if
 * nothing else holds it up; the greatest of all such bounds is when it does. */
static void raise_from(tandem *t, size_t from, kb_time at, uint64_t flits)
{
    kb_time sum = at, most = 0;
    for (size_t k = from; k < t->count; k++) {
        sum += t->stages[k].occupancy;
        most = later(most, t->stages[k].occupancy);
        t->fresh[k] = later(t->fresh[k], sum + (flits - 1) * most);
    }
}

/* `count` full flits, behind others. */
static void pass_block(tandem *t, uint64_t count, const bound *bounds, size_t bound_count)
{
    if (!count) return;
    memset(t->fresh, 0, t->count * sizeof *t->fresh);
    for (size_t u = 0; u < t->count; u++) raise_from(t, u, t->stages[u].free, count);
    for (size_t b = 0; b < bound_count; b++)
        if (bounds[b].flits) raise_from(t, 0, bounds[b].release, bounds[b].flits);
    for (size_t k = 0; k < t->count; k++) t->stages[k].free = t->fresh[k];
    arrive(t);
}

/* When full flit `i` is ready at the end, if all were released at once and only the first has been
 * passed: a(i) of the header, without changing anything. */
static kb_time arrival(const tandem *t, uint64_t i)
{
    kb_time at = t->first;
    for (size_t u = 0; i > 0 && u < t->count; u++) {
        const stage *s = &t->stages[u];
        at = later(at, s->free + s->wire_after + (i - 1) * s->slowest_after);
    }
    return at;
}

/* ---- the payload, and the memory's channels ---- */

/* What is asked for. */
typedef struct query {
    kb_txn_op op;
    kb_node requester, memory;
    uint64_t offset, bytes;
} query;

typedef struct payload {
    uint64_t offset, full;           /* full flits */
    uint32_t flit_bytes, tail_bytes; /* tail: of the last flit if it is shorter, else 0 */
    uint32_t channels, burst_bytes;
    kb_time burst, tail_burst; /* of a full flit and the tail in a channel; 0: no channels */
    uint64_t period;           /* flits after which channels recur */
    uint64_t *load;            /* full flits by channel */
    double gbs;                /* of all channels together */
} payload;

static uint64_t gcd(uint64_t a, uint64_t b)
{
    while (b) {
        uint64_t rest = a % b;
        a = b;
        b = rest;
    }
    return a;
}

static uint32_t channel_of(const payload *p, uint64_t flit)
{
    return (uint32_t)((p->offset + flit * p->flit_bytes) / p->burst_bytes % p->channels);
}

static void count_loads(payload *p)
{
    assert(p->period > 0);
    uint64_t turns = p->full / p->period;
    p->load = kb_xcalloc(p->channels, sizeof *p->load);
    for (uint64_t i = 0; i < p->period && i < p->full; i++)
        p->load[channel_of(p, i)] += turns + (i < p->full % p->period);
}

/* The port of a TCM is one channel whose time goes by bytes, not by bursts. */
static void pass_port(payload *p, const kb_machine *m, kb_txn_op op)
{
    const kb_tcm_config *tcm = kb_machine_config(m, KB_PE_TCM);
    double gbs = op == KB_TXN_READ ? tcm->read_gbs : tcm->write_gbs;
    p->burst_bytes = p->flit_bytes;
    p->gbs = gbs;
    p->burst = kb_time_transfer(p->flit_bytes, gbs);
    p->tail_burst = kb_time_transfer(p->tail_bytes, gbs);
}

static payload cut(const kb_machine *m, const query *q)
{
    kb_kind kind = kb_graph_info(m->graph, q->memory)->kind;
    uint32_t flit = m->graph->flit_bytes;
    payload p = {.offset = q->offset,
                 .full = q->bytes / flit,
                 .flit_bytes = flit,
                 .tail_bytes = (uint32_t)(q->bytes % flit),
                 .channels = 1,
                 .burst_bytes = 1,
                 .period = 1};
    if (kind == KB_PE_TCM && kb_pe_tcm_charges(m, q->requester, q->memory)) pass_port(&p, m, q->op);
    if (kind == KB_HBM_CTRL) {
        const kb_hbm_config *hbm = kb_machine_config(m, KB_HBM_CTRL);
        bool flat = kb_machine_class(m, q->memory, kind)->impl != NULL;
        kb_time burst = flat ? hbm->flat_burst : hbm->burst;
        p.channels = flat ? 1 : hbm->channels;
        p.burst_bytes = hbm->burst_bytes;
        p.burst = (flit + hbm->burst_bytes - 1) / hbm->burst_bytes * burst;
        p.tail_burst = (p.tail_bytes + hbm->burst_bytes - 1) / hbm->burst_bytes * burst;
        p.gbs = 1000.0 * p.channels * hbm->burst_bytes / (double)burst;
        uint64_t turn = (uint64_t)p.channels * hbm->burst_bytes;
        p.period = turn / gcd(flit, turn);
    }
    count_loads(&p);
    return p;
}

/* ---- writes: when the last burst is committed ---- */

/* Latest end of what channels do with full flits from..to-1, each followed by the flits behind it
 * on its channel. `seen`: by channel, full flits before `from`. Leaves in `ends` each channel's
 * end. */
static void commit_range(const payload *p, const tandem *t, uint64_t from, uint64_t to,
                         uint64_t *seen, kb_time *ends)
{
    for (uint64_t i = from; i < to; i++) {
        uint32_t c = channel_of(p, i);
        kb_time end = arrival(t, i) + (p->load[c] - seen[c]) * p->burst;
        ends[c] = later(ends[c], end);
        seen[c]++;
    }
}

static kb_time commit_all(const payload *p, tandem *t)
{
    uint64_t *seen = kb_xcalloc(p->channels, sizeof *seen);
    kb_time *ends = kb_xcalloc(p->channels, sizeof *ends);
    uint64_t head = p->period < p->full ? p->period : p->full;
    commit_range(p, t, 0, head, seen, ends);
    /* The last period: whole turns in between add to each channel what the first turn did. */
    uint64_t back = p->full - head;
    for (uint32_t c = 0; c < p->channels; c++) seen[c] = p->load[c];
    for (uint64_t i = back; i < p->full; i++) seen[channel_of(p, i)]--;
    commit_range(p, t, back, p->full, seen, ends);
    kb_time latest = 0;
    if (p->tail_bytes) {
        uint32_t c = channel_of(p, p->full);
        if (p->full) {
            pass_block(t, p->full - 1, NULL, 0);
            pass_tail(t, 0);
        }
        ends[c] = later(ends[c], t->last) + p->tail_burst;
    }
    for (uint32_t c = 0; c < p->channels; c++) latest = later(latest, ends[c]);
    free(seen);
    free(ends);
    return latest;
}

static kb_time write_time(const payload *p, tandem *t)
{
    pass_first(t, 0, p->full == 0);
    return commit_all(p, t) + t->propagation;
}

/* ---- reads: groups of flits that the channels release together ---- */

/* Full flits in groups 1..q; group q holds the q-th flit of every channel that has so many. */
static uint64_t flits_up_to(const payload *p, uint64_t q)
{
    uint64_t sum = 0;
    for (uint32_t c = 0; c < p->channels; c++) sum += p->load[c] < q ? p->load[c] : q;
    return sum;
}

static uint64_t group_count(const payload *p)
{
    uint64_t most = 0;
    for (uint32_t c = 0; c < p->channels; c++) most = most > p->load[c] ? most : p->load[c];
    return p->burst ? most : p->full > 0; /* without bursts everything is released at once */
}

static uint64_t released_up_to(const payload *p, uint64_t q)
{
    if (!p->burst) return q ? p->full : 0;
    return flits_up_to(p, q);
}

/* Pass the full flits of groups from+1..to. */
static void pass_groups(const payload *p, tandem *t, uint64_t from, uint64_t to, bool first)
{
    if (from == to) return;
    uint64_t before = released_up_to(p, from), all = released_up_to(p, to);
    if (first) pass_first(t, p->burst, false);
    bound bounds[2] = {{(from + 1) * p->burst, first ? 0 : all - before},
                       {to * p->burst, all - released_up_to(p, to - 1)}};
    if (first && to == 1) bounds[1].flits--;
    pass_block(t, all - before - first, bounds, 2);
}

/* The tail goes behind all that is released before it or with it. */
static kb_time read_time(const payload *p, tandem *t)
{
    uint64_t groups = group_count(p), ahead = groups;
    if (p->tail_bytes && p->burst) {
        uint64_t before = p->load[channel_of(p, p->full)];
        kb_time release = before * p->burst + p->tail_burst;
        uint64_t fit = release / p->burst;
        ahead = fit < groups ? fit : groups;
    }
    pass_groups(p, t, 0, ahead, true);
    if (p->tail_bytes) {
        kb_time release = p->burst ? p->load[channel_of(p, p->full)] * p->burst + p->tail_burst : 0;
        if (ahead)
            pass_tail(t, release);
        else
            pass_first(t, release, true);
    }
    pass_groups(p, t, ahead, groups, false);
    return t->last + t->propagation;
}

/* ---- one path ---- */

static tandem open_path(const kb_graph *g, const kb_path *path, uint32_t tail_bytes)
{
    size_t count = path->edges.count;
    tandem t = {.stages = kb_xcalloc(count, sizeof(stage)), .count = count};
    t.fresh = kb_xcalloc(count, sizeof *t.fresh);
    for (size_t k = count; k-- > 0;) {
        const kb_edge_info *edge = kb_graph_edge_info(g, path->edges.data[k]);
        stage *s = &t.stages[k], none = {0}, *next = k + 1 < count ? s + 1 : &none;
        s->occupancy = edge->flit_occupancy;
        s->tail_occupancy = kb_time_transfer(tail_bytes, edge->gbs);
        s->overhead = kb_graph_info(g, path->nodes.data[k + 1])->overhead;
        s->slowest_after = later(s->occupancy, next->slowest_after);
        s->wire_after = s->occupancy + next->wire_after;
        t.propagation += edge->propagation;
    }
    return t;
}

/* With overheads that delay every flit alike, as if they were wire. */
static kb_time close_and_delay(tandem *t, const payload *p, kb_txn_op op)
{
    kb_time overhead = 0;
    for (size_t k = 0; k < t->count; k++) {
        overhead += t->stages[k].overhead;
        t->stages[k].overhead = 0;
        t->stages[k].free = 0;
    }
    return overhead + (op == KB_TXN_READ ? read_time(p, t) : write_time(p, t));
}

/* Of the links and of what the memory's channels or port can do together. */
static double slowest(const kb_graph *g, const kb_path *path, const payload *p)
{
    double least = 1e300;
    for (size_t k = 0; k < path->edges.count; k++) {
        double gbs = kb_graph_edge_info(g, path->edges.data[k])->gbs;
        if (gbs < least) least = gbs;
    }
    if (!p->burst) return least;
    return p->gbs < least ? p->gbs : least;
}

static void add_parts(kb_formula *out, const tandem *t, bool tail)
{
    out->propagation = t->propagation;
    for (size_t k = 0; k < t->count; k++) {
        out->overhead += t->stages[k].overhead;
        out->wire += tail ? t->stages[k].tail_occupancy : t->stages[k].occupancy;
    }
}

int kb_closed_form(kb_machine *m, kb_txn_op op, kb_node requester, kb_node memory, uint64_t offset,
                   uint64_t bytes, kb_formula *out, kb_err *err)
{
    assert(bytes > 0);
    const kb_graph *g = m->graph;
    kb_path path = {0};
    *out = (kb_formula){0};
    int status = kb_route(g, requester, memory, &path, err);
    if (status) goto done;
    if (op == KB_TXN_READ) out->command = kb_path_command_time(g, &path);
    kb_path_reverse(g, &path);
    if (op == KB_TXN_WRITE) {
        out->command = kb_path_command_time(g, &path);
        kb_path_reverse(g, &path);
    }
    payload p = cut(m, &(query){op, requester, memory, offset, bytes});
    tandem t = open_path(g, &path, p.tail_bytes);
    out->hops = (uint32_t)t.count;
    out->bottleneck_gbs = slowest(g, &path, &p);
    add_parts(out, &t, p.full == 0);
    out->total = out->command + (op == KB_TXN_READ ? read_time(&p, &t) : write_time(&p, &t));
    kb_time plain = out->command + close_and_delay(&t, &p, op);
    out->hidden = plain - out->total;
    out->drain = plain - out->command - out->overhead - out->propagation - out->wire;
    free(t.stages);
    free(t.fresh);
    free(p.load);
done:
    kb_path_free(&path);
    return status;
}

bool kb_closed_form_is_bound(const kb_machine *m)
{
    const kb_hbm_config *hbm = kb_machine_config(m, KB_HBM_CTRL);
    return m->flow || hbm->refresh_interval || hbm->row_bytes;
}

/* Mapping of tensors in the MMUs of PEs. */
#include <assert.h>
#include <stdlib.h>

#include "engine/host_work.h"

static void map_range(const kb_tensor *t, int sip, int cube, const kb_shard *shard,
                      uint32_t pe_mask, bool map)
{
    kb_pagetable *table = kb_machine_pagetable(t->engine->m, sip, cube);
    const kb_tensor_piece *piece = &t->pieces[shard->piece];
    int status = map ? kb_pagetable_map(table, piece->va, piece->bytes, shard->pa, pe_mask, NULL)
                     : kb_pagetable_unmap(table, piece->va, piece->bytes, pe_mask, NULL);
    assert(!status); /* virtual ranges of tensors are disjoint */
    (void)status;
}

/* Whether every piece is in one memory only. */
static bool has_no_copies(const kb_tensor *t)
{
    if (t->piece_count != t->shard_count) return false;
    for (uint32_t s = 0; s < t->shard_count; s++)
        if (t->pieces[t->shards[s].piece].first_shard != s) return false;
    return true;
}

/* The pieces of a tensor without copies. */
static kb_page_block *make_block(const kb_tensor *t)
{
    kb_page_block *block = kb_xmalloc(sizeof *block + t->piece_count * sizeof *block->extents);
    block->count = t->piece_count;
    for (uint32_t p = 0; p < t->piece_count; p++) {
        const kb_tensor_piece *piece = &t->pieces[p];
        kb_paddr pa = t->shards[piece->first_shard].pa;
        block->extents[p] = (kb_page_extent){piece->va.bits, piece->bytes, pa.bits};
    }
    return block;
}

static void map_block(const kb_tensor *t, int sip, int cube, bool map)
{
    kb_pagetable *table = kb_machine_pagetable(t->engine->m, sip, cube);
    uint32_t everyone = (uint32_t)((UINT64_C(1) << t->engine->m->graph->cube_plan.pes) - 1);
    int status = map ? kb_pagetable_map_block(table, t->block, everyone, NULL)
                     : kb_pagetable_unmap_block(table, t->block, everyone, NULL);
    assert(!status); /* as above */
    (void)status;
}

/* A PE sees its own copy of a piece; the others of the cube see the cube's first, or the first. On
 * another SIP, "its own" is that of the PE with its numbers. */
static void map_cube(const kb_tensor *t, int sip, int cube, bool map)
{
    if (t->block) {
        map_block(t, sip, cube, map);
        return;
    }
    uint32_t everyone = (uint32_t)((UINT64_C(1) << t->engine->m->graph->cube_plan.pes) - 1);
    uint32_t *own = kb_xcalloc(t->piece_count, sizeof *own); /* PEs with a copy */
    uint32_t *common = kb_xmalloc(t->piece_count * sizeof *common);
    for (uint32_t p = 0; p < t->piece_count; p++) common[p] = t->pieces[p].first_shard;
    for (uint32_t s = 0; s < t->shard_count; s++) {
        const kb_shard *shard = &t->shards[s];
        if (shard->cube != cube) continue;
        if (!own[shard->piece]) common[shard->piece] = s;
        own[shard->piece] |= UINT32_C(1) << shard->pe;
    }
    for (uint32_t s = 0; s < t->shard_count; s++) {
        const kb_shard *shard = &t->shards[s];
        if (shard->cube != cube || common[shard->piece] == s) continue;
        map_range(t, sip, cube, shard, UINT32_C(1) << shard->pe, map);
    }
    for (uint32_t p = 0; p < t->piece_count; p++) {
        const kb_shard *shard = &t->shards[common[p]];
        uint32_t mask = everyone & ~own[p];
        if (shard->cube == cube) mask |= UINT32_C(1) << shard->pe;
        if (mask) map_range(t, sip, cube, shard, mask, map);
    }
    free(own);
    free(common);
}

void kb_tensor_forget_maps(kb_tensor *t)
{
    const kb_graph *g = t->engine->m->graph;
    for (int sip = 0; sip < g->sips; sip++) {
        if (t->maps[sip] != KB_MAPPED) continue;
        for (int cube = 0; cube < kb_graph_cubes(g); cube++) map_cube(t, sip, cube, false);
        t->maps[sip] = KB_UNMAPPED;
    }
}

/* ---- messages ---- */

static void deliver(kb_msg *msg, int target, int pe)
{
    kb_map_message *m = msg->object;
    uint64_t bit = UINT64_C(1) << (target % 64);
    if (!(m->applied[target / 64] & bit)) {
        m->applied[target / 64] |= bit;
        map_cube(m->work->tensor, msg->sip, msg->targets[target].cube, m->map);
    }
    kb_msg_report(msg, target, pe);
}

static void delivered(kb_sim *sim, void *object, uint64_t arg)
{
    const kb_map_message *m = object;
    m->work->tensor->maps[m->msg.sip] = m->map ? KB_MAPPED : KB_UNMAPPED;
    kb_host_work_part(sim, m->work, arg);
}

/* To all PEs of a SIP. */
static void send(kb_map_message *m, kb_host_work *work, int sip, bool map)
{
    const kb_graph *g = work->engine->m->graph;
    uint32_t cubes = (uint32_t)kb_graph_cubes(g);
    kb_msg_target *targets = kb_xcalloc(cubes, sizeof *targets);
    for (uint32_t c = 0; c < cubes; c++)
        targets[c] = (kb_msg_target){.cube = (int)c,
                                     .pe_mask = (uint32_t)((UINT64_C(1) << g->cube_plan.pes) - 1)};
    *m = (kb_map_message){.work = work,
                          .map = map,
                          .applied = kb_xcalloc((cubes + 63) / 64, sizeof *m->applied),
                          .msg = {.m = work->engine->m,
                                  .sip = sip,
                                  .component = KB_PE_MMU,
                                  .targets = targets,
                                  .target_count = cubes,
                                  .deliver = deliver,
                                  .done = delivered,
                                  .object = m}};
    work->tensor->maps[sip] = KB_MAP_CHANGES;
    kb_msg_send(&m->msg);
}

/* The work that is mapping it on that SIP. */
static kb_host_work *under_way(const kb_tensor *t, int sip)
{
    kb_host_work *work = t->engine->host_work;
    while (work->tensor != t || !work->maps || work->maps->msg.sip != sip) work = work->next;
    return kb_host_work_retain(work);
}

kb_host_work *kb_tensor_map(kb_tensor *t, int sip)
{
    if (t->maps[sip] == KB_MAPPED) return NULL;
    if (t->maps[sip] == KB_MAP_CHANGES) return under_way(t, sip);
    if (!t->block && t->piece_count > 1 && has_no_copies(t)) t->block = make_block(t);
    kb_host_work *work = kb_host_work_create(t, 1);
    work->maps = kb_xcalloc(1, sizeof *work->maps);
    work->map_count = 1;
    send(work->maps, work, sip, true);
    return work;
}

kb_host_work *kb_tensor_unmap(kb_tensor *t)
{
    assert(!t->users);
    uint32_t count = 0;
    int sips = t->engine->m->graph->sips;
    for (int sip = 0; sip < sips; sip++) count += t->maps[sip] == KB_MAPPED;
    kb_host_work *work = kb_host_work_create(t, count);
    work->maps = kb_xcalloc(count + 1, sizeof *work->maps);
    for (int sip = 0; sip < sips; sip++)
        if (t->maps[sip] == KB_MAPPED) send(&work->maps[work->map_count++], work, sip, false);
    return work;
}

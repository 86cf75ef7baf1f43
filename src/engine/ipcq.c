#include "engine/ipcq.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "engine/device_memory.h"
#include "engine/ipcq_check.h"

/* ---- memory of rings ---- */

static kb_memory_place place_of(const kb_ipcq_plan *plan, const kb_ipcq_block *block)
{
    kb_memory_kind kind = plan->shape.buffer == KB_IPCQ_HBM    ? KB_IN_HBM
                          : plan->shape.buffer == KB_IPCQ_SRAM ? KB_IN_SRAM
                                                               : KB_IN_TCM;
    const kb_pe *pe = block->pe;
    return (kb_memory_place){kind, pe->sip, pe->cube, pe->number};
}

static int take_memory(const kb_ipcq_plan *plan, const kb_ipcq_block *block, kb_paddr *pa,
                       kb_err *err)
{
    uint64_t bytes = (uint64_t)block->count * plan->shape.n_slots * plan->shape.slot_bytes;
    kb_memory_place place = place_of(plan, block);
    return kb_device_memory_take(plan->engine, &place, bytes, pa, err);
}

static void give_memory(const kb_ipcq_plan *plan, const kb_ipcq_block *block, kb_paddr pa)
{
    kb_memory_place place = place_of(plan, block);
    kb_device_memory_give(plan->engine, &place, pa);
}

static void give_all(kb_ipcq_plan *plan)
{
    for (uint32_t i = 0; plan->memory && i < plan->block_count; i++)
        if (plan->memory[i].bits) give_memory(plan, &plan->blocks[i], plan->memory[i]);
    free(plan->memory);
    plan->memory = NULL;
}

static int take_all(kb_ipcq_plan *plan, kb_err *err)
{
    uint64_t ring = (uint64_t)plan->shape.n_slots * plan->shape.slot_bytes;
    plan->memory = kb_xcalloc(plan->block_count, sizeof *plan->memory);
    for (uint32_t i = 0; i < plan->block_count; i++) {
        const kb_ipcq_block *block = &plan->blocks[i];
        if (block->count == 0) continue;
        int status = take_memory(plan, block, &plan->memory[i], err);
        if (status) {
            plan->memory[i].bits = 0;
            give_all(plan);
            return kb_fail_at(err, "%s: no room for %u rings of %llu B", block->pe->name,
                              block->count, (unsigned long long)ring);
        }
        for (uint32_t k = 0; k < block->count; k++)
            block->ports[k].rx = kb_paddr_plus(plan->memory[i], k * ring);
    }
    for (uint32_t i = 0; i < plan->port_count; i++) plan->ports[i].tx = plan->ports[i].peer->rx;
    return KB_OK;
}

/* ---- making a plan ---- */

static const char *intern(kb_ipcq_plan *plan, const char *name)
{
    for (size_t i = plan->names.count; i-- > 0;)
        if (!strcmp(plan->names.data[i], name)) return plan->names.data[i];
    kb_vec_push(&plan->names, kb_xstrdup(name));
    return plan->names.data[plan->names.count - 1];
}

/* Blocks and ports in the order of PEs, so that messages and look-ups find them by it. */
static void lay_out(const kb_ipcq_draft *d, kb_ipcq_plan *plan)
{
    const kb_ipcq_desc *desc = d->desc;
    const kb_graph *g = d->engine->m->graph;
    size_t total = kb_ipcq_pe_number(d->engine, g->sips, 0, 0);
    kb_ipcq_state *state = d->engine->m->ipcq;
    uint32_t most = 0, port = 0;
    for (size_t n = 0, b = 0; n < total; n++) {
        if (d->entry[n] < 0) continue;
        const kb_ipcq_desc_pe *p = &desc->pes[d->entry[n]];
        plan->blocks[b] = (kb_ipcq_block){.shape = &plan->shape,
                                          .pe = kb_machine_pe(d->engine->m, p->sip, p->cube, p->pe),
                                          .ports = &plan->ports[port],
                                          .count = p->count,
                                          .registers = state->registers};
        for (uint32_t k = 0; k < p->count; k++, port++)
            plan->ports[port] =
                (kb_ipcq_port){.name = intern(plan, desc->directions[p->first + k].name),
                               .block = &plan->blocks[b]};
        d->entry[n] = (int32_t)b++; /* from here on: the block */
        if (p->count > most) most = p->count;
    }
    state->registers += most;
}

static void join_peers(const kb_ipcq_draft *d, const kb_ipcq_plan *plan)
{
    const kb_ipcq_desc *desc = d->desc;
    for (uint32_t i = 0; i < desc->pe_count; i++) {
        const kb_ipcq_desc_pe *p = &desc->pes[i];
        kb_ipcq_block *here =
            &plan->blocks[d->entry[kb_ipcq_pe_number(d->engine, p->sip, p->cube, p->pe)]];
        for (uint32_t k = 0; k < p->count; k++) {
            const kb_ipcq_desc_direction *way = &desc->directions[p->first + k];
            kb_ipcq_block *there =
                &plan->blocks[d->entry[kb_ipcq_pe_number(d->engine, way->sip, way->cube, way->pe)]];
            for (uint32_t j = 0; j < there->count; j++)
                if (!strcmp(there->ports[j].name, way->peer_direction))
                    here->ports[k].peer = &there->ports[j];
        }
    }
}

static kb_ipcq_plan *make_plan(const kb_ipcq_draft *d)
{
    const kb_ipcq_desc *desc = d->desc;
    kb_ipcq_plan *plan = kb_xcalloc(1, sizeof *plan);
    *plan = (kb_ipcq_plan){.engine = d->engine,
                           .name = kb_xstrdup(desc->shape.plan),
                           .shape = desc->shape,
                           .block_count = desc->pe_count};
    plan->shape.plan = plan->name;
    for (uint32_t i = 0; i < desc->pe_count; i++) plan->port_count += desc->pes[i].count;
    plan->open_ports = plan->port_count;
    plan->blocks = kb_xcalloc(plan->block_count, sizeof *plan->blocks);
    plan->ports = kb_xcalloc(plan->port_count + 1, sizeof *plan->ports);
    lay_out(d, plan);
    join_peers(d, plan);
    return plan;
}

/* ---- taking plans out of use ---- */

static void free_plan(kb_ipcq_plan *plan)
{
    for (uint32_t i = 0; i < plan->port_count; i++) free(plan->ports[i].out);
    for (size_t i = 0; i < plan->names.count; i++) free(plan->names.data[i]);
    kb_vec_free(&plan->names);
    free(plan->blocks);
    free(plan->ports);
    free(plan->memory);
    free(plan->name);
    free(plan);
}

static bool at_rest(const kb_ipcq_plan *plan)
{
    for (uint32_t i = 0; i < plan->port_count; i++)
        if (plan->ports[i].out && !kb_ipcq_at_rest(plan->ports[i].out)) return false;
    return true;
}

/* Nothing leads there any more: messages that nobody has received are dropped. */
static void close_port(kb_ipcq_port *port)
{
    if (port->closed) return;
    port->closed = true;
    if (port->out) kb_ipcq_reset(port->out, port->block->pe);
    if (port->in) kb_ipcq_reset(port->in, port->block->pe);
}

static void retire(kb_ipcq_plan *plan)
{
    for (uint32_t i = 0; i < plan->block_count; i++) kb_ipcq_detach(&plan->blocks[i]);
    give_all(plan);
    plan->removed = true;
    if (!at_rest(plan)) return; /* freed with the engine */
    kb_ipcq_plan **at = &plan->engine->ipcq;
    while (*at != plan) at = &(*at)->next;
    *at = plan->next;
    free_plan(plan);
}

/* Directions that the plan has too are closed; plans without any left are retired. */
static void replace(kb_engine *engine, const kb_ipcq_plan *plan)
{
    for (uint32_t i = 0; i < plan->port_count; i++) {
        const kb_ipcq_port *port = &plan->ports[i];
        kb_ipcq_port *old = kb_ipcq_find(port->block->pe, port->name);
        if (!old) continue;
        for (kb_ipcq_plan *p = engine->ipcq; p; p = p->next)
            if (&p->shape == old->block->shape) p->open_ports--;
        close_port(old);
    }
    for (kb_ipcq_plan *p = engine->ipcq, *next; p; p = next) {
        next = p->next;
        if (!p->removed && !p->pending && (p->open_ports == 0 || !strcmp(p->name, plan->name))) {
            for (uint32_t i = 0; i < p->port_count; i++) close_port(&p->ports[i]);
            retire(p);
        }
    }
}

/* ---- messages ---- */

static int by_place(const void *a, const void *b)
{
    const kb_pe *p = ((const kb_ipcq_block *)a)->pe, *q = ((const kb_ipcq_block *)b)->pe;
    if (p->sip != q->sip) return p->sip - q->sip;
    return p->cube != q->cube ? p->cube - q->cube : p->number - q->number;
}

static void deliver(kb_msg *msg, int target, int pe_number)
{
    kb_ipcq_work *work = msg->object;
    kb_pe *pe = kb_machine_pe(msg->m, msg->sip, msg->targets[target].cube, pe_number);
    kb_ipcq_block key = {.pe = pe};
    kb_ipcq_block *block =
        bsearch(&key, work->plan->blocks, work->plan->block_count, sizeof key, by_place);
    assert(block);
    if (work->install) kb_ipcq_attach(block);
    kb_msg_report(msg, target, pe_number);
}

void kb_ipcq_work_release(kb_ipcq_work *work)
{
    if (!work || --work->refs) return;
    for (uint32_t i = 0; i < work->count; i++) free(work->messages[i].targets);
    free(work->messages);
    free(work);
}

/* It is no longer under way for the engine, which lets go of it. */
static void leave_engine(kb_ipcq_work *work)
{
    if (work->prev)
        work->prev->next = work->next;
    else
        work->engine->ipcq_work = work->next;
    if (work->next) work->next->prev = work->prev;
    work->engine = NULL;
    kb_ipcq_work_release(work);
}

/* The host has the report of a SIP. */
static void completed(kb_sim *sim, void *object, uint64_t arg)
{
    (void)arg;
    kb_ipcq_work *work = object;
    kb_completion_part(&work->done, sim);
    if (!kb_completion_done(&work->done)) return;
    work->plan->pending = false;
    if (!work->install) retire(work->plan);
    leave_engine(work);
}

/* Cubes of the blocks from `first` on that are of its SIP. Returns the first behind. */
static uint32_t address(const kb_ipcq_plan *plan, uint32_t first, kb_msg *msg)
{
    uint32_t end = first, sip = (uint32_t)plan->blocks[first].pe->sip;
    msg->targets = kb_xcalloc((size_t)kb_graph_cubes(plan->engine->m->graph), sizeof *msg->targets);
    for (; end < plan->block_count && (uint32_t)plan->blocks[end].pe->sip == sip; end++) {
        const kb_pe *pe = plan->blocks[end].pe;
        if (end == first || plan->blocks[end - 1].pe->cube != pe->cube)
            msg->targets[msg->target_count++].cube = pe->cube;
        msg->targets[msg->target_count - 1].pe_mask |= UINT32_C(1) << pe->number;
    }
    msg->sip = (int)sip;
    return end;
}

static kb_ipcq_work *send_messages(kb_ipcq_plan *plan, bool install)
{
    kb_ipcq_work *work = kb_xcalloc(1, sizeof *work);
    *work = (kb_ipcq_work){.refs = 2,
                           .engine = plan->engine,
                           .next = plan->engine->ipcq_work,
                           .plan = plan,
                           .install = install};
    if (work->next) work->next->prev = work;
    plan->engine->ipcq_work = work;
    plan->pending = true;
    for (uint32_t b = 0; b < plan->block_count; b++)
        work->count += b == 0 || plan->blocks[b].pe->sip != plan->blocks[b - 1].pe->sip;
    work->messages = kb_xcalloc(work->count, sizeof *work->messages);
    kb_completion_init(&work->done, work->count);
    for (uint32_t i = 0, b = 0; i < work->count; i++) {
        kb_msg *msg = &work->messages[i];
        *msg = (kb_msg){.m = plan->engine->m,
                        .component = KB_PE_IPCQ,
                        .deliver = deliver,
                        .done = completed,
                        .object = work};
        b = address(plan, b, msg);
        kb_msg_send(msg);
    }
    plan->engine->submissions++;
    return work;
}

int kb_ipcq_install(kb_engine *engine, const kb_ipcq_desc *desc, kb_ipcq_work **out, kb_err *err)
{
    size_t pes = kb_ipcq_pe_number(engine, engine->m->graph->sips, 0, 0);
    kb_ipcq_draft d = {.engine = engine, .desc = desc, .err = err};
    d.entry = kb_xmalloc(pes * sizeof *d.entry);
    memset(d.entry, 0xff, pes * sizeof *d.entry);
    int status = kb_ipcq_check(&d);
    kb_ipcq_plan *plan = NULL, *same = kb_ipcq_find_plan(engine, desc->shape.plan);
    if (!status) {
        plan = make_plan(&d);
        if (same) give_all(same);
        status = take_all(plan, err);
        if (status && same) take_all(same, NULL); /* what it had fits again */
    }
    free(d.entry);
    if (status) {
        if (plan) free_plan(plan);
        return kb_fail_at(err, "plan '%s'", desc->shape.plan);
    }
    replace(engine, plan);
    plan->next = engine->ipcq;
    engine->ipcq = plan;
    *out = send_messages(plan, true);
    return KB_OK;
}

int kb_ipcq_remove(kb_engine *engine, const char *name, kb_ipcq_work **out, kb_err *err)
{
    kb_ipcq_plan *plan = kb_ipcq_find_plan(engine, name);
    if (!plan) return kb_fail(err, KB_EINVAL, "no plan '%s' is installed", name);
    int status = kb_ipcq_check_plan_idle(plan, err);
    if (status) return status;
    for (uint32_t i = 0; i < plan->port_count; i++) close_port(&plan->ports[i]);
    *out = send_messages(plan, false);
    return KB_OK;
}

void kb_ipcq_free_all(kb_engine *engine)
{
    while (engine->ipcq_work) leave_engine(engine->ipcq_work);
    while (engine->ipcq) {
        kb_ipcq_plan *next = engine->ipcq->next;
        free_plan(engine->ipcq);
        engine->ipcq = next;
    }
}

uint64_t kb_ipcq_unread_all(const kb_engine *engine)
{
    uint64_t count = 0;
    for (const kb_ipcq_plan *plan = engine->ipcq; plan; plan = plan->next)
        for (uint32_t i = 0; !plan->removed && i < plan->port_count; i++)
            if (plan->ports[i].out) count += kb_ipcq_unread(plan->ports[i].out);
    return count;
}

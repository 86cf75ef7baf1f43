#include "engine/ipcq_check.h"

#include <stdio.h>
#include <string.h>

enum {
    MOST_SLOTS = 65536,
    LARGEST_SLOT = 1 << 30,
    MOST_CREDIT_BYTES = 4096,
    MOST_DIRECTIONS = 256
};

static bool exists(const kb_engine *engine, int sip, int cube, int pe)
{
    const kb_graph *g = engine->m->graph;
    return sip >= 0 && sip < g->sips && cube >= 0 && cube < kb_graph_cubes(g) && pe >= 0 &&
           pe < g->cube_plan.pes;
}

size_t kb_ipcq_pe_number(const kb_engine *engine, int sip, int cube, int pe)
{
    const kb_graph *g = engine->m->graph;
    return ((size_t)sip * (size_t)kb_graph_cubes(g) + (size_t)cube) * (size_t)g->cube_plan.pes +
           (size_t)pe;
}

static int check_shape(const kb_ipcq_shape *shape, kb_err *err)
{
    if (!*shape->plan) return kb_fail(err, KB_EINVAL, "the plan has no name");
    if (shape->n_slots < 1 || shape->n_slots > MOST_SLOTS)
        return kb_fail(err, KB_EINVAL, "n_slots is %u; expected 1 to %d", shape->n_slots,
                       MOST_SLOTS);
    if (shape->slot_bytes < 16 || shape->slot_bytes > LARGEST_SLOT || shape->slot_bytes % 16)
        return kb_fail(err, KB_EINVAL, "slot_size is %u; expected a multiple of 16 B up to %d",
                       shape->slot_bytes, LARGEST_SLOT);
    if (shape->chunk_bytes > LARGEST_SLOT || shape->chunk_bytes % 16)
        return kb_fail(err, KB_EINVAL, "vc_chunk is %u; expected 0 or a multiple of 16 B up to %d",
                       shape->chunk_bytes, LARGEST_SLOT);
    if (shape->credit_bytes > MOST_CREDIT_BYTES)
        return kb_fail(err, KB_EINVAL, "credit_bytes is %u; expected at most %d",
                       shape->credit_bytes, MOST_CREDIT_BYTES);
    return KB_OK;
}

static int enter_pes(kb_ipcq_draft *d)
{
    const kb_ipcq_desc *desc = d->desc;
    if (desc->pe_count == 0) return kb_fail(d->err, KB_EINVAL, "the plan has no PE");
    for (uint32_t i = 0; i < desc->pe_count; i++) {
        const kb_ipcq_desc_pe *p = &desc->pes[i];
        if (!exists(d->engine, p->sip, p->cube, p->pe))
            return kb_fail(d->err, KB_EINVAL,
                           "pes[%u] is sip%d.cube%d.pe%d, which this machine does not have", i + 1,
                           p->sip, p->cube, p->pe);
        int32_t *entry = &d->entry[kb_ipcq_pe_number(d->engine, p->sip, p->cube, p->pe)];
        if (*entry >= 0)
            return kb_fail(d->err, KB_EINVAL, "sip%d.cube%d.pe%d is listed twice", p->sip, p->cube,
                           p->pe);
        if (p->count > MOST_DIRECTIONS)
            return kb_fail(d->err, KB_EINVAL,
                           "sip%d.cube%d.pe%d has %u directions; expected at most %d", p->sip,
                           p->cube, p->pe, p->count, MOST_DIRECTIONS);
        *entry = (int32_t)i;
    }
    return KB_OK;
}

static const kb_ipcq_desc_direction *find(const kb_ipcq_desc *desc, const kb_ipcq_desc_pe *p,
                                          const char *name)
{
    for (uint32_t i = 0; i < p->count; i++)
        if (!strcmp(desc->directions[p->first + i].name, name))
            return &desc->directions[p->first + i];
    return NULL;
}

/* Says what is wrong with a direction, with its two ends in front. */
static int reject(const kb_ipcq_draft *d, const kb_ipcq_desc_pe *p,
                  const kb_ipcq_desc_direction *way, const char *why)
{
    return kb_fail(d->err, KB_EINVAL,
                   "sip%d.cube%d.pe%d: direction %s leads to sip%d.cube%d.pe%d%s", p->sip, p->cube,
                   p->pe, way->name, way->sip, way->cube, way->pe, why);
}

static int reject_back(const kb_ipcq_draft *d, const kb_ipcq_desc_pe *p,
                       const kb_ipcq_desc_direction *way, const kb_ipcq_desc_direction *back)
{
    int used = 0;
    char why[240];
    used = snprintf(why, sizeof why, ", direction %.60s, ", way->peer_direction);
    if (!back)
        snprintf(why + used, sizeof why - (size_t)used, "which has none of that name");
    else
        snprintf(why + used, sizeof why - (size_t)used,
                 "but that leads to sip%d.cube%d.pe%d, direction %.60s; the two must be a pair",
                 back->sip, back->cube, back->pe, back->peer_direction);
    return reject(d, p, way, why);
}

/* The peer knows this direction, by the name that is said, and by it comes back here. */
static int check_direction(const kb_ipcq_draft *d, const kb_ipcq_desc_pe *p,
                           const kb_ipcq_desc_direction *way)
{
    if (!*way->name)
        return kb_fail(d->err, KB_EINVAL, "sip%d.cube%d.pe%d: a direction has no name", p->sip,
                       p->cube, p->pe);
    if (find(d->desc, p, way->name) != way)
        return kb_fail(d->err, KB_EINVAL, "sip%d.cube%d.pe%d has two directions %s", p->sip,
                       p->cube, p->pe, way->name);
    if (!exists(d->engine, way->sip, way->cube, way->pe))
        return reject(d, p, way, ", which this machine lacks");
    if (p->sip == way->sip && p->cube == way->cube && p->pe == way->pe)
        return reject(d, p, way, ", the PE itself");
    int32_t entry = d->entry[kb_ipcq_pe_number(d->engine, way->sip, way->cube, way->pe)];
    if (entry < 0) return reject(d, p, way, ", which the plan lacks");
    const kb_ipcq_desc_direction *back = find(d->desc, &d->desc->pes[entry], way->peer_direction);
    if (back && back->sip == p->sip && back->cube == p->cube && back->pe == p->pe &&
        !strcmp(back->peer_direction, way->name))
        return KB_OK;
    return reject_back(d, p, way, back);
}

static bool idle(const kb_ipcq_ring *ring)
{
    return !ring || (kb_ipcq_at_rest(ring) && ring->taken == ring->released);
}

static int check_idle(const kb_ipcq_port *port, kb_err *err)
{
    if (idle(port->out) && idle(port->in)) return KB_OK;
    bool out = !idle(port->out);
    const kb_ipcq_port *from = out ? port : port->peer;
    return kb_fail(err, KB_EINVAL,
                   "plan '%s' is in use: something is under way from %s, direction %s, to %s, "
                   "direction %s; wait for the kernels that use it",
                   port->block->shape->plan, from->block->pe->name, from->name,
                   from->peer->block->pe->name, from->peer->name);
}

/* What the plan replaces is not in use. */
static int check_replaced(const kb_ipcq_draft *d, const kb_ipcq_desc_pe *p)
{
    const kb_pe *pe = kb_machine_pe(d->engine->m, p->sip, p->cube, p->pe);
    if (!pe->ipcq) return KB_OK;
    for (uint32_t i = 0; i < p->count; i++) {
        const kb_ipcq_port *old = kb_ipcq_find(pe, d->desc->directions[p->first + i].name);
        int status = old ? check_idle(old, d->err) : KB_OK;
        if (status) return status;
    }
    return KB_OK;
}

int kb_ipcq_check_plan_idle(const kb_ipcq_plan *plan, kb_err *err)
{
    if (plan->pending)
        return kb_fail(err, KB_EINVAL, "plan '%s' is being installed or removed by another worker",
                       plan->name);
    for (uint32_t i = 0; i < plan->port_count; i++) {
        int status = check_idle(&plan->ports[i], err);
        if (status) return status;
    }
    return KB_OK;
}

kb_ipcq_plan *kb_ipcq_find_plan(const kb_engine *engine, const char *name)
{
    for (kb_ipcq_plan *plan = engine->ipcq; plan; plan = plan->next)
        if (!plan->removed && !strcmp(plan->name, name)) return plan;
    return NULL;
}

int kb_ipcq_check(kb_ipcq_draft *d)
{
    const kb_ipcq_desc *desc = d->desc;
    int status = check_shape(&desc->shape, d->err);
    if (!status) status = enter_pes(d);
    for (uint32_t i = 0; !status && i < desc->pe_count; i++) {
        const kb_ipcq_desc_pe *p = &desc->pes[i];
        for (uint32_t k = 0; !status && k < p->count; k++)
            status = check_direction(d, p, &desc->directions[p->first + k]);
        if (!status) status = check_replaced(d, p);
    }
    const kb_ipcq_plan *same = status ? NULL : kb_ipcq_find_plan(d->engine, desc->shape.plan);
    return same ? kb_ipcq_check_plan_idle(same, d->err) : status;
}

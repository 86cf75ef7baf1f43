#include "engine/probe_ipcq.h"

#include <assert.h>

#include "engine/ipcq.h"

/* The PE that receives. */
typedef struct place {
    int sip, cube, pe;
} place;

static int formula_of(kb_machine *m, kb_probe *probe, const place *to, kb_err *err)
{
    probe->memory = kb_graph_pe(m->graph, to->sip, to->cube, to->pe, KB_PE_TCM);
    kb_formula *f = &probe->formula;
    int status =
        kb_closed_form(m, KB_TXN_WRITE, probe->requester, probe->memory, 0, probe->bytes, f, err);
    if (status) return status;
    kb_time copy = kb_pe_fetch_time(m, probe->bytes) + kb_pe_store_time(m, probe->bytes);
    f->total = f->total - f->command + copy;
    f->command = 0;
    f->drain += copy;
    return KB_OK;
}

/* That of the greatest closed form. */
static int farthest_of_cube(kb_machine *m, kb_probe *probe, place *to, kb_err *err)
{
    kb_time most = 0;
    for (int pe = 1; pe < m->graph->cube_plan.pes; pe++) {
        place other = {0, 0, pe};
        int status = formula_of(m, probe, &other, err);
        if (status) return status;
        if (probe->formula.total <= most) continue;
        most = probe->formula.total;
        *to = other;
    }
    if (!to->pe) probe->absent = "a cube has only one PE";
    return KB_OK;
}

static int find_receiver(kb_machine *m, kb_probe *probe, place *to, kb_err *err)
{
    const kb_graph *g = m->graph;
    if (probe->bytes > kb_pe_tcm_user_bytes(m))
        probe->absent = "the message is larger than a TCM";
    else if (probe->which == KB_PROBE_IPCQ_SAME_CUBE)
        return farthest_of_cube(m, probe, to, err);
    else if (probe->which == KB_PROBE_IPCQ_CROSS_CUBE && kb_graph_cubes(g) == 1)
        probe->absent = "a SIP has only one cube";
    else if (probe->which == KB_PROBE_IPCQ_CROSS_CUBE)
        to->cube = 1;
    else if (g->sips == 1)
        probe->absent = "there is only one SIP";
    else
        to->sip = 1;
    return KB_OK;
}

/* A ring with one slot that holds the message. */
static int install(kb_engine *engine, const kb_probe *probe, const place *to, kb_ipcq_ring **ring,
                   kb_err *err)
{
    kb_ipcq_desc_pe pes[2] = {{0, 0, 0, 0, 1}, {to->sip, to->cube, to->pe, 1, 1}};
    kb_ipcq_desc_direction ways[2] = {{"out", to->sip, to->cube, to->pe, "in"},
                                      {"in", 0, 0, 0, "out"}};
    kb_ipcq_shape shape = {.plan = "probe",
                           .buffer = KB_IPCQ_TCM,
                           .n_slots = 1,
                           .slot_bytes = (uint32_t)(probe->bytes + 15) / 16 * 16,
                           .credit_bytes = 16};
    kb_ipcq_work *work;
    int status = kb_ipcq_install(engine, &(kb_ipcq_desc){shape, pes, ways, 2, 2}, &work, err);
    if (status) return status;
    kb_engine_run(engine, KB_TIME_NEVER, UINT64_MAX, NULL, NULL);
    kb_ipcq_work_release(work);
    return kb_ipcq_open(kb_ipcq_find(kb_machine_pe(engine->m, 0, 0, 0), "out"), true, ring, err);
}

static void nothing(kb_sim *sim, void *object, uint64_t arg)
{
    (void)sim;
    (void)object;
    (void)arg;
}

typedef struct arrival {
    const kb_sim *sim;
    kb_time at;
} arrival;

static void arrived(void *object, kb_value *value, bool matches, uint32_t slot)
{
    (void)value;
    (void)slot;
    assert(matches);
    (void)matches;
    arrival *a = object;
    a->at = a->sim->now;
}

int kb_probe_ipcq(kb_engine *engine, kb_probe *out, kb_err *err)
{
    kb_machine *m = engine->m;
    place to = {0, 0, 0};
    kb_ipcq_ring *ring;
    int status = find_receiver(m, out, &to, err);
    if (status || out->absent) return status;
    status = formula_of(m, out, &to, err);
    if (!status) status = install(engine, out, &to, &ring, err);
    if (status) return status;
    out->bound = kb_closed_form_is_bound(m);
    size_t shape = (size_t)out->bytes;
    kb_value *value = kb_value_create(NULL, KB_U8, 1, &shape);
    kb_time start = engine->sim->now;
    arrival a = {.sim = engine->sim};
    m->ipcq->watch = kb_probe_watch;
    m->ipcq->watcher = out;
    kb_ipcq_receive_value(ring, value, false, arrived, &a);
    kb_ipcq_send(ring, value, nothing, nothing, NULL);
    kb_engine_run(engine, KB_TIME_NEVER, UINT64_MAX, NULL, NULL);
    kb_value_release(value);
    out->actual = a.at - start;
    return KB_OK;
}

#include "engine/launch_use.h"

#include "engine/launch.h"
#include "hw/audit.h"
#include "hw/hbm_ctrl.h"
#include "hw/pe/pe_tcm.h"

const char *kb_bound_name(kb_bound bound)
{
    static const char *const names[KB_BOUND_COUNT] = {"pe_gemm", "pe_math", "pe_tcm", "hbm"};
    return names[bound];
}

/* ---- PEs ---- */

/* Differences: `sign` is -1 at the beginning, 1 at the end; unsigned sums wrap and come out right.
 */
static void add_pe(kb_launch_use *use, kb_machine *m, kb_pe *pe, uint64_t sign)
{
    kb_time now = m->sim->now;
    kb_pe_settle(pe);
    for (int d = 0; d < 2; d++) {
        kb_server_settle(&pe->dma[d], m->sim);
        use->busy[KB_USE_DMA_READ + d] += sign * (pe->dma[d].busy_integral / pe->dma[d].capacity);
        use->dma_bytes[d] += sign * pe->dma_bytes[d];
    }
    kb_node node = kb_graph_pe(m->graph, pe->sip, pe->cube, pe->number, KB_PE_TCM);
    const kb_tcm *tcm = (const kb_tcm *)kb_machine_device(m, node);
    use->busy[KB_USE_FETCH] += sign * (kb_link_busy_so_far(&pe->fetch, now) - tcm->read_busy);
    use->busy[KB_USE_STORE] += sign * (kb_link_busy_so_far(&pe->store, now) - tcm->write_busy);
    use->busy[KB_USE_GEMM] += sign * kb_link_busy_so_far(&pe->gemm, now);
    use->busy[KB_USE_MATH] += sign * kb_link_busy_so_far(&pe->math, now);
    use->fetch_bytes += sign * pe->fetch.bytes;
    use->store_bytes += sign * pe->store.bytes;
    use->commands += sign * pe->commands;
    use->macs += sign * pe->macs;
    for (int s = 0; s < 4; s++) use->macs_by_size[s] += sign * pe->macs_by_size[s];
}

static void add_pes_of(kb_launch *launch, const kb_msg *msg, uint64_t sign)
{
    kb_machine *m = launch->engine->m;
    for (uint32_t t = 0; t < msg->target_count; t++)
        for (uint32_t left = msg->targets[t].pe_mask; left; left &= left - 1) {
            int number = __builtin_ctz(left);
            add_pe(&launch->use, m, kb_machine_pe(m, msg->sip, msg->targets[t].cube, number), sign);
        }
}

static void add_pes(kb_launch *launch, uint64_t sign)
{
    for (uint32_t i = 0; i < launch->sip_count; i++) add_pes_of(launch, &launch->msgs[i], sign);
}

/* ---- HBM slices ---- */

/* Bytes of a slice so far; 0 if nobody has used it. */
static uint64_t slice_bytes(const kb_machine *m, int sip, int cube, int slice)
{
    kb_place place = kb_graph_place(m->graph, kb_graph_slice(m->graph, sip, cube, slice));
    kb_device **devices = m->dies[place.sip * m->graph->dies + place.die].devices;
    const kb_device *device = devices ? devices[place.local] : NULL;
    if (!device || !device->class->moved) return 0;
    kb_moved moved = device->class->moved(device);
    return moved.read + moved.written;
}

/* Visit all slices of a SIP: note their bytes, or find the one that has moved most since. `at`: the
 * first one's place among those noted. */
static void visit_slices_of(kb_launch *launch, int sip, bool begin, size_t at)
{
    const kb_machine *m = launch->engine->m;
    kb_launch_use *use = &launch->use;
    for (int cube = 0; cube < kb_graph_cubes(m->graph); cube++)
        for (int slice = 0; slice < m->graph->cube_plan.slices; slice++, at++) {
            uint64_t bytes = slice_bytes(m, sip, cube, slice);
            if (begin)
                kb_vec_push(&use->slices, bytes);
            else if (bytes - use->slices.data[at] > use->slice_bytes)
                use->slice_bytes = bytes - use->slices.data[at];
        }
}

static void visit_slices(kb_launch *launch, bool begin)
{
    const kb_graph *g = launch->engine->m->graph;
    size_t slices = (size_t)kb_graph_cubes(g) * (size_t)g->cube_plan.slices;
    for (uint32_t i = 0; i < launch->sip_count; i++)
        visit_slices_of(launch, launch->msgs[i].sip, begin, i * slices);
}

/* ---- a launch ---- */

void kb_launch_use_begin(kb_launch *launch)
{
    add_pes(launch, UINT64_MAX);
    visit_slices(launch, true);
}

void kb_launch_use_end(kb_launch *launch)
{
    add_pes(launch, 1);
    visit_slices(launch, false);
    kb_vec_free(&launch->use.slices);
}

double kb_launch_use_bound(const kb_launch *launch, kb_bound bound)
{
    const kb_machine *m = launch->engine->m;
    const kb_launch_use *use = &launch->use;
    const kb_tcm_config *tcm = kb_machine_config(m, KB_PE_TCM);
    const kb_hbm_config *hbm = kb_machine_config(m, KB_HBM_CTRL);
    double pes = launch->pe_count, seconds = 0;
    switch (bound) {
    case KB_BOUND_GEMM:
        for (uint32_t s = 0; s < 4; s++)
            seconds += (double)use->macs_by_size[s] / (pes * kb_pe_gemm_peak(m, 1u << s));
        return seconds;
    case KB_BOUND_MATH:
        return (double)use->busy[KB_USE_MATH] * 1e-12 / pes;
    case KB_BOUND_TCM: {
        double in = (double)use->fetch_bytes / tcm->read_gbs;
        double out = (double)use->store_bytes / tcm->write_gbs;
        return (in > out ? in : out) * 1e-9 / pes;
    }
    default:
        return (double)use->slice_bytes * (double)hbm->burst /
               ((double)hbm->channels * hbm->burst_bytes) * 1e-12;
    }
}

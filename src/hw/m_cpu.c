/* The processor of a cube: passes control messages to its PEs and reports when all are done (T8).
 */
#include <assert.h>

#include "hw/classes.h"
#include "hw/msg.h"

static const kb_param params[] = {
    {"overhead_ns", KB_PARAM_REAL, "ns", "5", 0, 1e6, NULL, "time per message"},
    {"router", KB_PARAM_STRING, NULL, "auto", 0, 0, NULL,
     "router that it hangs off, such as r0c2; auto: in the middle of the first row"},
    {0}};

/* Command times between m_cpu and the PEs: the same in every cube. */
typedef struct m_cpu_config {
    kb_time to_cpu[KB_PE_MAX], to_mmu[KB_PE_MAX], to_ipcq[KB_PE_MAX], from[KB_PE_MAX];
} m_cpu_config;

static int configure(kb_machine *m, const kb_spec *spec, void *block, kb_err *err)
{
    (void)spec;
    (void)err;
    m_cpu_config *config = block;
    kb_node here = kb_graph_m_cpu(m->graph, 0, 0);
    for (int pe = 0; pe < m->graph->cube_plan.pes; pe++) {
        kb_node cpu = kb_graph_pe(m->graph, 0, 0, pe, KB_PE_CPU);
        kb_node mmu = kb_graph_pe(m->graph, 0, 0, pe, KB_PE_MMU);
        kb_node ipcq = kb_graph_pe(m->graph, 0, 0, pe, KB_PE_IPCQ);
        config->to_ipcq[pe] = kb_machine_command_time(m, here, ipcq);
        config->to_cpu[pe] = kb_machine_command_time(m, here, cpu);
        config->to_mmu[pe] = kb_machine_command_time(m, here, mmu);
        config->from[pe] = kb_machine_command_time(m, cpu, here);
    }
    return KB_OK;
}

kb_time kb_m_cpu_to_pe(const kb_machine *m, int pe, kb_kind component)
{
    const m_cpu_config *config = m->config[KB_M_CPU];
    return component == KB_PE_CPU    ? config->to_cpu[pe]
           : component == KB_PE_IPCQ ? config->to_ipcq[pe]
                                     : config->to_mmu[pe];
}

kb_time kb_m_cpu_from_pe(const kb_machine *m, int pe)
{
    const m_cpu_config *config = m->config[KB_M_CPU];
    return config->from[pe];
}

static void deliver(kb_sim *sim, void *object, uint64_t target_pe)
{
    (void)sim;
    kb_msg *msg = object;
    msg->deliver(msg, (int)(target_pe >> 8), (int)(target_pe & 0xff));
}

void kb_m_cpu_receive(kb_sim *sim, void *object, uint64_t target)
{
    kb_msg *msg = object;
    for (uint32_t left = msg->targets[target].pe_mask; left; left &= left - 1) {
        int pe = __builtin_ctz(left);
        kb_time arrival = sim->now + kb_m_cpu_to_pe(msg->m, pe, msg->component);
        assert(!msg->synchronised || arrival <= msg->target_start);
        kb_sim_at(sim, msg->synchronised ? msg->target_start : arrival, deliver, msg,
                  target << 8 | (uint64_t)pe);
    }
}

void kb_m_cpu_report(kb_sim *sim, void *object, uint64_t target)
{
    kb_msg *msg = object;
    kb_machine *m = msg->m;
    assert(msg->targets[target].remaining > 0);
    if (--msg->targets[target].remaining) return;
    kb_node here = kb_graph_m_cpu(m->graph, msg->sip, msg->targets[target].cube);
    kb_time time = kb_machine_command_time(m, here, kb_graph_io_cpu(m->graph, msg->sip, 0));
    kb_sim_after(sim, time, kb_io_cpu_report, msg, 0);
}

const kb_device_class kb_m_cpu_class = {
    .kind = KB_M_CPU,
    .help = "processor of a cube: passes messages to the PEs and gathers their completion",
    .params = params,
    .config_size = sizeof(m_cpu_config),
    .configure = configure,
    .transit = kb_txn_forward};

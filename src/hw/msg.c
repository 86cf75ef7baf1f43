#include "hw/msg.h"

#include <assert.h>

void kb_msg_send(kb_msg *msg)
{
    kb_machine *m = msg->m;
    assert(msg->target_count > 0);
    msg->sent = m->sim->now;
    msg->remaining = msg->target_count;
    for (uint32_t t = 0; t < msg->target_count; t++)
        msg->targets[t].remaining = (uint32_t)__builtin_popcount(msg->targets[t].pe_mask);
    kb_node io_cpu = kb_graph_io_cpu(m->graph, msg->sip, 0);
    kb_sim_after(m->sim, kb_machine_command_time(m, kb_graph_host(m->graph), io_cpu),
                 kb_io_cpu_receive, msg, 0);
}

void kb_msg_report(kb_msg *msg, int target, int pe)
{
    kb_sim_after(msg->m->sim, kb_m_cpu_from_pe(msg->m, pe), kb_m_cpu_report, msg, (uint64_t)target);
}

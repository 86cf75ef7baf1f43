/* The processor of an IO chiplet: fans control messages out to the cubes, stamps the common start
 * of a launch (T8), and gathers the cubes' reports. */
#include <assert.h>

#include "hw/classes.h"
#include "hw/msg.h"

static const kb_param params[] = {
    {"overhead_ns", KB_PARAM_REAL, "ns", "10", 0, 1e6, NULL, "time per message"}, {0}};

typedef struct io_cpu {
    kb_device device;
    kb_msg *running; /* synchronised message under way */
    kb_msg *head, *tail;
} io_cpu;

static size_t state_size(const void *config)
{
    (void)config;
    return sizeof(io_cpu);
}

static io_cpu *of(const kb_msg *msg)
{
    return (io_cpu *)kb_machine_device(msg->m, kb_graph_io_cpu(msg->m->graph, msg->sip, 0));
}

static kb_time to_cube(const kb_msg *msg, uint32_t target)
{
    const kb_graph *g = msg->m->graph;
    return kb_machine_command_time(msg->m, kb_graph_io_cpu(g, msg->sip, 0),
                                   kb_graph_m_cpu(g, msg->sip, msg->targets[target].cube));
}

kb_time kb_io_cpu_to_pes(const kb_msg *msg)
{
    kb_time most = 0;
    for (uint32_t t = 0; t < msg->target_count; t++) {
        kb_time cube = to_cube(msg, t);
        for (uint32_t left = msg->targets[t].pe_mask; left; left &= left - 1) {
            int pe = __builtin_ctz(left);
            kb_time time = cube + kb_m_cpu_to_pe(msg->m, pe, msg->component);
            if (time > most) most = time;
        }
    }
    return most;
}

static void fan_out(kb_msg *msg)
{
    kb_machine *m = msg->m;
    msg->at_io_cpu = m->sim->now;
    if (!msg->grouped)
        msg->target_start = msg->synchronised ? m->sim->now + kb_io_cpu_to_pes(msg) : 0;
    for (uint32_t t = 0; t < msg->target_count; t++)
        kb_sim_after(m->sim, to_cube(msg, t), kb_m_cpu_receive, msg, t);
}

void kb_io_cpu_receive(kb_sim *sim, void *object, uint64_t arg)
{
    (void)sim;
    (void)arg;
    kb_msg *msg = object;
    io_cpu *io = of(msg);
    if (!msg->synchronised) {
        fan_out(msg);
    } else if (!io->running) {
        io->running = msg;
        fan_out(msg);
    } else {
        assert(!msg->grouped); /* the host has seen to that */
        msg->next = NULL;
        if (io->head)
            io->tail->next = msg;
        else
            io->head = msg;
        io->tail = msg;
    }
}

static void arrive_at_host(kb_sim *sim, void *object, uint64_t arg)
{
    (void)arg;
    kb_msg *msg = object;
    msg->completed = sim->now;
    if (msg->synchronised) kb_msg_completed(msg);
    msg->done(sim, msg->object, 0);
}

void kb_io_cpu_report(kb_sim *sim, void *object, uint64_t arg)
{
    (void)arg;
    kb_msg *msg = object;
    assert(msg->remaining > 0);
    if (--msg->remaining) return;
    kb_machine *m = msg->m;
    io_cpu *io = of(msg);
    msg->reported = sim->now;
    kb_node here = kb_graph_io_cpu(m->graph, msg->sip, 0);
    kb_sim_after(sim, kb_machine_command_time(m, here, kb_graph_host(m->graph)), arrive_at_host,
                 msg, 0);
    if (io->running != msg) return;
    io->running = io->head;
    if (!io->head) return;
    io->head = io->head->next;
    fan_out(io->running);
}

const kb_device_class kb_io_cpu_class = {
    .kind = KB_IO_CPU,
    .help = "processor of an IO chiplet: distributes launches and gathers their completion",
    .params = params,
    .state_size = state_size,
    .transit = kb_txn_forward};

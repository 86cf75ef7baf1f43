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

/* Longest way from here to any PE of the message. */
static kb_time longest(const kb_msg *msg, const kb_time *to_cube)
{
    kb_time most = 0;
    for (uint32_t t = 0; t < msg->target_count; t++)
        for (uint32_t left = msg->targets[t].pe_mask; left; left &= left - 1) {
            int pe = __builtin_ctz(left);
            kb_time time = to_cube[t] + kb_m_cpu_to_pe(msg->m, pe, msg->component);
            if (time > most) most = time;
        }
    return most;
}

static void fan_out(kb_msg *msg)
{
    kb_machine *m = msg->m;
    kb_node here = kb_graph_io_cpu(m->graph, msg->sip, 0);
    kb_time *to_cube = kb_xmalloc(msg->target_count * sizeof *to_cube);
    for (uint32_t t = 0; t < msg->target_count; t++)
        to_cube[t] = kb_machine_command_time(
            m, here, kb_graph_m_cpu(m->graph, msg->sip, msg->targets[t].cube));
    msg->at_io_cpu = m->sim->now;
    msg->target_start = msg->synchronised ? m->sim->now + longest(msg, to_cube) : 0;
    for (uint32_t t = 0; t < msg->target_count; t++)
        kb_sim_after(m->sim, to_cube[t], kb_m_cpu_receive, msg, t);
    free(to_cube);
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

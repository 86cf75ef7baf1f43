#include "hw/msg.h"

#include <assert.h>

/* ---- sending ---- */

static void prepare(kb_msg *msg)
{
    assert(msg->target_count > 0);
    msg->sent = msg->m->sim->now;
    msg->remaining = msg->target_count;
    msg->grouped = false;
    msg->peer = msg->next = NULL;
    for (uint32_t t = 0; t < msg->target_count; t++)
        msg->targets[t].remaining = (uint32_t)__builtin_popcount(msg->targets[t].pe_mask);
}

static kb_time to_io_cpu(const kb_msg *msg)
{
    const kb_graph *g = msg->m->graph;
    return kb_machine_command_time(msg->m, kb_graph_host(g), kb_graph_io_cpu(g, msg->sip, 0));
}

static void post(kb_msg *msg)
{
    if (msg->synchronised) msg->m->launches[msg->sip]++;
    kb_sim_after(msg->m->sim, to_io_cpu(msg), kb_io_cpu_receive, msg, 0);
}

/* A message, or all of a group with their common start. */
static void post_all(kb_msg *first)
{
    kb_time longest = 0;
    for (const kb_msg *msg = first; msg && first->grouped; msg = msg->peer) {
        kb_time way = to_io_cpu(msg) + kb_io_cpu_to_pes(msg);
        if (way > longest) longest = way;
    }
    for (kb_msg *msg = first; msg; msg = msg->peer) {
        if (msg->grouped) msg->target_start = msg->m->sim->now + longest;
        post(msg);
    }
}

/* ---- what the host holds back ---- */

static bool share_a_sip(const kb_msg *a, const kb_msg *b)
{
    for (; a; a = a->peer)
        for (const kb_msg *other = b; other; other = other->peer)
            if (a->sip == other->sip) return true;
    return false;
}

/* Whether it must wait: for one that is held before it, or, as a group, for launches under way. */
static bool must_wait(const kb_msg *first)
{
    const kb_machine *m = first->m;
    for (const kb_msg *held = m->held; held && held != first; held = held->next)
        if (share_a_sip(held, first)) return true;
    for (const kb_msg *msg = first; msg && first->grouped; msg = msg->peer)
        if (m->launches[msg->sip]) return true;
    return false;
}

static void submit(kb_msg *first)
{
    kb_machine *m = first->m;
    if (!first->synchronised || !must_wait(first)) {
        post_all(first);
        return;
    }
    if (m->held)
        m->last_held->next = first;
    else
        m->held = first;
    m->last_held = first;
}

void kb_msg_completed(kb_msg *msg)
{
    kb_machine *m = msg->m;
    assert(m->launches[msg->sip] > 0);
    m->launches[msg->sip]--;
    kb_msg *before = NULL;
    for (kb_msg *held = m->held, *next; held; held = next) {
        next = held->next;
        if (must_wait(held)) {
            before = held;
            continue;
        }
        if (before)
            before->next = next;
        else
            m->held = next;
        if (m->last_held == held) m->last_held = before;
        post_all(held);
    }
}

/* ---- for all ---- */

void kb_msg_send(kb_msg *msg)
{
    prepare(msg);
    submit(msg);
}

void kb_msg_send_group(kb_msg *const *messages, size_t count)
{
    assert(count > 0);
    for (size_t i = 0; i < count; i++) {
        assert(messages[i]->synchronised);
        for (size_t k = 0; k < i; k++) assert(messages[k]->sip != messages[i]->sip);
        prepare(messages[i]);
        messages[i]->grouped = true;
        if (i) messages[i - 1]->peer = messages[i];
    }
    submit(messages[0]);
}

void kb_msg_report(kb_msg *msg, int target, int pe)
{
    kb_sim_after(msg->m->sim, kb_m_cpu_from_pe(msg->m, pe), kb_m_cpu_report, msg, (uint64_t)target);
}

#include "hw/pe/pe_ipcq_priv.h"

#include <stdarg.h>
#include <stdio.h>

typedef struct auditor {
    void (*report)(void *user, const char *text);
    void *user;
} auditor;

__attribute__((format(printf, 2, 3))) static void violation(const auditor *a, const char *format,
                                                            ...)
{
    char text[160];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    a->report(a->user, text);
}

/* At rest nothing is under way: every freed slot's credit is back, every other slot holds a part
 * that has arrived, or one that is used in place. */
static void audit_ring(const auditor *a, const kb_ipcq_ring *ring)
{
    const char *from = kb_ipcq_sender(ring)->name, *to = kb_ipcq_receiver(ring)->name;
    uint32_t occupied = 0, under_way = 0;
    for (uint32_t i = 0; i < kb_ipcq_shape_of(ring)->n_slots; i++) {
        occupied += ring->slots[i].state != KB_SLOT_FREE;
        under_way += ring->slots[i].state == KB_SLOT_UNDER_WAY;
    }
    if (ring->credited != ring->released)
        violation(a, "%s -> %s: %llu slots were freed, %llu credits came back", from, to,
                  (unsigned long long)ring->released, (unsigned long long)ring->credited);
    if (occupied != ring->sent - ring->released)
        violation(a, "%s -> %s: %u slots are occupied, %llu parts were sent and not freed", from,
                  to, occupied, (unsigned long long)(ring->sent - ring->released));
    if (under_way || ring->under_way)
        violation(a, "%s -> %s: %u parts are still under way", from, to,
                  under_way ? under_way : ring->under_way);
}

static void audit_pe(void *user, kb_pe *pe)
{
    for (const kb_ipcq_block *block = pe->ipcq; block; block = block->next)
        for (uint32_t i = 0; i < block->count; i++)
            if (block->ports[i].out) audit_ring(user, block->ports[i].out);
}

void kb_ipcq_audit(kb_machine *m, void (*report)(void *user, const char *text), void *user)
{
    auditor a = {report, user};
    const kb_ipcq_books *b = &m->ipcq->books;
    if (kb_sim_pending(m->sim) > 0) return;
    kb_machine_each_pe(m, audit_pe, &a);
    if (b->credits != b->credits_arrived)
        violation(&a, "machine: %llu credits were sent, %llu arrived",
                  (unsigned long long)b->credits, (unsigned long long)b->credits_arrived);
    if (b->signals != b->signals_arrived)
        violation(&a, "machine: %llu signals were sent, %llu arrived",
                  (unsigned long long)b->signals, (unsigned long long)b->signals_arrived);
}

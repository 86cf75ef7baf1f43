#include "hw/pe/pe_signal.h"

#include <stdlib.h>

#include "hw/pe/pe_ipcq.h"

int kb_signal_check(kb_machine *m, const kb_pe *from, const kb_pe *to, kb_time *time, kb_err *err)
{
    return kb_ipcq_credit_time(m, from, to, kb_ipcq_signal_bytes(m), time, err);
}

static kb_ipcq_signal *signal_of(kb_pe *pe, uint32_t id)
{
    for (kb_ipcq_signal *s = pe->signals; s; s = s->next)
        if (s->id == id) return s;
    kb_ipcq_signal *made = kb_xcalloc(1, sizeof *made);
    made->id = id;
    made->next = pe->signals;
    return pe->signals = made;
}

/* Give them to those who wait, while there are enough for the first. */
static void serve(const kb_pe *pe, kb_ipcq_signal *s)
{
    while (s->head && s->count >= s->head->count) {
        kb_signal_wait *wait = s->head;
        s->count -= wait->count;
        s->head = wait->next;
        if (!s->head) s->tail = NULL;
        wait->done(pe->m->sim, wait->object, 0);
    }
}

static void arrives(kb_sim *sim, void *object, uint64_t arg)
{
    (void)sim;
    kb_pe *pe = object;
    pe->m->ipcq->books.signals_arrived++;
    if ((uint32_t)(arg >> 32) != pe->signal_epoch) return;
    kb_ipcq_signal *s = signal_of(pe, (uint32_t)arg);
    s->count++;
    serve(pe, s);
}

void kb_signal_send(kb_pe *to, uint32_t id, kb_time time)
{
    to->m->ipcq->books.signals++;
    kb_sim_after(to->m->sim, time, arrives, to, (uint64_t)to->signal_epoch << 32 | id);
}

void kb_signal_wait_for(kb_pe *pe, kb_signal_wait *wait)
{
    kb_ipcq_signal *s = signal_of(pe, wait->id);
    wait->next = NULL;
    if (s->tail)
        s->tail->next = wait;
    else
        s->head = wait;
    s->tail = wait;
    serve(pe, s);
}

uint64_t kb_signal_count(const kb_pe *pe, uint32_t id)
{
    for (const kb_ipcq_signal *s = pe->signals; s; s = s->next)
        if (s->id == id) return s->count;
    return 0;
}

void kb_signal_reset(kb_pe *pe)
{
    while (pe->signals) {
        kb_ipcq_signal *s = pe->signals;
        pe->signals = s->next;
        for (kb_signal_wait *wait = s->head, *next; wait; wait = next) {
            next = wait->next;
            wait->done(pe->m->sim, wait->object, 0);
        }
        free(s);
    }
    pe->signal_epoch++;
}

void kb_signal_fini(kb_pe *pe)
{
    while (pe->signals) {
        kb_ipcq_signal *next = pe->signals->next;
        free(pe->signals);
        pe->signals = next;
    }
}

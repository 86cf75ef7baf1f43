/* Signals between PEs: numbered events without data, counted where they arrive.
 *
 * A signal takes the way and the time of a credit of `signal_bytes` from pe_ipcq to pe_ipcq, and
 * occupies no link. It is counted at the receiver under its number; who waits for some of that
 * number takes them, in the order in which waits were posted. What nobody waits for stays. */
#ifndef KB_HW_PE_PE_SIGNAL_H
#define KB_HW_PE_PE_SIGNAL_H

#include "hw/pe/pe.h"

#define KB_SIGNAL_MAX UINT32_C(0x7fffffff)

/* Who waits; embedded in whoever does. `done` is called when it has its signals. */
typedef struct kb_signal_wait {
    struct kb_signal_wait *next;
    uint32_t id, count;
    kb_event_fn done;
    void *object;
} kb_signal_wait;

/* Signals of one number at one PE. */
typedef struct kb_ipcq_signal {
    struct kb_ipcq_signal *next;
    uint32_t id;
    uint64_t count; /* come, and not taken */
    kb_signal_wait *head, *tail;
} kb_ipcq_signal;

/* Send one now. KB_EINVAL if there is no way. */
int kb_signal_check(kb_machine *m, const kb_pe *from, const kb_pe *to, kb_time *time, kb_err *err);
void kb_signal_send(kb_pe *to, uint32_t id, kb_time time);

/* Wait from now on; `done` may be called before this returns. */
void kb_signal_wait_for(kb_pe *pe, kb_signal_wait *wait);

/* How many of that number are there to take. */
uint64_t kb_signal_count(const kb_pe *pe, uint32_t id);

/* Forget all of a PE's signals, also those under way to it, and who waits. */
void kb_signal_reset(kb_pe *pe);

/* The machine ends. */
void kb_signal_fini(kb_pe *pe);

#endif

/* The audit: laws that hold whatever the traffic, checked on what the parts have counted.
 *
 * At any time: no link, channel, engine or DMA channel was busy for longer than time has passed,
 * and a link was busy for exactly what its bytes take. When nothing is pending any more, also:
 *
 *   - conservation: at every node that payload passes, bytes in = bytes out; at a memory, bytes in
 * = written and bytes out = read; at the host and at every pe_dma, what was requested;
 *   - completion: every transaction and every flit that began has arrived, once;
 *   - Little's law: what links and DMA channels count as waiting and busy is what the transactions
 *     and commands saw, which keep their own books;
 *   - finite buffers (flow.h): every credit is back, nobody waits for one, and Little's law for the
 *     slots taken and for the waiting.
 *
 * Where a link leads is learnt from the routes that used it, not from the builder of the graph;
 * that routes agree on it is one more law. */
#ifndef KB_HW_AUDIT_H
#define KB_HW_AUDIT_H

#include "hw/machine.h"

/* Called for each violation with a sentence that names the node. */
typedef void (*kb_audit_report)(void *user, const char *text);

void kb_machine_audit(kb_machine *m, kb_audit_report report, void *user);

/* Busy time of a link up to now: what is claimed beyond now is contiguous, since claims are made
 * when a unit is ready. */
kb_time kb_link_busy_so_far(const kb_link *link, kb_time now);

#endif

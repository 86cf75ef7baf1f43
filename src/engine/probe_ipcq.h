/* Probes of queues between PEs: one message of one part, from pe0 of sip0.cube0 to the farthest PE
 * of its cube, to pe0 of the next cube, and to pe0 of the first cube of another SIP. The time is
 * from when pe_ipcq has the message to when the waiting receiver has it copied out of a slot in its
 * TCM; the closed form is that of the write without its acknowledgement, and both ports of TCM. */
#ifndef KB_ENGINE_PROBE_IPCQ_H
#define KB_ENGINE_PROBE_IPCQ_H

#include "engine/probe.h"

/* As kb_probe_run_on, for one of these cases; `out` has case, size and requester. */
int kb_probe_ipcq(kb_engine *engine, kb_probe *out, kb_err *err);

/* probe.c: fill in the route of a transaction. */
void kb_probe_watch(void *probe, const kb_txn *txn);

#endif

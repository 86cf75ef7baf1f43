/* How long a transaction takes on an idle machine, computed from the attributes of its path alone:
 * the oracle of the simulator, written without it.
 *
 * Semantics. A node's overhead (T3) is charged by every node that a transaction enters, not by the
 * one it starts from: once, on its first flit. Later flits may not be ready there before the first
 * was, but are not delayed otherwise. Hence, with nodes v = 0..L (0 the source, without overhead),
 * links k = 0..L-1 of occupancy o_k per full flit, and full flits i = 0, 1, ... that are all ready
 * at the source at once, flit i is ready at the end at
 *
 *     a(i) = sum T1 + sum o_k + max over v of (sum_{u<=v} overhead_u + i * max_{k>=v} o_k)
 *
 * (for v = L the second term is 0). That is T4's sum of overheads, propagation and occupancies plus
 * i * max o_k unless an overhead lies behind the slowest link: such an overhead is paid while the
 * stream queues before it, and is hidden.
 *
 * A write's pseudo-channel serves flits i, i', ... in order of a(i), each after the one before it;
 * as a(i) is convex in i and flits recur on a channel periodically, the first and the last period
 * decide when the last burst is committed. A read's flits are released by the channels at multiples
 * of the burst time, all channels together, and then pass the links as FIFOs in tandem; of the
 * groups that are released together the first and the last decide, by the same convexity. A shorter
 * last flit is followed on its own: it is faster, but stuck behind its predecessors. The port of a
 * TCM is one such channel; SRAM has none. Refresh and rows of HBM (hbm_ctrl.h) and finite buffers
 * (flow.h) are not in it: with them it is a lower bound. */
#ifndef KB_HW_CLOSED_FORM_H
#define KB_HW_CLOSED_FORM_H

#include "hw/machine.h"
#include "hw/txn.h"

/* total = command + overhead + propagation + wire + drain - hidden, exactly. */
typedef struct kb_formula {
    kb_time total;
    kb_time command;     /* the read's request or the write's acknowledgement: T1 and T3 */
    kb_time overhead;    /* of the nodes that data enters */
    kb_time propagation; /* of the data's links */
    kb_time wire;        /* the first flit's occupancy of every link */
    kb_time drain;       /* what follows: (flits - 1) x the slowest link, and the memory's bursts */
    kb_time hidden;      /* overhead that was paid while the stream queued anyhow */
    double bottleneck_gbs; /* least of the links and the memory */
    uint32_t hops;         /* links */
} kb_formula;

/* One contiguous run of `bytes` > 0 at `offset` of `memory`, as kb_txn_start would move it. Takes
 * O(hops^2 + flits in one turn over all channels x hops), whatever the size. Fails as kb_route
 * does. */
int kb_closed_form(kb_machine *m, kb_txn_op op, kb_node requester, kb_node memory, uint64_t offset,
                   uint64_t bytes, kb_formula *out, kb_err *err);

/* Whether the machine has refinements on which make it a lower bound. */
bool kb_closed_form_is_bound(const kb_machine *m);

#endif

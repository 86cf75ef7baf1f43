/* The passage of a train's flits over one link after the other (train.h), without events.
 *
 * Flit by flit it is the recurrence start = max(ready, free). Of flits that come in a rhythm
 * (series.h) it is enough to follow a turn or two, until a turn starts as much later than the one
 * before as its flits are ready later, or as the flits of a turn occupy the link: from then on all
 * turns repeat that, by induction. A link that works off a backlog first is followed flit by flit
 * for as long. */
#ifndef KB_HW_PASSAGE_H
#define KB_HW_PASSAGE_H

#include "hw/series.h"
#include "hw/train.h"

/* Move flits first..end, or those of them that are ready at hop h by `until`, over its link, which
 * is free from r->free on: times[i] becomes when flit i is ready behind it. Returns the first that
 * is not. */
uint32_t kb_pass(struct kb_txn *txn, uint32_t h, kb_reservation *r, uint32_t first, uint32_t end,
                 kb_time until, kb_time *times);

/* The same for all flits, whose times are a series. */
void kb_pass_all(struct kb_txn *txn, uint32_t h, kb_reservation *r, kb_series *times);

#endif

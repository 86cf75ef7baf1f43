/* Times of flits, one after another, most of which follow a rhythm.
 *
 * What streams undisturbed comes regularly: of bursts that go round eight pseudo-channels, every
 * eight flits some time after the eight before. So times stand one by one for the first flits only,
 * and perhaps for the last; each between them comes `step` after the flit `period` before it. */
#ifndef KB_HW_SERIES_H
#define KB_HW_SERIES_H

#include "sim/time.h"

typedef struct kb_series {
    kb_time *at;         /* by flit; means something before `head`, and from `tail` on */
    uint32_t head, tail; /* regular between them; equal if none is */
    uint32_t period;     /* at most `head`, if there are regular ones */
    kb_time step;
} kb_series;

static inline kb_time kb_series_at(const kb_series *s, uint32_t flit)
{
    if (flit < s->head || flit >= s->tail) return s->at[flit];
    uint32_t turns = (flit - s->head) / s->period + 1;
    return s->at[flit - turns * s->period] + turns * s->step;
}

/* Write down the times of all flits before `end`, of the regular ones. `head` stays. */
static inline void kb_series_write(const kb_series *s, uint32_t end)
{
    if (end > s->tail) end = s->tail;
    for (uint32_t i = s->head; i < end; i++) s->at[i] = s->at[i - s->period] + s->step;
}

/* Let all stand one by one. */
static inline void kb_series_expand(kb_series *s)
{
    kb_series_write(s, s->tail);
    s->head = s->tail;
}

/* Let those from `tail` on stand one by one. */
static inline void kb_series_cut(kb_series *s, uint32_t tail)
{
    if (tail >= s->tail) return;
    if (tail < s->head) tail = s->head;
    for (uint32_t i = tail; i < s->tail; i++) s->at[i] = kb_series_at(s, i);
    s->tail = tail;
}

#endif

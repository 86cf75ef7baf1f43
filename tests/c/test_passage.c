/* Flits in a rhythm (hw/series.h, hw/passage.h) against the same flits one by one. */
#include "hw/passage.h"
#include "random_machine.h"

enum { FLITS = 700, STOPS = 4 };

/* A transaction on three links of its own, of which nothing but the passage is looked at. */
typedef struct way {
    kb_machine m;
    kb_txn *txn;
    kb_time free[STOPS]; /* of each link */
    kb_time times[FLITS];
} way;

static void init_way(way *w, uint32_t flits)
{
    *w = (way){.txn = calloc(1, sizeof(kb_txn) + STOPS * sizeof(kb_hop))};
    w->txn->route = calloc(1, sizeof(kb_txn_route) + STOPS * sizeof(kb_stop));
    w->txn->m = &w->m;
    w->txn->request.rows = 1;
    w->txn->flits = w->txn->flits_per_row = flits;
    w->txn->flit_bytes = w->txn->row_tail = 256;
    for (int h = 0; h < STOPS; h++) w->txn->hops[h].first = KB_TIME_NEVER;
}

static void free_way(way *w)
{
    free(w->txn->route);
    free(w->txn);
}

static kb_time sum_of(const kb_time *times, uint32_t flits)
{
    kb_time sum = 0;
    for (uint32_t i = 0; i < flits; i++) sum = sum * 31 + times[i];
    return sum;
}

/* Both over all links: in a rhythm, and one by one. Returns over how many links there was one. */
static uint64_t expect_alike(way *w, const kb_series *series)
{
    kb_txn *t = w->txn;
    kb_series s = *series;
    static kb_time single[FLITS];
    for (uint32_t i = 0; i < t->flits; i++) single[i] = kb_series_at(series, i);
    for (uint32_t h = 0; h + 1 < STOPS; h++) {
        kb_reservation a = {.free = w->free[h]}, b = a;
        kb_pass(t, h, &a, 0, t->flits, KB_TIME_NEVER, single);
        kb_time first = t->hops[h + 1].first;
        t->hops[h + 1].first = KB_TIME_NEVER;
        kb_pass_all(t, h, &b, &s);
        assert_int_equal(t->hops[h + 1].first, first);
        assert_int_equal(a.waited, b.waited);
        assert_int_equal(a.last_left, b.last_left);
        for (uint32_t i = 0; i < t->flits; i++) assert_int_equal(kb_series_at(&s, i), single[i]);
    }
    kb_series_expand(&s);
    assert_int_equal(sum_of(s.at, t->flits), sum_of(single, t->flits));
    return w->m.regular_passages;
}

/* Eight channels release a burst each 10 ns; the links take 1, 1 and 2 ns for a flit. The third is
 * saturated, so its flits leave it 2 ns apart: 99 flits after the first, which comes out of the
 * other two 2 ns after its release. */
static void a_stream_passes_faster_and_slower_links(void **state)
{
    (void)state;
    way w;
    init_way(&w, 100);
    kb_time occupancy[] = {1000, 1000, 2000};
    for (int h = 0; h < 3; h++) w.txn->route->stops[h].flit_occupancy = occupancy[h];
    for (int i = 0; i < 8; i++) w.times[i] = 10000;
    kb_series s = {w.times, 8, 100, 8, 10000};
    assert_int_equal(expect_alike(&w, &s), 3);
    static kb_time again[FLITS];
    for (int i = 0; i < 8; i++) again[i] = 10000;
    s = (kb_series){again, 8, 100, 8, 10000};
    kb_reservation r = {0};
    for (uint32_t h = 0; h < 3; h++) {
        w.txn->hops[h + 1].first = KB_TIME_NEVER;
        r = (kb_reservation){0};
        kb_pass_all(w.txn, h, &r, &s);
    }
    assert_int_equal(kb_series_at(&s, 0), 10000 + 1000 + 1000 + 2000);
    assert_int_equal(kb_series_at(&s, 99), 10000 + 1000 + 1000 + 2000 + 99 * 2000);
    assert_int_equal(r.last_left, kb_series_at(&s, 99));
    assert_true(s.head <= 3 * 8);
    free_way(&w);
}

/* The link is taken until 50,000 ps. Flits come every 100 ps and take 90, so each makes up 10 ps:
 * the backlog lasts for 4,990 of them, and 700 are looked at. Behind it they are 90 ps apart, which
 * is no rhythm that was seen to begin. */
static void a_backlog_is_worked_off_flit_by_flit(void **state)
{
    (void)state;
    way w;
    init_way(&w, FLITS);
    for (int h = 0; h < 3; h++) w.txn->route->stops[h].flit_occupancy = 90;
    w.times[0] = 100;
    w.free[0] = 50000;
    kb_series s = {w.times, 1, FLITS, 1, 100};
    assert_int_equal(expect_alike(&w, &s), 0);
    free_way(&w);
}

static void random_links(way *w, kb_rng *rng, uint32_t period, kb_time step)
{
    for (int h = 0; h + 1 < STOPS; h++) {
        kb_stop *stop = &w->txn->route->stops[h];
        stop->flit_occupancy = 1 + kb_rng_below(rng, 2000);
        if (kb_rng_below(rng, 3) == 0) stop->flit_occupancy = step / period + 1;
        stop->gbs = 256000.0 / (double)stop->flit_occupancy;
        stop->propagation = kb_rng_below(rng, 3000);
        stop[1].overhead = kb_rng_below(rng, 2) ? kb_rng_below(rng, 20000) : 0;
        w->free[h] = kb_rng_below(rng, 3) ? 0 : kb_rng_below(rng, 200000);
    }
}

static void random_series_pass_as_their_flits_do(void **state)
{
    (void)state;
    kb_rng rng = {5};
    uint64_t regular = 0, all = 0;
    for (int i = 0; i < 20000; i++) {
        way w;
        init_way(&w, 1 + kb_rng_below(&rng, kb_rng_below(&rng, 10) ? 100 : FLITS));
        uint32_t flits = w.txn->flits, period = 1 + kb_rng_below(&rng, 16);
        if (kb_rng_below(&rng, 3) == 0) w.txn->row_tail = 1 + kb_rng_below(&rng, 256);
        if (flits % 3 == 0 && kb_rng_below(&rng, 4) == 0) {
            w.txn->request.rows = 3;
            w.txn->flits_per_row = flits / 3;
        }
        kb_series s = {w.times, period, flits, period, 0};
        if (s.head > flits) s.head = flits;
        if (kb_rng_below(&rng, 4) == 0 && s.head + 3 < flits)
            s.tail = flits - kb_rng_below(&rng, 3);
        kb_time time = kb_rng_below(&rng, 10000), first = time;
        for (uint32_t k = 0; k < s.head; k++)
            w.times[k] = time += kb_rng_below(&rng, 2) * kb_rng_below(&rng, 900);
        s.step = time - first + kb_rng_below(&rng, 2) * kb_rng_below(&rng, 5000);
        for (uint32_t k = s.tail; k < flits; k++)
            w.times[k] = kb_series_at(&s, k - 1) + kb_rng_below(&rng, 5000);
        random_links(&w, &rng, period, s.step);
        regular += expect_alike(&w, &s);
        all += w.m.passages;
        free_way(&w);
    }
    assert_true(regular > all / 3);
    assert_true(regular < all);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stream_passes_faster_and_slower_links),
        cmocka_unit_test(a_backlog_is_worked_off_flit_by_flit),
        cmocka_unit_test(random_series_pass_as_their_flits_do),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

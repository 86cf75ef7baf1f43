/* What must hold among the probes of one machine. */
#include <stdio.h>
#include <string.h>

#include "engine/probe.h"

typedef struct judge {
    const kb_probe *probes;
    size_t count;
    kb_invariant *to; /* the one being judged */
} judge;

/* Rounding of occupancies to picoseconds may make a link faster than its bandwidth by this part. */
static const double rounding = 1e-3;

static void hold(judge *j, bool ok, const kb_probe *a, const kb_probe *b)
{
    kb_invariant *to = j->to;
    to->judged++;
    if (ok || !to->ok) return;
    to->ok = false;
    int used =
        snprintf(to->detail, sizeof to->detail, "%s of %llu B: %.3f ns", kb_probe_name(a->which),
                 (unsigned long long)a->bytes, kb_time_ns(a->actual));
    if (b)
        snprintf(to->detail + used, sizeof to->detail - (size_t)used, ", %s of %llu B: %.3f ns",
                 kb_probe_name(b->which), (unsigned long long)b->bytes, kb_time_ns(b->actual));
}

static void agree(judge *j)
{
    for (size_t i = 0; i < j->count; i++) {
        const kb_probe *p = &j->probes[i];
        bool ok = p->bound ? p->actual >= p->formula.total : p->actual == p->formula.total;
        if (p->absent || ok) {
            j->to->judged += !p->absent;
            continue;
        }
        hold(j, false, p, NULL);
        size_t used = strlen(j->to->detail);
        snprintf(j->to->detail + used, sizeof j->to->detail - used, ", formula %.3f ns",
                 kb_time_ns(p->formula.total));
    }
}

/* Whether names agree up to their second dot: "sip0.cube5." */
static bool same_die(const char *a, const char *b)
{
    for (int dots = 0; *a && *a == *b; a++, b++)
        if (*a == '.' && ++dots == 2) return true;
    return *a == *b;
}

/* Links between dies that a probe's data passes: UCIe, PCIe, fabric. */
static uint32_t crossings(const kb_probe *p)
{
    uint32_t count = 0;
    for (size_t i = 1; i < p->route.count; i++)
        count += !same_die(p->route.data[i - 1].node, p->route.data[i].node);
    return count;
}

/* Every `near` probe takes at most (or less than) the time of the `far` one of the same size, reads
 * and writes alike. `fewer`: judged only where the near one passes fewer links, and fewer between
 * dies. */
static void nearer(judge *j, kb_probe_case near, kb_probe_case far, bool strictly, bool fewer)
{
    for (size_t i = 0; i < j->count; i++)
        for (size_t k = 0; k < j->count; k++) {
            const kb_probe *a = &j->probes[i], *b = &j->probes[k];
            bool reads = a->which == near && b->which == far;
            bool writes = a->which == near + 1 && b->which == far + 1;
            if ((!reads && !writes) || a->bytes != b->bytes || a->absent || b->absent) continue;
            if (fewer && (a->formula.hops >= b->formula.hops || crossings(a) >= crossings(b)))
                continue;
            hold(j, strictly ? a->actual < b->actual : a->actual <= b->actual, a, b);
        }
}

static void grows(judge *j)
{
    for (size_t i = 0; i < j->count; i++)
        for (size_t k = 0; k < j->count; k++) {
            const kb_probe *a = &j->probes[i], *b = &j->probes[k];
            /* A nearest or farthest memory may be another one at another size. */
            if (a->absent || b->absent || a->which != b->which || a->memory != b->memory) continue;
            if (a->bytes < b->bytes) hold(j, a->actual <= b->actual, a, b);
        }
}

/* Twice the bytes could be moved by two transactions one after the other. */
static void doubles(judge *j)
{
    for (size_t i = 0; i < j->count; i++)
        for (size_t k = 0; k < j->count; k++) {
            const kb_probe *a = &j->probes[i], *b = &j->probes[k];
            if (a->absent || b->absent || a->which != b->which || a->memory != b->memory) continue;
            if (2 * a->bytes == b->bytes) hold(j, b->actual <= 2 * a->actual, a, b);
        }
}

static void within_bandwidth(judge *j)
{
    for (size_t i = 0; i < j->count; i++) {
        const kb_probe *p = &j->probes[i];
        if (!p->absent) hold(j, p->utilization <= 1 + rounding, p, NULL);
    }
}

static void begin(judge *j, kb_invariant *to, const char *name)
{
    *to = (kb_invariant){.name = name, .ok = true};
    j->to = to;
}

void kb_probe_invariants(const kb_probe *probes, size_t count,
                         kb_invariant out[KB_PROBE_INVARIANTS])
{
    judge j = {.probes = probes, .count = count};
    bool bound = false;
    for (size_t i = 0; i < count; i++) bound = bound || probes[i].bound;
    begin(&j, out++,
          bound ? "simulated time is not below the closed form, which knows no refinements"
                : "simulated time equals the closed form");
    agree(&j);
    begin(&j, out++, "a PE's own slice is not farther than any other of its half");
    nearer(&j, KB_PROBE_LOCAL_READ, KB_PROBE_SAME_HALF_READ, false, false);
    begin(&j, out++, "a slice of the own half is not farther than one of the other");
    nearer(&j, KB_PROBE_SAME_HALF_READ, KB_PROBE_CROSS_HALF_READ, false, false);
    nearer(&j, KB_PROBE_LOCAL_READ, KB_PROBE_CROSS_HALF_READ, false, false);
    begin(&j, out++, "the other half is not farther than the nearest other cube");
    nearer(&j, KB_PROBE_CROSS_HALF_READ, KB_PROBE_CROSS_CUBE_BEST_READ, false, false);
    nearer(&j, KB_PROBE_LOCAL_READ, KB_PROBE_CROSS_CUBE_BEST_READ, false, false);
    begin(&j, out++, "the nearest other cube is not farther than the farthest");
    nearer(&j, KB_PROBE_CROSS_CUBE_BEST_READ, KB_PROBE_CROSS_CUBE_WORST_READ, false, false);
    /* The far corner of a wide SIP can be farther than all of the next one, whose cubes are entered
     * over the PHY in line with them. */
    begin(&j, out++, "another SIP is farther than any cube of the own that fewer links lead to");
    nearer(&j, KB_PROBE_CROSS_CUBE_BEST_READ, KB_PROBE_CROSS_SIP_READ, true, true);
    nearer(&j, KB_PROBE_CROSS_CUBE_WORST_READ, KB_PROBE_CROSS_SIP_READ, true, true);
    begin(&j, out++, "more bytes never take less time");
    grows(&j);
    begin(&j, out++, "twice the bytes take at most twice the time");
    doubles(&j);
    begin(&j, out++, "no transfer exceeds the bandwidth of its slowest part");
    within_bandwidth(&j);
}

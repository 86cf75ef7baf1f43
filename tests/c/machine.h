/* A machine and its event kernel, for tests: from the default tables, one IO chiplet on the north
 * side, and `--set` overrides. */
#ifndef KB_TESTS_MACHINE_H
#define KB_TESTS_MACHINE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "hw/closed_form.h"
#include "hw/machine.h"
#include "hw/pe/pe.h"
#include "hw/txn.h"
#include "topo/names.h"

typedef struct bed {
    kb_sim *sim;
    kb_spec *spec;
    kb_machine *m;
} bed;

/* `sets` ends with NULL. Returns the status; the bed is empty unless it is 0. */
static inline int bed_try(bed *b, const char *yaml, const char *const *sets, kb_err *err)
{
    char path[] = "/tmp/kb_test_XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    FILE *file = fdopen(fd, "w");
    fputs(yaml, file);
    fclose(file);
    kb_section sections[KB_SECTION_MAX];
    size_t count = kb_machine_sections(sections), set_count = 0;
    while (sets && sets[set_count]) set_count++;
    kb_spec_source source = {path, sets, set_count, sections, count};
    *b = (bed){0};
    int status = kb_spec_load(&b->spec, &source, err);
    unlink(path);
    if (status) return status;
    b->sim = kb_sim_create();
    status = kb_machine_create(&b->m, b->sim, b->spec, err);
    if (!status) return KB_OK;
    kb_sim_destroy(b->sim);
    kb_spec_destroy(b->spec);
    *b = (bed){0};
    return status;
}

#define DEFAULT_YAML "sip:\n  io_chiplets:\n    - side: N\n"

static inline bed bed_yaml(const char *yaml, const char *const *sets)
{
    bed b;
    kb_err err = {0};
    if (!bed_try(&b, yaml, sets, &err)) return b;
    fail_msg("%s", err.text);
    abort(); /* not reached; says so to analyzers */
}

/* bed_make("cube.noc.rows=4", "cube.noc.cols=4") and so on. */
#define bed_make(...) bed_yaml(DEFAULT_YAML, (const char *const[]){__VA_ARGS__, NULL})
#define bed_default() bed_yaml(DEFAULT_YAML, NULL)

static inline void bed_close(bed *b)
{
    kb_machine_destroy(b->m);
    kb_sim_destroy(b->sim);
    kb_spec_destroy(b->spec);
}

static inline kb_node node_of(const bed *b, const char *name)
{
    kb_node node = kb_node_parse(b->m->graph, name);
    if (node == KB_NO_NODE) fail_msg("there is no node %s", name);
    return node;
}

static inline void note_time(kb_sim *sim, void *object, uint64_t arg)
{
    (void)arg;
    *(kb_time *)object = sim->now;
}

static inline void run_all(bed *b)
{
    assert_int_equal(kb_sim_run(b->sim, KB_TIME_NEVER, UINT64_MAX), KB_RUN_EMPTY);
    assert_int_equal(b->m->txns_started, b->m->txns_completed);
    assert_int_equal(b->m->flits_injected, b->m->flits_delivered);
}

/* Start a transaction now whose completion time goes to `ended`. */
static inline void begin_txn(bed *b, kb_txn_op op, kb_node requester, kb_node memory,
                             uint64_t offset, uint64_t bytes, kb_time *ended)
{
    kb_txn_request request = {.op = op,
                              .requester = requester,
                              .memory = memory,
                              .offset = offset,
                              .rows = 1,
                              .row_bytes = bytes,
                              .done = note_time,
                              .object = ended};
    kb_err err = {0};
    *ended = KB_TIME_NEVER;
    if (kb_txn_start(b->m, &request, &err)) fail_msg("%s", err.text);
}

/* How long one transaction takes if nothing else runs. */
static inline kb_time time_txn(bed *b, kb_txn_op op, const char *requester, const char *memory,
                               uint64_t offset, uint64_t bytes)
{
    kb_time ended, began = b->sim->now;
    begin_txn(b, op, node_of(b, requester), node_of(b, memory), offset, bytes, &ended);
    run_all(b);
    return ended - began;
}

#endif

/* What a hardware component is to the machine.
 *
 * A class declares the parameters of one kind of node (its section of topology.yaml), what happens
 * when a flit is ready there, and, for memories, when a read request arrives. Its configuration is
 * read once per machine; instances hold only state and are created on first use, so that idle
 * hardware costs nothing. Routers and their like have no state: their class is a table and a
 * forwarding function.
 *
 * Each class is one file of this folder; impl.c lists them. A kind may have alternatives, which
 * share its section and configuration: to add one, write a class with `impl` set, list it in
 * impl.c, and choose it in topology.yaml for single nodes (`overrides`) or, if the kind has a
 * parameter `impl`, for all. hbm_flat.c shows it. */
#ifndef KB_HW_DEVICE_H
#define KB_HW_DEVICE_H

#include "base/err.h"
#include "hw/train.h"
#include "sim/sim.h"
#include "topo/graph.h"

struct kb_machine;
struct kb_txn;
typedef struct kb_device kb_device;

typedef struct kb_moved {
    uint64_t read, written; /* bytes */
} kb_moved;

typedef struct kb_device_class {
    kb_kind kind;
    const char *impl; /* name of an alternative; NULL: what a node of the kind is by default */
    const char *help; /* one sentence for the topology reference */
    const kb_param *params; /* of the section kb_kind_section(kind) */

    /* Fill a zeroed block of config_size from the specification; NULL when there is nothing. */
    size_t config_size;
    int (*configure)(struct kb_machine *m, const kb_spec *spec, void *config, kb_err *err);

    /* Instances: state_size(config) bytes beginning with a kb_device, zeroed; NULL: no state. */
    size_t (*state_size)(const void *config);
    void (*init)(kb_device *device, const void *config);
    void (*fini)(kb_device *device);

    /* A flit is ready here: kb_txn_forward in transit, else the end of a transaction's way.
     * `object` is the kb_txn; `arg` packs hop and flit (txn.h). */
    kb_event_fn transit, receive;

    /* A memory that nothing but transactions makes use of: take over a written flit that has been
     * ready here since `when`, perhaps in the past, and return when it is committed. Its `receive`
     * is kb_txn_commit. */
    kb_time (*commit)(kb_device *device, struct kb_txn *txn, uint32_t flit, kb_time when);

    /* The request of a read has arrived at this memory: release its flits. */
    void (*request)(kb_device *device, struct kb_txn *txn);

    /* Memories: bytes that this one has taken and given so far. */
    kb_moved (*moved)(const kb_device *device);
} kb_device_class;

/* First member of every instance. */
struct kb_device {
    const kb_device_class *class;
    struct kb_machine *m;
    kb_node node;
    kb_track track; /* of those that commit */
};

#endif

/* One simulation: machine, addresses, contents, processes.
 *
 * The engine owns everything of a run. Tensors, launches and kernel operations are in files of
 * their own beside this one. Only kb_engine_run executes events. */
#ifndef KB_ENGINE_ENGINE_H
#define KB_ENGINE_ENGINE_H

#include "addr/vaspace.h"
#include "base/depot.h"
#include "base/pool.h"
#include "data/memory.h"
#include "data/oplog.h"
#include "engine/proc.h"
#include "hw/machine.h"

typedef struct kb_engine {
    kb_sim *sim;
    kb_spec *spec;
    kb_machine *m;
    kb_vaspace va;
    struct kb_cube_memory **cube_memory; /* device_memory.h: by sip * cubes + cube, lazily */
    kb_memory memory;
    kb_oplog *log;
    bool data; /* numbers are computed */

    kb_proc *procs;
    uint32_t proc_count;
    uint32_t spawn_count; /* groups of workers so far */

    struct kb_launch *launches, *last_launch; /* all, in the order of submission */
    uint32_t launch_count;
    struct kb_ipcq_work *ipcq_work; /* installations and removals under way */
    struct kb_ipcq_plan *ipcq;      /* queues between PEs: installed plans, the latest first */
    kb_pool op_pool, comm_pool, proc_pool; /* operations of kernels: under way, or held */
    struct kb_rooms *spare_rooms;          /* kernel_room.c: records that no kernel uses */
    kb_depot *tiles, *values; /* those of kernels; Lua may hold some longer than the engine */
    struct kb_tensor *tensors;
    struct kb_host_work *host_work; /* under way */
    uint64_t tensor_count;
    uint64_t host_bytes_written, host_bytes_read;
    uint64_t submissions; /* of work to the device: launches and transfers */
} kb_engine;

typedef struct kb_engine_options {
    const char *topology;
    const char *const *sets;
    size_t set_count;
    bool data;
    int data_threads; /* that compute numbers, beside the caller's own */
} kb_engine_options;

int kb_engine_create(kb_engine **out, const kb_engine_options *options, kb_err *err);
void kb_engine_destroy(kb_engine *engine);

/* Called between events, every few million of them. */
typedef void (*kb_progress)(void *user, const kb_engine *engine);

/* Run until nothing is pending, someone stops it, or a limit is reached. `progress` may be null. */
kb_run_end kb_engine_run(kb_engine *engine, kb_time max_time, uint64_t max_events,
                         kb_progress progress, void *user);

/* Make all numbers of what has completed in simulated time available. */
int kb_engine_settle(kb_engine *engine, kb_err *err);

/* Make the numbers of one value available, without waiting for others. */
int kb_engine_settle_value(kb_engine *engine, const kb_value *value, kb_err *err);

#endif

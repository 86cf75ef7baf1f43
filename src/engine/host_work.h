/* What one call of the host has under way between it and the device: the messages and transactions
 * of mapping, reading or writing a tensor.
 *
 * It counts them down; the caller waits for `done`. It belongs to everybody who holds a reference,
 * and to itself while anything is under way, so a caller that is stopped in the middle just lets
 * go. The tensor stays as long. */
#ifndef KB_ENGINE_HOST_WORK_H
#define KB_ENGINE_HOST_WORK_H

#include "engine/tensor.h"

/* The message that maps a tensor for a SIP, or unmaps it. */
typedef struct kb_map_message {
    kb_msg msg;
    struct kb_host_work *work;
    bool map;
    uint64_t *applied; /* bit per cube: its PEs share one table */
} kb_map_message;

typedef struct kb_host_work {
    kb_engine *engine;                /* null once it is gone */
    struct kb_host_work *prev, *next; /* of the engine */
    uint32_t refs;
    kb_tensor *tensor; /* null when done */
    kb_completion done;
    kb_time started, ended;
    uint64_t bytes;
    kb_map_message *maps; /* or null */
    uint32_t map_count;
} kb_host_work;

/* With one reference, the caller's. Without parts it is done from the start. */
kb_host_work *kb_host_work_create(kb_tensor *tensor, uint32_t parts);
kb_host_work *kb_host_work_retain(kb_host_work *work);
void kb_host_work_release(kb_host_work *work); /* null is fine */

/* An event: one part of the work (the object) is done. */
void kb_host_work_part(kb_sim *sim, void *work, uint64_t arg);

/* The engine ends: nothing will complete any more. */
void kb_host_work_drop_all(kb_engine *engine);

#endif

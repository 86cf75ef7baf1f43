/* Device tensors: where their parts are, and moving them to and from the host.
 *
 * A tensor lives on one SIP. It is cut into pieces (rectangles of elements that cover it); a piece
 * has one or more shards, copies of it in the HBM slices of PEs. It has one contiguous virtual
 * range, in which every piece begins on a page; each PE sees its own copy of a piece if it has one,
 * else one of its cube, else the first. Mapping is a message to every PE of the SIP. */
#ifndef KB_ENGINE_TENSOR_H
#define KB_ENGINE_TENSOR_H

#include "engine/engine.h"
#include "hw/msg.h"

typedef struct kb_tensor_piece {
    size_t start[KB_MAX_RANK], extent[KB_MAX_RANK];
    kb_vaddr va;
    uint64_t bytes;
    uint32_t first_shard; /* the copy that the host reads */
} kb_tensor_piece;

typedef struct kb_shard {
    int cube, pe;
    uint32_t piece;
    kb_paddr pa;
} kb_shard;

typedef struct kb_tensor {
    kb_engine *engine;
    struct kb_tensor *prev, *next;
    char *name;
    int sip;
    kb_dtype dtype;
    int rank;
    size_t shape[KB_MAX_RANK];
    kb_vaddr va;
    uint64_t bytes; /* of all elements, once */
    kb_tensor_piece *pieces;
    uint32_t piece_count;
    kb_shard *shards; /* sorted by cube and PE, at most one for each */
    uint32_t shard_count;
    bool mapped;
} kb_tensor;

typedef struct kb_tensor_desc {
    const char *name; /* null: made up */
    int sip;
    kb_dtype dtype;
    int rank;
    const size_t *shape;
    const kb_tensor_piece *pieces; /* start and extent filled in */
    uint32_t piece_count;
    const kb_shard *shards; /* cube, pe and piece filled in */
    uint32_t shard_count;
} kb_tensor_desc;

/* Take addresses and memory. KB_EINVAL for a description that makes no sense, KB_ENOSPC when a
 * slice or the virtual space is full, KB_ELIMIT when the host's memory is. */
int kb_tensor_create(kb_engine *engine, const kb_tensor_desc *desc, kb_tensor **out, kb_err *err);

/* Give everything back at once, without a message: for collected tensors and the end. */
void kb_tensor_destroy(kb_tensor *tensor);
void kb_tensor_free_all(kb_engine *engine);

/* The shard of a PE, or NULL. */
const kb_shard *kb_tensor_shard_of(const kb_tensor *tensor, int cube, int pe);

/* ---- work under way between host and device ---- */

/* Counts down the messages and transactions of one host call; the caller waits for `done`, then
 * finishes it. */
typedef struct kb_host_work {
    kb_engine *engine;
    kb_tensor *tensor;
    kb_completion done;
    kb_time started, ended;
    uint64_t bytes;
    kb_msg msg;
    uint64_t *applied; /* bit per cube */
} kb_host_work;

/* Start mapping (or unmapping) the tensor in the MMUs of its SIP. */
kb_host_work *kb_tensor_map(kb_tensor *tensor, bool map);

/* Start writing every shard / reading one shard of every piece over the fabric. */
int kb_tensor_start_write(kb_tensor *tensor, kb_host_work **out, kb_err *err);
int kb_tensor_start_read(kb_tensor *tensor, kb_host_work **out, kb_err *err);
void kb_host_work_free(kb_host_work *work);

/* Contents, after the transfer: settle the op log, then copy. No time passes. `array` has the
 * tensor's shape and type. */
int kb_tensor_scatter(kb_tensor *tensor, const kb_array *array, kb_err *err);
int kb_tensor_gather(kb_tensor *tensor, kb_array **out, kb_err *err);

#endif

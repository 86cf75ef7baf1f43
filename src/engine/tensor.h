/* Device tensors: where their parts are, and moving them to and from the host.
 *
 * A tensor lives on one SIP. It is cut into pieces (rectangles of elements that cover it); a piece
 * has one or more shards, copies of it in the HBM slice, the SRAM or the TCM of PEs. In SRAM, the
 * PEs of a cube share one copy. It has one contiguous virtual range. Where the pieces, one after
 * another, are the tensor in row-major order, they adjoin there; otherwise each begins on a page.
 * Each PE sees its own copy of a piece if it has one, else one of its cube, else the first.
 *
 * Mapping is a message to every PE of a SIP: of the tensor's own when it is made, of another before
 * its PEs use it. A PE there sees what the PE with its numbers sees on the tensor's SIP. */
#ifndef KB_ENGINE_TENSOR_H
#define KB_ENGINE_TENSOR_H

#include "engine/device_memory.h"
#include "engine/engine.h"
#include "hw/msg.h"

struct kb_host_work;

typedef struct kb_tensor_piece {
    size_t start[KB_MAX_RANK], extent[KB_MAX_RANK];
    kb_vaddr va;
    uint64_t bytes;
    uint32_t first_shard; /* the copy that the host reads */
} kb_tensor_piece;

typedef struct kb_shard {
    int cube, pe;
    uint32_t piece;
    bool shared; /* the memory is that of the shard before it in this cube with that piece */
    kb_paddr pa;
} kb_shard;

typedef enum kb_map_state { KB_UNMAPPED, KB_MAP_CHANGES, KB_MAPPED } kb_map_state;

typedef struct kb_tensor {
    kb_engine *engine;
    struct kb_tensor *prev, *next;
    char *name;
    int sip;
    kb_memory_kind memory;
    kb_dtype dtype;
    int rank;
    size_t shape[KB_MAX_RANK];
    kb_vaddr va;
    uint64_t bytes; /* of all elements, once */
    bool row_major; /* as one block in virtual memory: pieces adjoin, in order */
    bool padded;
    kb_tensor_piece *pieces;
    uint32_t piece_count;
    kb_shard *shards; /* sorted by cube and PE, at most one for each */
    uint32_t shard_count;
    unsigned char *maps;  /* kb_map_state by SIP */
    kb_page_block *block; /* where all PEs see the same, once it has been mapped; else null */
    uint32_t users;       /* launches and host work under way */
    bool doomed;          /* to be destroyed when nobody uses it any more */
} kb_tensor;

typedef struct kb_tensor_desc {
    const char *name; /* null: made up */
    int sip;
    kb_memory_kind memory;
    kb_dtype dtype;
    int rank;
    const size_t *shape;
    const kb_tensor_piece *pieces; /* start and extent filled in */
    uint32_t piece_count;
    const kb_shard *shards; /* cube, pe and piece filled in */
    uint32_t shard_count;
    bool padded; /* cut by rows for more PEs than may have some: the others have an empty part */
} kb_tensor_desc;

/* Take addresses and memory. KB_EINVAL for a description that makes no sense, KB_ENOSPC when a
 * memory or the virtual space is full, KB_ELIMIT when the host's memory is. */
int kb_tensor_create(kb_engine *engine, const kb_tensor_desc *desc, kb_tensor **out, kb_err *err);

/* Unmap and give everything back without a message, now or when the last user is done: for
 * collected tensors. */
void kb_tensor_destroy(kb_tensor *tensor);
void kb_tensor_free_all(kb_engine *engine); /* the engine ends */

/* Somebody uses it until he says that he does not. */
void kb_tensor_use(kb_tensor *tensor);
void kb_tensor_unuse(kb_tensor *tensor);

/* The shard of a PE, or NULL. */
const kb_shard *kb_tensor_shard_of(const kb_tensor *tensor, int cube, int pe);

/* The piece that a PE gets a pointer to: its own; else KB_NO_PIECE if the tensor is padded and
 * row-major; else the only one of its cube, or of the tensor. False if neither is. */
#define KB_NO_PIECE UINT32_MAX
bool kb_tensor_piece_of(const kb_tensor *tensor, int cube, int pe, uint32_t *piece);

/* Host memory that its contents take. */
uint64_t kb_tensor_host_bytes(const kb_tensor *tensor);

/* ---- work under way between host and device; the caller gets a reference, see host_work.h ---- */

/* Map the tensor in the MMUs of a SIP: the work that does so, whoever began it; NULL if it is
 * mapped there. Not while it is being unmapped. */
struct kb_host_work *kb_tensor_map(kb_tensor *tensor, int sip);

/* Unmap it wherever it is mapped; nobody else must use it. */
struct kb_host_work *kb_tensor_unmap(kb_tensor *tensor);

/* Start writing the elements of a region into every copy / reading them from one, over the fabric.
 * Only their bytes move. The region lies inside the tensor; NULL means all of it. */
int kb_tensor_start_write(kb_tensor *tensor, const kb_region *region, struct kb_host_work **out,
                          kb_err *err);
int kb_tensor_start_read(kb_tensor *tensor, const kb_region *region, struct kb_host_work **out,
                         kb_err *err);

/* Contents, after the transfer: settle the op log, then copy. No time passes. `array` has the
 * region's extents and the tensor's type. */
int kb_tensor_scatter(kb_tensor *tensor, const kb_region *region, const kb_array *array,
                      kb_err *err);
int kb_tensor_gather(kb_tensor *tensor, const kb_region *region, kb_array **out, kb_err *err);

/* Private to tensor*.c: unmap on every SIP, without a message. */
void kb_tensor_forget_maps(kb_tensor *tensor);

#endif

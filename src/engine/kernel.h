/* What a kernel instance can do: operations on tiles and memory, issued to its PE.
 *
 * A tile is an immutable value in the PE's TCM. Its room is taken when the operation that makes it
 * is issued and given back when the last holder lets go, or when the kernel ends.
 *
 * An operation is issued, runs, and completes; its numbers take effect in the op log at completion.
 * Whoever issued it holds it until released and may wait for it. Checks (shapes, mappings, room in
 * TCM) happen at the issue and fail there. */
#ifndef KB_ENGINE_KERNEL_H
#define KB_ENGINE_KERNEL_H

#include "data/oplog.h"
#include "engine/engine.h"
#include "hw/pe/tile.h"

/* Of a tile that lies in a slot of a ring. */
typedef struct kb_tile_slot {
    struct kb_ipcq_ring *ring;
    uint32_t epoch, slot;
} kb_tile_slot;

/* In one cache line: kernels make and drop a tile with every operation. */
typedef struct kb_tile {
    uint32_t refs;
    bool has_room;   /* of its own in TCM, at addr */
    bool given_back; /* it lay in a slot, which is no longer its own */
    kb_value *value;
    kb_proc *owner; /* null once the kernel has ended or the room is given back */
    union {
        struct kb_tile *prev; /* of the owner's tiles */
        kb_depot *home;       /* without an owner: of its block */
    };
    struct kb_tile *next;
    union {
        uint64_t addr;
        struct kb_tile *parent; /* of a view, whose room is the parent's; or null */
    };
    kb_tile_slot *slot;  /* it lies in a slot of a ring, and holds itself (kernel_ipcq.h) */
    const char *made_by; /* "tl.load", for the list of what is live */
} kb_tile;

/* KB_ENOSPC when TCM is full: names the PE and lists the largest live tiles. */
int kb_tile_create(kb_proc *proc, kb_dtype dtype, int rank, const size_t *shape,
                   const char *made_by, kb_tile **out, kb_err *err);
/* The same room under another shape. Takes over the value. */
kb_tile *kb_tile_view(kb_tile *tile, kb_value *value, const char *made_by);
/* One that takes no room: its bytes lie where somebody else has taken it. Takes over the value. */
kb_tile *kb_tile_without_room(kb_proc *proc, kb_value *value, const char *made_by);
kb_tile *kb_tile_retain(kb_tile *tile);

/* Until its kernel ends, a view has a parent. */
static inline bool kb_tile_is_view(const kb_tile *tile)
{
    return !tile->has_room && tile->parent;
}

void kb_tile_release(kb_tile *tile);

/* Where somebody keeps the issuer's reference to an operation whose completion and result are all
 * that is wanted. */
typedef struct kb_op_holder {
    struct kb_op *op; /* null from the completion on, if there is neither a result nor a failure, */
    bool complete;    /* and from the end of the engine on */
} kb_op_holder;

/* Thousands are under way, so what every operation uses comes first. */
typedef struct kb_op {
    uint32_t refs;
    kb_stage stage; /* in the record of stages; KB_STAGE_COUNT: not there */
    bool in_effect; /* its numbers are: nothing is left to append to the op log */
    bool logs;      /* `log` is filled in */
    kb_engine *engine;
    kb_proc *proc;                       /* null once it has ended */
    struct kb_op *proc_prev, *proc_next; /* under way for that process */
    kb_pe *pe;
    kb_op_holder *holder; /* or null */
    kb_completion done;
    kb_tile *result; /* or null */
    const char *what;
    kb_time issued;                     /* when pe_cpu could go on */
    kb_time dispatched, began, ended;   /* began: of a vector operation, when pe_math took it up */
    kb_pieces pieces;                   /* of a load or store: moved to pe_dma at dispatch */
    kb_command_label label;             /* for the record of stages */
    struct kb_comm *comm;               /* of communication (kernel_ipcq.h), or null */
    kb_err *failure;                    /* found on the way; whoever waits for it raises it */
    kb_tile *inputs[KB_COMPUTE_INPUTS]; /* held until completion */
    kb_tile_step *steps;                /* of the composite's epilogue */
    kb_vec(kb_tile *) held;             /* operands of the epilogue, until completion */
    /* Large, and not cleared when an operation is created: who wants them sets all of them. */
    kb_composite composite;
    kb_log_entry log;
} kb_op;

kb_op *kb_op_retain(kb_op *op);
void kb_op_release(kb_op *op);

/* The holder takes over a reference, and lets go of it again. */
void kb_op_hold(kb_op_holder *holder, kb_op *op);
void kb_op_let_go(kb_op_holder *holder);

/* The memory that a load or store touches. The regions, one after another, hold the elements of the
 * tile in order; with a mask, those whose byte is 1. */
typedef struct kb_access {
    const kb_va_region *regions;
    size_t count;
    const uint8_t *mask; /* borrowed; or null: all elements */
    kb_value *other;     /* of a masked load: what the other elements are; or null: 0 */
} kb_access;

/* A tile of that shape from memory. */
int kb_kernel_load(kb_proc *proc, const kb_access *from, kb_dtype dtype, int rank,
                   const size_t *shape, kb_op **out, kb_err *err);
int kb_kernel_store(kb_proc *proc, const kb_access *to, kb_tile *tile, kb_op **out, kb_err *err);

/* What an atomic operation combines with memory: values of its type that broadcast to its shape,
 * from tiles or, then without one, constants. */
typedef struct kb_atomic_operands {
    kb_atomic_op op;
    const char *what; /* static text, "tl.atomic_add" */
    kb_value *value;
    kb_value *compare; /* of compare and swap, else null */
    kb_tile *value_tile, *compare_tile;
} kb_atomic_operands;

/* Performed at the memory; the result is a tile of what was there before, 0 where masked off. */
int kb_kernel_atomic(kb_proc *proc, const kb_access *at, const kb_atomic_operands *operands,
                     kb_dtype dtype, int rank, const size_t *shape, kb_op **out, kb_err *err);

/* A row-major matrix operand: a tile, or memory. */
typedef struct kb_matrix_arg {
    kb_tile *tile; /* or null */
    kb_vaddr va;
    uint64_t stride; /* bytes between rows */
} kb_matrix_arg;

/* A step of a composite's epilogue. */
typedef enum kb_step_kind {
    KB_PRODUCT_NAMED,   /* name */
    KB_PRODUCT_OPERAND, /* op, operand, dtype, row */
    KB_PRODUCT_SCALE,   /* factor */
    KB_PRODUCT_CAST     /* dtype */
} kb_step_kind;

typedef struct kb_product_step {
    kb_step_kind kind;
    const char *name; /* for messages, too */
    kb_binary_op op;
    kb_matrix_arg operand; /* M x N, or N elements: a row */
    bool row;
    kb_dtype dtype;
    double factor;
} kb_product_step;

typedef struct kb_product {
    uint32_t M, K, N;
    kb_dtype in_a, in_b, out_type;
    bool b_transposed; /* b is N x K, as it lies */
    kb_matrix_arg a, b;
    kb_matrix_arg out; /* neither tile nor va: a new tile in TCM */
    kb_tile *acc;      /* or null; of the accumulator's type */
    const kb_product_step *steps;
    int step_count;
    const char *what;
} kb_product;

int kb_kernel_product(kb_proc *proc, const kb_product *product, kb_op **out, kb_err *err);

/* One operation of the vector engine: `compute` has kind, parameters and `in_count`; its values are
 * taken from the input tiles, a null tile standing for the constant in `constants`. The result is a
 * new tile. An operation that moves nothing (a reshape) is done at once and gives no operation:
 * then *out is null and *view has the tile. */
int kb_kernel_compute(kb_proc *proc, kb_compute *compute, kb_tile *const inputs[KB_COMPUTE_INPUTS],
                      const char *what, kb_op **out, kb_tile **view, kb_err *err);

/* A kernel ends: give back its TCM, and drop the effects of operations that it leaves under way. */
void kb_kernel_forget(kb_proc *proc);

void kb_kernel_free_all(kb_engine *engine);

#endif

/* What a PE's vector engine computes: one operation on values, with the types and shapes of the
 * kernel language.
 *
 * kb_compute_infer settles type and shape of the result when the operation is issued, with an error
 * for operands that do not go together; kb_compute_run fills the result in when the op log gets
 * there. The arithmetic is data/ops.h's: one rounding per operation. Types follow Triton: an
 * integer with a float takes the float's type (kb_compute_promote), two of one kind the wider;
 * integers divided give f32; sums and products keep the type, but those of integers below 32 bits
 * and of masks are i32 or u32; argmin and argmax give i32. */
#ifndef KB_DATA_COMPUTE_H
#define KB_DATA_COMPUTE_H

#include "data/ops.h"
#include "data/philox.h"
#include "data/value.h"

typedef enum kb_compute_kind {
    KB_COMPUTE_BINARY, /* op: kb_binary_op */
    KB_COMPUTE_UNARY,  /* op: kb_unary_op */
    KB_COMPUTE_REDUCE, /* op: kb_reduce_op; axis or KB_ALL_AXES; keep */
    KB_COMPUTE_SCAN,   /* op: KB_SUM or KB_PROD; axis; reverse */
    KB_COMPUTE_WHERE,  /* in: condition, a, b */
    KB_COMPUTE_FMA,    /* in: a, b, c: a * b + c, rounded once */
    KB_COMPUTE_CAST,
    KB_COMPUTE_BITCAST,   /* the same bytes as another type of that size */
    KB_COMPUTE_BROADCAST, /* of a constant, too */
    KB_COMPUTE_RESHAPE,
    KB_COMPUTE_PERMUTE,  /* axes */
    KB_COMPUTE_CAT,      /* all that are given; axis */
    KB_COMPUTE_SORT,     /* axis, reverse (greatest first), keep (the indices, i32, instead) */
    KB_COMPUTE_FLIP,     /* axis */
    KB_COMPUTE_NARROW,   /* axis, `count` elements from `start` */
    KB_COMPUTE_GATHER,   /* in: elements, indices; axis */
    KB_COMPUTE_ARANGE,   /* from `start` in steps of 1 */
    KB_COMPUTE_RANDOM,   /* op: kb_philox_kind; in: offsets; seed `start`, `count` rounds */
    KB_COMPUTE_HISTOGRAM /* in: elements, perhaps a mask; `count` bins */
} kb_compute_kind;

enum { KB_COMPUTE_INPUTS = 8 };

typedef struct kb_compute {
    kb_compute_kind kind;
    int op, axis;
    bool keep, reverse;
    int axes[KB_MAX_RANK];
    int64_t start, count;
    kb_value *in[KB_COMPUTE_INPUTS];
    int in_count;
    /* The result: given for casts (type), BROADCAST, RESHAPE (shape), ARANGE (both). */
    kb_dtype dtype;
    int rank;
    size_t shape[KB_MAX_RANK];
} kb_compute;

/* The type of the result of arithmetic on both. */
kb_dtype kb_compute_promote(kb_dtype a, kb_dtype b);

int kb_compute_infer(kb_compute *c, kb_err *err);
int kb_compute_run(const kb_compute *c, kb_value *out, kb_err *err);

/* Addresses and masks are often made of constants alone (arange, comparisons with sizes). Such
 * results, integers or masks of up to KB_KNOWN_ELEMENTS elements, are computed when the operation
 * is issued, so that whoever needs them for timing need not wait for the op log, and has them
 * without numbers, too. After kb_compute_infer. */
enum { KB_KNOWN_ELEMENTS = 65536 };
bool kb_compute_is_known(const kb_compute *c);

/* Passes of the vector engine per element (hardware.md's table). 0: no data moves. */
uint32_t kb_compute_passes(const kb_compute *c);

/* Whether the lanes are combined after that, by a tree. */
bool kb_compute_has_tree(const kb_compute *c);

#endif

/* Read-modify-write of single elements of memory, one after another in the order of the pieces.
 *
 * Arithmetic is data/ops.h's: integers wrap, floats round once, and the lesser or greater of a NaN
 * and anything is the NaN. Compare and swap compares bits. */
#ifndef KB_DATA_ATOMIC_H
#define KB_DATA_ATOMIC_H

#include "data/array.h"
#include "data/memory.h"

typedef enum kb_atomic_op {
    KB_ATOMIC_ADD,
    KB_ATOMIC_MIN,
    KB_ATOMIC_MAX,
    KB_ATOMIC_AND, /* integers only, to XOR */
    KB_ATOMIC_OR,
    KB_ATOMIC_XOR,
    KB_ATOMIC_XCHG,
    KB_ATOMIC_CAS
} kb_atomic_op;

/* Arrays of the elements' type that broadcast to the shape of `old`. */
typedef struct kb_atomic_args {
    kb_atomic_op op;
    const kb_array *value;
    const kb_array *compare; /* of CAS, else null */
    const kb_array *mask;    /* of bool and the shape of `old`: which elements take part; or null */
} kb_atomic_args;

/* The elements that take part are those of the pieces, in order. `old` receives what memory held
 * before, and 0 elsewhere. */
int kb_atomic_run(const kb_atomic_args *args, const kb_pieces *pieces, kb_array *old, kb_err *err);

#endif

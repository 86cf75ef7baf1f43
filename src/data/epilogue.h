/* What is done to a matrix product before it is stored: vector operations, one after another, each
 * rounded once to its type (data/compute.h).
 *
 * They work on two registers: x, the running result, which begins as the accumulators, and t, a
 * temporary. A step of the kernel language, "gelu" say, is a few of them. Numbers take the type of
 * x; a fraction with integers makes them f32. The builder settles types and shapes; steps that the
 * result does not allow are errors. */
#ifndef KB_DATA_EPILOGUE_H
#define KB_DATA_EPILOGUE_H

#include "base/vec.h"
#include "data/compute.h"
#include "data/memory.h"

typedef enum kb_epilogue_input { KB_INPUT_X, KB_INPUT_T, KB_INPUT_OPERAND } kb_epilogue_input;

typedef struct kb_epilogue_op {
    kb_compute what; /* in[] is empty */
    kb_epilogue_input input[2];
    kb_value *operand; /* a tile's or, filled by the run, of what lies in memory; or null */
    double number;     /* the operand, if there is none; of the type `number_type` */
    kb_dtype number_type;
    bool to_t;        /* the result goes to t, else to x */
    bool whole_rows;  /* needs all columns of a row at once */
    uint32_t passes;  /* of the vector engine, per element */
    uint32_t width;   /* bytes of the widest element that takes part */
    kb_pieces pieces; /* of an operand in memory */
} kb_epilogue_op;

typedef struct kb_epilogue {
    kb_vec(kb_epilogue_op) ops;
    kb_value x, t; /* of the registers, after `ops`: type and shape */
} kb_epilogue;

/* For a result of rows x cols in the accumulators' type. The operations, their operands and pieces
 * belong to the log entry. */
void kb_epilogue_init(kb_epilogue *e, size_t rows, size_t cols, kb_dtype accumulator);

/* Steps without operand by name: "relu", "gelu", "softmax", ...: entry i, or null past the end. */
const char *kb_epilogue_name(int i);

/* Append the operations of a step. KB_EINVAL if there is none of that name. */
int kb_epilogue_step(kb_epilogue *e, const char *name, kb_err *err);

/* x + operand, or x * operand; the operand has the shape (cols) or (rows, cols). Retains it.
 * Returns the operation, for its pieces, or null. KB_EINVAL if there are too many operands. */
enum { KB_EPILOGUE_OPERANDS_MAX = 8 };
kb_epilogue_op *kb_epilogue_operand(kb_epilogue *e, kb_binary_op op, kb_value *operand,
                                    kb_err *err);
int kb_epilogue_scale(kb_epilogue *e, double factor, kb_err *err);
int kb_epilogue_cast(kb_epilogue *e, kb_dtype dtype, kb_err *err);

/* Passes of the vector engine per element, of all operations. */
uint64_t kb_epilogue_passes(const kb_epilogue *e);

/* Apply the operations to *x, which is replaced. The pieces are resolved. */
int kb_epilogue_run(const kb_epilogue *e, kb_array **x, kb_err *err);

#endif

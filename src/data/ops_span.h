/* Inside src/data/ops*.c: how an operation meets elements of any type.
 *
 * Elements are brought, a chunk at a time, into one of four compute types (f32, f64, i64, u64), the
 * operation runs on the chunk, and the result is converted to the type it is stored in. */
#ifndef KB_DATA_OPS_SPAN_H
#define KB_DATA_OPS_SPAN_H

#include "data/ops.h"

enum { KB_CHUNK = 512 };

/* The compute type of a stored type: f32 for f16, bf16, f32; f64; i64; u64 for unsigned and bool.
 */
kb_dtype kb_compute_type(kb_dtype dtype);

/* A chunk's worth of compute elements. */
typedef union kb_chunk {
    float f32[KB_CHUNK];
    double f64[KB_CHUNK];
    int64_t i64[KB_CHUNK];
    uint64_t u64[KB_CHUNK];
} kb_chunk;

/* A row of elements of one type, read as another; step 0 repeats one element. */
typedef struct kb_source {
    kb_dtype from, to;
    const char *data;
    bool repeat;
    size_t filled; /* how often the repeated element is in the buffer already */
    kb_chunk buffer;
} kb_source;

/* Prepare a source to yield elements of type `to`, beginning with element `offset` of `array`. */
void kb_source_open(kb_source *source, const kb_array *array, kb_dtype to);
void kb_source_seek(kb_source *source, const kb_array *array, size_t offset, bool repeat);

/* The next n <= KB_CHUNK elements, in the buffer or, when no conversion is needed, in place. */
const void *kb_source_next(kb_source *source, size_t n);

/* Two arrays of shapes that broadcast, walked row by row: all rows have the same length, and in
 * each row an array either advances or repeats one element. */
typedef struct kb_walk {
    int rank; /* outer dimensions */
    size_t shape[KB_MAX_RANK], strides[2][KB_MAX_RANK], index[KB_MAX_RANK];
    size_t rows, length; /* of a row */
    bool repeat[2];
    size_t offset[2]; /* of the current row, in elements */
} kb_walk;

/* Sets up for the first row and reports the broadcast shape. */
int kb_walk_open(kb_walk *walk, const kb_array *a, const kb_array *b, int *rank, size_t *shape,
                 kb_err *err);
void kb_walk_next(kb_walk *walk);

#endif

#include "data/masked.h"

#include <stdlib.h>
#include <string.h>

static int fill(const kb_array *other, kb_array *to, kb_err *err)
{
    if (!other) {
        memset(to->data, 0, to->nbytes);
        return KB_OK;
    }
    kb_region all = {.start = {0}};
    for (int d = 0; d < to->rank; d++) {
        all.extent[d] = to->shape[d];
        all.step[d] = 1;
    }
    return kb_array_set(to, &all, other, err);
}

int kb_masked_load(const kb_pieces *pieces, const kb_array *mask, const kb_array *other,
                   kb_array *to, kb_err *err)
{
    const uint8_t *moves = mask->data;
    int status = fill(other, to, err);
    if (status) return status;
    size_t size = kb_dtype_size(to->dtype);
    char *dense = kb_xmalloc(to->nbytes), *next = dense;
    kb_pieces_gather(pieces, dense);
    for (size_t i = 0; i < to->count; i++) {
        if (!moves[i]) continue;
        memcpy((char *)to->data + i * size, next, size);
        next += size;
    }
    free(dense);
    return KB_OK;
}

void kb_masked_store(const kb_pieces *pieces, const kb_array *mask, const kb_array *from)
{
    const uint8_t *moves = mask->data;
    size_t size = kb_dtype_size(from->dtype);
    char *dense = kb_xmalloc(from->nbytes), *next = dense;
    for (size_t i = 0; i < from->count; i++) {
        if (!moves[i]) continue;
        memcpy(next, (const char *)from->data + i * size, size);
        next += size;
    }
    kb_pieces_scatter(pieces, dense);
    free(dense);
}

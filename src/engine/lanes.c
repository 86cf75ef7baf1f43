#include "engine/lanes.h"

/* Elements next to each other. */
typedef struct run {
    uint64_t first, count;
} run;

/* Whether the run is the region's next row; the second row sets the distance. */
static bool is_next_row(const kb_va_region *r, kb_vaddr va, uint64_t bytes)
{
    if (r->row_bytes != bytes || va.bits < r->va.bits + bytes) return false;
    return r->rows == 1 || va.bits == r->va.bits + r->rows * r->stride;
}

static void add_run(const run *r, kb_vaddr base, size_t element, kb_va_regions *out, size_t from)
{
    kb_vaddr va = kb_vaddr_plus(base, r->first * element);
    uint64_t bytes = r->count * element;
    kb_va_region *last = out->count > from ? &out->data[out->count - 1] : NULL;
    if (!last || !is_next_row(last, va, bytes)) {
        kb_vec_push(out, ((kb_va_region){va, 1, bytes, bytes}));
        return;
    }
    if (last->rows == 1) last->stride = va.bits - last->va.bits;
    last->rows++;
}

void kb_lanes_coalesce(const kb_lanes *lanes, kb_vaddr base, size_t bytes, kb_va_regions *out)
{
    run current = {0};
    size_t from = out->count;
    for (size_t i = 0; i < lanes->count; i++) {
        if (lanes->mask && !lanes->mask[i]) continue;
        uint64_t element = (uint64_t)lanes->element[i];
        if (current.count && element == current.first + current.count) {
            current.count++;
            continue;
        }
        if (current.count) add_run(&current, base, bytes, out, from);
        current = (run){element, 1};
    }
    if (current.count) add_run(&current, base, bytes, out, from);
}

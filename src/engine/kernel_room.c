/* Room for tiles in TCM. Loops make and drop tiles of the same few sizes again and again, so small
 * rooms that a running kernel gives back are kept for its next tiles of that size; they go back to
 * the allocator when it is out of room, and when the kernel ends. */
#include <stdlib.h>

#include "engine/kernel_op.h"

/* Whole lines: gaps between small tiles would all have to be tried. Kept are rooms of up to SIZES
 * lines, together up to a part of TCM: tiles that were dropped come back many at a time, when Lua
 * collects. */
enum { LINE = 64, SIZES = 16, KEPT_PART = 8 };

typedef struct kb_rooms {
    struct kb_rooms *next; /* of the engine's spare ones */
    uint64_t bytes;
    uint32_t sizes;               /* bit per size of which there are any */
    kb_vec(uint64_t) kept[SIZES]; /* addresses, by lines - 1 */
} kb_rooms;

static uint64_t lines_of(uint64_t bytes)
{
    return (bytes + LINE - 1) / LINE;
}

static kb_rooms *rooms_of(kb_proc *proc)
{
    if (proc->rooms) return proc->rooms;
    kb_engine *engine = proc->engine;
    proc->rooms = engine->spare_rooms;
    if (proc->rooms)
        engine->spare_rooms = proc->rooms->next;
    else
        proc->rooms = kb_xcalloc(1, sizeof *proc->rooms);
    return proc->rooms;
}

static void drop_all(kb_proc *proc, kb_rooms *rooms)
{
    for (; rooms->sizes; rooms->sizes &= rooms->sizes - 1) {
        int size = __builtin_ctz(rooms->sizes);
        for (size_t i = 0; i < rooms->kept[size].count; i++)
            kb_alloc_give(&proc->pe->tcm, rooms->kept[size].data[i], NULL);
        rooms->kept[size].count = 0;
    }
    rooms->bytes = 0;
}

void kb_room_return_kept(kb_proc *proc)
{
    kb_rooms *rooms = proc->rooms;
    if (!rooms) return;
    drop_all(proc, rooms);
    rooms->next = proc->engine->spare_rooms;
    proc->engine->spare_rooms = rooms;
    proc->rooms = NULL;
}

void kb_room_free_all(kb_engine *engine)
{
    for (kb_rooms *rooms = engine->spare_rooms, *next; rooms; rooms = next) {
        next = rooms->next;
        for (int size = 0; size < SIZES; size++) kb_vec_free(&rooms->kept[size]);
        free(rooms);
    }
    engine->spare_rooms = NULL;
}

int kb_room_take(kb_proc *proc, uint64_t bytes, uint64_t *addr, kb_err *err)
{
    uint64_t lines = lines_of(bytes), size = lines - 1;
    kb_rooms *rooms = proc->rooms;
    if (rooms && size < SIZES && rooms->sizes >> size & 1) {
        *addr = rooms->kept[size].data[--rooms->kept[size].count];
        rooms->sizes ^= (uint32_t)(rooms->kept[size].count == 0) << size;
        rooms->bytes -= lines * LINE;
        return KB_OK;
    }
    int status = kb_alloc_take(&proc->pe->tcm, lines * LINE, LINE, addr, err);
    if (status != KB_ENOSPC || !rooms) return status;
    drop_all(proc, rooms);
    return kb_alloc_take(&proc->pe->tcm, lines * LINE, LINE, addr, err);
}

void kb_room_give(kb_proc *proc, uint64_t addr, uint64_t bytes)
{
    uint64_t lines = lines_of(bytes), size = lines - 1, kept = proc->rooms ? proc->rooms->bytes : 0;
    if (size >= SIZES || proc->ending || kept + lines * LINE > proc->pe->tcm.size / KEPT_PART) {
        kb_alloc_give(&proc->pe->tcm, addr, NULL);
        return;
    }
    kb_rooms *rooms = rooms_of(proc);
    kb_vec_push(&rooms->kept[size], addr);
    rooms->sizes |= UINT32_C(1) << size;
    rooms->bytes += lines * LINE;
}

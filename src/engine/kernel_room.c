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
    uint64_t bytes;
    kb_vec(uint64_t) kept[SIZES]; /* addresses, by lines - 1 */
} kb_rooms;

static uint64_t lines_of(uint64_t bytes)
{
    return (bytes + LINE - 1) / LINE;
}

void kb_room_return_kept(kb_proc *proc)
{
    kb_rooms *rooms = proc->rooms;
    if (!rooms) return;
    for (int s = 0; s < SIZES; s++) {
        for (size_t i = 0; i < rooms->kept[s].count; i++)
            kb_alloc_give(&proc->pe->tcm, rooms->kept[s].data[i], NULL);
        kb_vec_free(&rooms->kept[s]);
    }
    free(rooms);
    proc->rooms = NULL;
}

int kb_room_take(kb_proc *proc, uint64_t bytes, uint64_t *addr, kb_err *err)
{
    uint64_t lines = lines_of(bytes);
    kb_rooms *rooms = proc->rooms;
    if (rooms && lines - 1 < SIZES && rooms->kept[lines - 1].count > 0) {
        *addr = rooms->kept[lines - 1].data[--rooms->kept[lines - 1].count];
        rooms->bytes -= lines * LINE;
        return KB_OK;
    }
    int status = kb_alloc_take(&proc->pe->tcm, lines * LINE, LINE, addr, err);
    if (status != KB_ENOSPC || !rooms) return status;
    kb_room_return_kept(proc);
    return kb_alloc_take(&proc->pe->tcm, lines * LINE, LINE, addr, err);
}

void kb_room_give(kb_proc *proc, uint64_t addr, uint64_t bytes)
{
    uint64_t lines = lines_of(bytes);
    if (!proc->rooms) proc->rooms = kb_xcalloc(1, sizeof *proc->rooms);
    kb_rooms *rooms = proc->rooms;
    if (lines - 1 >= SIZES || rooms->bytes + lines * LINE > proc->pe->tcm.size / KEPT_PART) {
        kb_alloc_give(&proc->pe->tcm, addr, NULL);
        return;
    }
    kb_vec_push(&rooms->kept[lines - 1], addr);
    rooms->bytes += lines * LINE;
}

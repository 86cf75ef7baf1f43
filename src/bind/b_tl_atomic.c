/* Atomic operations on memory in the kernel language. */
#include <string.h>

#include "bind/b_tl.h"
#include "bind/b_tl_compute.h"
#include "bind/b_tl_mem.h"

typedef struct entry {
    const char *name, *call, *value; /* the last for errors of that argument */
    kb_atomic_op op;
} entry;

#define ENTRY(name, op)                                                                            \
    {                                                                                              \
        name, "tl." name, "tl." name ": value", op                                                 \
    }

static const entry entries[] = {
    ENTRY("atomic_add", KB_ATOMIC_ADD),   ENTRY("atomic_min", KB_ATOMIC_MIN),
    ENTRY("atomic_max", KB_ATOMIC_MAX),   ENTRY("atomic_and", KB_ATOMIC_AND),
    ENTRY("atomic_or", KB_ATOMIC_OR),     ENTRY("atomic_xor", KB_ATOMIC_XOR),
    ENTRY("atomic_xchg", KB_ATOMIC_XCHG), ENTRY("atomic_cas", KB_ATOMIC_CAS)};

static void check_type(lua_State *L, const entry *e, const kb_ptr *ptr)
{
    bool bits = e->op >= KB_ATOMIC_AND && e->op <= KB_ATOMIC_XOR;
    if (kb_dtype_is_f8(ptr->dtype) && e->op < KB_ATOMIC_AND)
        kb_error(L, "%s: tensor '%s' holds %s, on which there is no arithmetic", e->call,
                 ptr->tensor->name, kb_dtype_name(ptr->dtype));
    bool fits = ptr->dtype != KB_BOOL && !(bits && kb_dtype_is_float(ptr->dtype));
    if (!fits)
        kb_error(L, "%s: tensor '%s' holds %s; expected %s", e->call, ptr->tensor->name,
                 kb_dtype_name(ptr->dtype), bits ? "integers" : "numbers");
}

/* Pointer at 1: a block of pointers has its shape; any other that of a tile among the operands, as
 * for tl.store, or is one element. */
static kb_ptr block_of(lua_State *L, const entry *e, int operands)
{
    const kb_ptr_block *from = kb_test_ptr_block(L, 1);
    kb_ptr ptr = from ? from->base : kb_check_ptr(L, 1, e->call);
    const kb_value *shape = from ? from->offsets->value : NULL;
    for (int i = 2; !shape && i < 2 + operands; i++)
        if (kb_test_tile(L, i)) shape = kb_check_tile(L, i, e->call)->value;
    int rank = shape ? shape->rank : 0;
    if (!from && (rank != ptr.rank || rank < 2) && shape)
        kb_strides(rank, shape->shape, ptr.stride);
    ptr.rank = rank;
    if (shape) memcpy(ptr.shape, shape->shape, sizeof shape->shape);
    return ptr;
}

static bool broadcasts(const kb_value *v, const kb_ptr *ptr)
{
    bool fits = v->rank <= ptr->rank;
    for (int d = 0; fits && d < v->rank; d++)
        fits = v->shape[d] == 1 || v->shape[d] == ptr->shape[d + ptr->rank - v->rank];
    return fits;
}

static void check_operand(lua_State *L, int index, const char *what, const kb_ptr *ptr)
{
    if (!kb_test_tile(L, index)) {
        kb_check_constant(L, index, ptr->dtype, what);
        return;
    }
    char text[KB_SHAPE_TEXT + 16], shape[KB_SHAPE_TEXT];
    const kb_value *v = kb_check_tile(L, index, what)->value;
    if (v->dtype != ptr->dtype || !broadcasts(v, ptr))
        kb_error(L, "%s is %s; the block in memory is %s %s", what,
                 kb_value_text(v, text, sizeof text), kb_shape_text(ptr->rank, ptr->shape, shape),
                 kb_dtype_name(ptr->dtype));
}

/* A reference to the value of an operand that has been checked. */
static kb_value *operand(lua_State *L, int index, kb_dtype dtype)
{
    const kb_tile *tile = kb_test_tile(L, index);
    if (tile) return kb_value_retain(tile->value);
    kb_constant c = kb_constant_at(L, index);
    return kb_value_scalar(NULL, dtype, c.from,
                           c.from == KB_F64 ? (const void *)&c.real : &c.integer);
}

static int issue(kb_proc *proc, const kb_access *at, const kb_atomic_operands *operands,
                 const kb_ptr *ptr, kb_op **op, kb_err *err)
{
    return kb_kernel_atomic(proc, at, operands, ptr->dtype, ptr->rank, ptr->shape, op, err);
}

static int atomic(lua_State *L);

/* Arguments ptr, value, mask, or ptr, cmp, value, mask: all checked. */
static int run(lua_State *L, const entry *e, const kb_ptr *ptr, const kb_lanes *lanes, int value)
{
    kb_proc *proc = kb_check_kernel(L, e->call);
    kb_op *op;
    kb_access_room room;
    kb_access access = kb_access_of(L, ptr, lanes, &room, e->call);
    kb_atomic_operands operands = {.op = e->op,
                                   .what = e->call,
                                   .value = operand(L, value, ptr->dtype),
                                   .value_tile = kb_test_tile(L, value)};
    if (e->op == KB_ATOMIC_CAS) {
        operands.compare = operand(L, 2, ptr->dtype);
        operands.compare_tile = kb_test_tile(L, 2);
    }
    kb_err err;
    int status = issue(proc, &access, &operands, ptr, &op, &err);
    bool late = status == KB_ENOSPC && kb_is_ahead(proc);
    if (status == KB_ENOSPC && !late) { /* tiles that nobody can reach may still hold room */
        lua_gc(L, LUA_GCCOLLECT);
        status = issue(proc, &access, &operands, ptr, &op, &err);
    }
    kb_vec_free(&room.parts);
    kb_value_release(operands.value);
    kb_value_release(operands.compare);
    if (late) {
        lua_settop(L, value + 1);
        return kb_call_late(L, proc, e->call, atomic);
    }
    if (status) return kb_raise(L, &err);
    return kb_finish_op(L, op, false, KB_WAIT_MEMORY);
}

/* tl.atomic_add(ptr, value, {mask =}), tl.atomic_cas(ptr, cmp, value, {mask =}): old values. */
static int atomic(lua_State *L)
{
    static const char *const names[] = {"ptr", "value", "mask", NULL};
    static const char *const cas_names[] = {"ptr", "cmp", "value", "mask", NULL};
    const entry *e = lua_touserdata(L, lua_upvalueindex(1));
    int operands = e->op == KB_ATOMIC_CAS ? 2 : 1;
    kb_check_kernel(L, e->call);
    kb_co_check_wait(L, e->call);
    kb_unpack_options(L, e->call, operands == 2 ? cas_names : names);
    kb_ptr ptr = block_of(L, e, operands);
    check_type(L, e, &ptr);
    if (operands == 2) check_operand(L, 2, "tl.atomic_cas: cmp", &ptr);
    check_operand(L, 1 + operands, e->value, &ptr);
    kb_lanes lanes = kb_lanes_of(L, &ptr, 2 + operands, e->call);
    return run(L, e, &ptr, &lanes, 1 + operands);
}

void kb_tl_atomic_open(lua_State *L)
{
    for (size_t i = 0; i < sizeof entries / sizeof *entries; i++) {
        lua_pushlightuserdata(L, (void *)(uintptr_t)&entries[i]);
        lua_pushcclosure(L, atomic, 1);
        lua_setfield(L, -2, entries[i].name);
    }
}

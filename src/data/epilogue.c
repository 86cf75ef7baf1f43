#include "data/epilogue.h"

#include <string.h>

/* ---- what steps are made of ---- */

typedef struct primitive {
    kb_compute_kind kind;
    int op;
    kb_epilogue_input input[2];
    double number; /* of an operand */
    bool to_t;
} primitive;

typedef struct step {
    const char *name;
    int count;
    bool whole_rows;
    primitive primitives[5];
} step;

/* clang-format off: a table */
#define UNARY(op)                                                                                  \
    {                                                                                              \
        KB_COMPUTE_UNARY, op, {KB_INPUT_X, KB_INPUT_X}, 0, false                                   \
    }
#define BINARY(op, a, b)                                                                           \
    {                                                                                              \
        KB_COMPUTE_BINARY, op, {KB_INPUT_##a, KB_INPUT_##b}, 0, false                              \
    }
#define NUMBER(op, a, n)                                                                           \
    {                                                                                              \
        KB_COMPUTE_BINARY, op, {KB_INPUT_##a, KB_INPUT_OPERAND}, n, false                          \
    }
#define REDUCE_TO_T(op)                                                                            \
    {                                                                                              \
        KB_COMPUTE_REDUCE, op, {KB_INPUT_X, KB_INPUT_X}, 0, true                                   \
    }
#define UNARY_TO_T(op, a)                                                                          \
    {                                                                                              \
        KB_COMPUTE_UNARY, op, {KB_INPUT_##a, KB_INPUT_##a}, 0, true                                \
    }
#define NUMBER_TO_T(op, a, n)                                                                      \
    {                                                                                              \
        KB_COMPUTE_BINARY, op, {KB_INPUT_##a, KB_INPUT_OPERAND}, n, true                           \
    }

static const step STEPS[] = {
    {"relu", 1, false, {NUMBER(KB_MAX, X, 0)}},
    /* x / 2 * (1 + erf(x / sqrt(2))) */
    {"gelu",
     5,
     false,
     {NUMBER_TO_T(KB_MUL, X, 0.70710678118654752440), UNARY_TO_T(KB_ERF, T),
      NUMBER_TO_T(KB_ADD, T, 1), NUMBER(KB_MUL, X, 0.5), BINARY(KB_MUL, X, T)}},
    {"silu", 2, false, {UNARY_TO_T(KB_SIGMOID, X), BINARY(KB_MUL, X, T)}},
    /* of every row, as tl.softmax */
    {"softmax",
     5,
     true,
     {REDUCE_TO_T(KB_AMAX), BINARY(KB_SUB, X, T), UNARY(KB_EXP), REDUCE_TO_T(KB_SUM),
      BINARY(KB_DIV, X, T)}},
    {"sigmoid", 1, false, {UNARY(KB_SIGMOID)}},
    {"tanh", 1, false, {UNARY(KB_TANH)}},
    {"exp", 1, false, {UNARY(KB_EXP)}},
    {"exp2", 1, false, {UNARY(KB_EXP2)}},
    {"log", 1, false, {UNARY(KB_LOG)}},
    {"log2", 1, false, {UNARY(KB_LOG2)}},
    {"sin", 1, false, {UNARY(KB_SIN)}},
    {"cos", 1, false, {UNARY(KB_COS)}},
    {"sqrt", 1, false, {UNARY(KB_SQRT)}},
    {"rsqrt", 1, false, {UNARY(KB_RSQRT)}},
    {"erf", 1, false, {UNARY(KB_ERF)}},
    {"abs", 1, false, {UNARY(KB_ABS)}},
    {"floor", 1, false, {UNARY(KB_FLOOR)}},
    {"ceil", 1, false, {UNARY(KB_CEIL)}},
};
/* clang-format on */

enum { STEP_COUNT = sizeof STEPS / sizeof STEPS[0] };

const char *kb_epilogue_name(int i)
{
    return i < STEP_COUNT ? STEPS[i].name : NULL;
}

/* ---- building ---- */

void kb_epilogue_init(kb_epilogue *e, size_t rows, size_t cols, kb_dtype accumulator)
{
    *e = (kb_epilogue){.x = {.dtype = accumulator}};
    kb_value_set_shape(&e->x, 2, (size_t[]){rows, cols});
}

static uint32_t widest(uint32_t bytes, kb_dtype dtype)
{
    uint32_t size = (uint32_t)kb_dtype_size(dtype);
    return size > bytes ? size : bytes;
}

/* Settle the result of the operation and append it. */
static int append(kb_epilogue *e, kb_epilogue_op *op, kb_err *err)
{
    kb_value number = {.dtype = op->number_type, .count = 1};
    kb_value *operand = op->operand ? op->operand : &number;
    kb_value *of[] = {[KB_INPUT_X] = &e->x, [KB_INPUT_T] = &e->t, [KB_INPUT_OPERAND] = operand};
    kb_compute *c = &op->what;
    op->width = 0;
    for (int i = 0; i < c->in_count; i++) {
        c->in[i] = of[op->input[i]];
        op->width = widest(op->width, c->in[i]->dtype);
    }
    int status = kb_compute_infer(c, err);
    if (status) return status;
    op->width = widest(op->width, c->dtype);
    op->passes = kb_compute_passes(c);
    memset(c->in, 0, sizeof c->in);
    kb_value *result = op->to_t ? &e->t : &e->x;
    *result = (kb_value){.dtype = c->dtype};
    kb_value_set_shape(result, c->rank, c->shape);
    kb_vec_push(&e->ops, *op);
    return KB_OK;
}

/* Numbers are of the type of x, or f32 if that does not hold them. */
static kb_dtype number_type(const kb_epilogue *e, double number)
{
    uint64_t stored;
    double back;
    kb_convert(e->x.dtype, &stored, KB_F64, &number, 1);
    kb_convert(KB_F64, &back, e->x.dtype, &stored, 1);
    return kb_dtype_is_float(e->x.dtype) || back == number ? e->x.dtype : KB_F32;
}

static int append_primitive(kb_epilogue *e, const primitive *p, bool whole_rows, kb_err *err)
{
    kb_epilogue_op op = {.what = {.kind = p->kind, .op = p->op, .axis = 1, .keep = true},
                         .input = {p->input[0], p->input[1]},
                         .number = p->number,
                         .number_type = number_type(e, p->number),
                         .to_t = p->to_t,
                         .whole_rows = whole_rows};
    op.what.in_count = p->kind == KB_COMPUTE_BINARY ? 2 : 1;
    return append(e, &op, err);
}

int kb_epilogue_step(kb_epilogue *e, const char *name, kb_err *err)
{
    for (int s = 0; s < STEP_COUNT; s++) {
        if (strcmp(name, STEPS[s].name) != 0) continue;
        int status = KB_OK;
        for (int i = 0; !status && i < STEPS[s].count; i++)
            status = append_primitive(e, &STEPS[s].primitives[i], STEPS[s].whole_rows, err);
        return status;
    }
    return kb_fail(err, KB_EINVAL, "there is no step '%s'", name);
}

kb_epilogue_op *kb_epilogue_operand(kb_epilogue *e, kb_binary_op op, kb_value *operand, kb_err *err)
{
    int count = 0;
    for (size_t i = 0; i < e->ops.count; i++) count += e->ops.data[i].operand != NULL;
    if (count == KB_EPILOGUE_OPERANDS_MAX) {
        kb_fail(err, KB_EINVAL, "more than %d operands", KB_EPILOGUE_OPERANDS_MAX);
        return NULL;
    }
    kb_epilogue_op with = {.what = {.kind = KB_COMPUTE_BINARY, .op = op, .in_count = 2},
                           .input = {KB_INPUT_X, KB_INPUT_OPERAND},
                           .operand = operand};
    if (append(e, &with, err)) return NULL;
    kb_value_retain(operand);
    return &e->ops.data[e->ops.count - 1];
}

int kb_epilogue_scale(kb_epilogue *e, double factor, kb_err *err)
{
    primitive p = {KB_COMPUTE_BINARY, KB_MUL, {KB_INPUT_X, KB_INPUT_OPERAND}, factor, false};
    return append_primitive(e, &p, false, err);
}

int kb_epilogue_cast(kb_epilogue *e, kb_dtype dtype, kb_err *err)
{
    kb_epilogue_op op = {.what = {.kind = KB_COMPUTE_CAST, .in_count = 1, .dtype = dtype}};
    return append(e, &op, err);
}

uint64_t kb_epilogue_passes(const kb_epilogue *e)
{
    uint64_t passes = 0;
    for (size_t i = 0; i < e->ops.count; i++) passes += e->ops.data[i].passes;
    return passes;
}

/* ---- numbers ---- */

/* The operand's elements, of what lies in memory when the product is done; a new reference. */
static int take_operand(const kb_epilogue_op *op, kb_array **out, kb_err *err)
{
    kb_value *value = op->operand;
    int status = KB_OK;
    if (!value) {
        status = kb_array_create(op->number_type, 0, NULL, out, err);
        if (!status) kb_array_fill(*out, KB_F64, &op->number);
        return status;
    }
    if (op->pieces.count && !value->array) {
        status = kb_array_create(value->dtype, value->rank, value->shape, &value->array, err);
        if (status) return status;
        kb_pieces_gather(&op->pieces, value->array->data);
    }
    *out = kb_array_retain(value->array);
    return KB_OK;
}

/* A value around the array, for as long as both live. */
static kb_value value_of(kb_array *array)
{
    kb_value value = {.dtype = array->dtype, .array = array};
    kb_value_set_shape(&value, array->rank, array->shape);
    return value;
}

static int run_op(const kb_epilogue_op *op, kb_array **x, kb_array **t, kb_err *err)
{
    kb_array *operand = NULL;
    kb_value inputs[2], out = {.dtype = op->what.dtype};
    kb_value_set_shape(&out, op->what.rank, op->what.shape);
    kb_compute c = op->what;
    int status = KB_OK;
    if (c.in_count == 2 && op->input[1] == KB_INPUT_OPERAND)
        status = take_operand(op, &operand, err);
    if (status) return status;
    kb_array *of[] = {[KB_INPUT_X] = *x, [KB_INPUT_T] = *t, [KB_INPUT_OPERAND] = operand};
    for (int i = 0; i < c.in_count; i++) {
        inputs[i] = value_of(of[op->input[i]]);
        c.in[i] = &inputs[i];
    }
    status = kb_compute_run(&c, &out, err);
    kb_array_release(operand);
    if (status) return status;
    kb_array **to = op->to_t ? t : x;
    kb_array_release(*to);
    *to = out.array;
    return KB_OK;
}

int kb_epilogue_run(const kb_epilogue *e, kb_array **x, kb_err *err)
{
    kb_array *t = NULL;
    int status = KB_OK;
    for (size_t i = 0; !status && i < e->ops.count; i++)
        status = run_op(&e->ops.data[i], x, &t, err);
    kb_array_release(t);
    return status;
}

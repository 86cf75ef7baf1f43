#include "data/npy.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC "\x93NUMPY"
enum { MAGIC_BYTES = 6, HEADER_LIMIT = 1 << 16 };

static const struct {
    const char *code;
    kb_dtype dtype;
} CODES[] = {
    {"f2", KB_F16}, {"f4", KB_F32}, {"f8", KB_F64}, {"i1", KB_I8},  {"i2", KB_I16}, {"i4", KB_I32},
    {"i8", KB_I64}, {"u1", KB_U8},  {"u2", KB_U16}, {"u4", KB_U32}, {"u8", KB_U64}, {"b1", KB_BOOL},
};
enum { CODE_COUNT = sizeof CODES / sizeof *CODES };

/* The header's dictionary, being read. */
typedef struct parser {
    const char *path, *text; /* text ends with a zero byte */
    size_t at, start;        /* position in text; byte of the file where text begins */
    kb_err *err;
} parser;

typedef struct header {
    bool has_descr, has_order, has_shape, fortran;
    kb_dtype dtype;
    int rank;
    size_t shape[KB_MAX_RANK];
} header;

static int wrong(parser *p, const char *what)
{
    return kb_fail(p->err, KB_EINVAL, "%s: byte %zu: %s", p->path, p->start + p->at, what);
}

static char peek(parser *p)
{
    while (p->text[p->at] == ' ') p->at++;
    return p->text[p->at];
}

static bool accept(parser *p, char c)
{
    if (peek(p) != c) return false;
    p->at++;
    return true;
}

static int parse_string(parser *p, char *out, size_t size)
{
    char quote = peek(p);
    if (quote != '\'' && quote != '"') return wrong(p, "expected a quoted string");
    const char *first = p->text + p->at + 1, *last = strchr(first, quote);
    if (!last) return wrong(p, "a string without an end");
    size_t length = (size_t)(last - first);
    if (length >= size) return wrong(p, "an unknown key or type");
    memcpy(out, first, length);
    out[length] = 0;
    p->at += length + 2;
    return 0;
}

static int parse_descr(parser *p, header *h)
{
    char text[16];
    if (peek(p) == '[') return wrong(p, "records (structured types) are not supported");
    size_t begin = p->at;
    int code = parse_string(p, text, sizeof text);
    if (code) return code;
    p->at = begin;
    if (text[0] == '>' && strlen(text) > 2 && text[2] != '1')
        return wrong(p, "big-endian elements are not supported: save them with '<'");
    for (int i = 0; i < CODE_COUNT; i++)
        if (text[0] && strchr("<|=>", text[0]) && strcmp(text + 1, CODES[i].code) == 0) {
            h->dtype = CODES[i].dtype;
            return parse_string(p, text, sizeof text);
        }
    kb_fail(p->err, KB_EINVAL, "element type '%s' is not supported", text);
    return kb_fail_at(p->err, "%s: byte %zu", p->path, p->start + p->at);
}

static int parse_order(parser *p, header *h)
{
    peek(p);
    const char *word = p->text + p->at;
    if (strncmp(word, "True", 4) == 0)
        h->fortran = true;
    else if (strncmp(word, "False", 5) != 0)
        return wrong(p, "fortran_order is neither True nor False");
    p->at += h->fortran ? 4 : 5;
    return 0;
}

static int parse_extent(parser *p, size_t *extent)
{
    *extent = 0;
    if (!isdigit((unsigned char)peek(p))) return wrong(p, "expected an extent of the shape");
    for (; isdigit((unsigned char)p->text[p->at]); p->at++)
        if (__builtin_mul_overflow(*extent, 10u, extent) ||
            __builtin_add_overflow(*extent, (size_t)(p->text[p->at] - '0'), extent))
            return wrong(p, "an extent too large for any memory");
    return 0;
}

static int parse_shape(parser *p, header *h)
{
    if (!accept(p, '(')) return wrong(p, "expected the shape's '('");
    while (!accept(p, ')')) {
        if (h->rank == KB_MAX_RANK) return wrong(p, "more than 8 dimensions");
        int code = parse_extent(p, &h->shape[h->rank++]);
        if (code) return code;
        if (!accept(p, ',') && peek(p) != ')') return wrong(p, "expected ',' or ')' in the shape");
    }
    return 0;
}

static int parse_entry(parser *p, header *h)
{
    char key[20];
    peek(p);
    size_t begin = p->at;
    int code = parse_string(p, key, sizeof key);
    if (code) return code;
    if (!accept(p, ':')) return wrong(p, "expected ':' after a key");
    bool *seen = strcmp(key, "descr") == 0           ? &h->has_descr
                 : strcmp(key, "fortran_order") == 0 ? &h->has_order
                 : strcmp(key, "shape") == 0         ? &h->has_shape
                                                     : NULL;
    if (!seen || *seen) {
        p->at = begin;
        return wrong(p, seen ? "a key occurs twice" : "an unknown key");
    }
    *seen = true;
    return seen == &h->has_descr   ? parse_descr(p, h)
           : seen == &h->has_order ? parse_order(p, h)
                                   : parse_shape(p, h);
}

static int parse_header(parser *p, header *h)
{
    if (!accept(p, '{')) return wrong(p, "expected '{' at the beginning of the header");
    while (!accept(p, '}')) {
        int code = parse_entry(p, h);
        if (code) return code;
        if (!accept(p, ',') && peek(p) != '}') return wrong(p, "expected ',' or '}'");
    }
    if (h->has_descr && h->has_order && h->has_shape) return 0;
    return wrong(p, "the header lacks descr, fortran_order or shape");
}

typedef struct source {
    const char *path;
    FILE *file;
    size_t size, at; /* of the file, in bytes */
    kb_err *err;
} source;

static int source_open(source *s, const char *path, kb_err *err)
{
    struct stat info;
    *s = (source){.path = path, .err = err, .file = fopen(path, "rb")};
    if (!s->file) return kb_fail(err, KB_EIO, "%s: %s", path, strerror(errno));
    if (fstat(fileno(s->file), &info) != 0 || !S_ISREG(info.st_mode))
        return kb_fail(err, KB_EIO, "%s: not a regular file", path);
    s->size = (size_t)info.st_size;
    return 0;
}

static int take(source *s, void *out, size_t n, const char *what)
{
    if (s->size - s->at < n)
        return kb_fail(s->err, KB_EINVAL, "%s: byte %zu: %s needs %zu bytes, the file has %zu left",
                       s->path, s->at, what, n, s->size - s->at);
    if (n && fread(out, 1, n, s->file) != n)
        return kb_fail(s->err, KB_EIO, "%s: byte %zu: cannot read", s->path, s->at);
    s->at += n;
    return 0;
}

static int read_header_text(source *s, char **text, size_t *length)
{
    unsigned char head[MAGIC_BYTES + 2], count[4] = {0};
    int code = take(s, head, sizeof head, "the file's beginning");
    if (code) return code;
    if (memcmp(head, MAGIC, MAGIC_BYTES) != 0)
        return kb_fail(s->err, KB_EINVAL, "%s: byte 0: not an .npy file (no \\x93NUMPY)", s->path);
    if (head[6] < 1 || head[6] > 3 || head[7] != 0)
        return kb_fail(s->err, KB_EINVAL, "%s: byte 6: version %d.%d is not 1.0, 2.0 or 3.0",
                       s->path, head[6], head[7]);
    code = take(s, count, head[6] == 1 ? 2 : 4, "the header's length");
    if (code) return code;
    *length =
        (size_t)count[0] | (size_t)count[1] << 8 | (size_t)count[2] << 16 | (size_t)count[3] << 24;
    if (*length > HEADER_LIMIT)
        return kb_fail(s->err, KB_EINVAL, "%s: byte 8: a header of %zu bytes", s->path, *length);
    *text = kb_xcalloc(*length + 1, 1);
    return take(s, *text, *length, "the header");
}

static int read_header(source *s, header *h)
{
    char *text = NULL;
    size_t length = 0;
    int code = read_header_text(s, &text, &length);
    if (code == 0) {
        parser p = {.path = s->path, .text = text, .start = s->at - length, .err = s->err};
        code = parse_header(&p, h);
    }
    free(text);
    return code;
}

/* The elements lie in Fortran order: read as the reversed shape, then swap the dimensions. */
static int turn(kb_array *reversed, kb_array **out, kb_err *err)
{
    int axes[KB_MAX_RANK];
    for (int i = 0; i < reversed->rank; i++) axes[i] = reversed->rank - 1 - i;
    return kb_array_permute(reversed, axes, out, err);
}

static int read_elements(source *s, const header *h, kb_array **out)
{
    size_t count, shape[KB_MAX_RANK];
    for (int i = 0; i < h->rank; i++) shape[i] = h->shape[h->fortran ? h->rank - 1 - i : i];
    int code = kb_array_check_size(h->dtype, h->rank, h->shape, &count, s->err);
    if (code) return kb_fail_at(s->err, "%s: byte %zu", s->path, s->at);
    size_t bytes = count * kb_dtype_size(h->dtype);
    if (bytes != s->size - s->at)
        return kb_fail(s->err, KB_EINVAL,
                       "%s: byte %zu: the header promises %zu bytes of elements, the file has %zu",
                       s->path, s->at, bytes, s->size - s->at);
    kb_array *array = NULL;
    code = kb_array_create(h->dtype, h->rank, shape, &array, s->err);
    if (code) return code;
    code = take(s, array->data, bytes, "the elements");
    if (code == 0 && h->dtype == KB_BOOL) /* a bool is 0 or 1, whatever the file says */
        for (size_t i = 0; i < count; i++)
            ((uint8_t *)array->data)[i] = ((uint8_t *)array->data)[i] != 0;
    if (code == 0 && h->fortran && h->rank > 1)
        code = turn(array, out, s->err);
    else if (code == 0)
        *out = kb_array_retain(array);
    kb_array_release(array);
    return code;
}

int kb_npy_read(const char *path, kb_array **out, kb_err *err)
{
    source s;
    header h = {.has_descr = false};
    int code = source_open(&s, path, err);
    if (code == 0) code = read_header(&s, &h);
    if (code == 0) code = read_elements(&s, &h, out);
    if (s.file) fclose(s.file);
    return code;
}

static const char *code_of(kb_dtype dtype)
{
    for (int i = 0; i < CODE_COUNT; i++)
        if (CODES[i].dtype == dtype) return CODES[i].code;
    return NULL;
}

/* Magic, version, length and dictionary, padded with blanks so that elements begin at a multiple of
 * 64 as the format asks. Returns its length. */
static size_t make_header(const kb_array *array, char out[512])
{
    char shape[KB_SHAPE_TEXT], *text = out + 10;
    int n = snprintf(text, 500, "{'descr': '%c%s', 'fortran_order': False, 'shape': %s, }",
                     kb_dtype_size(array->dtype) == 1 ? '|' : '<', code_of(array->dtype),
                     kb_shape_text(array->rank, array->shape, shape));
    size_t length = (10 + (size_t)n + 1 + 63) / 64 * 64;
    memset(text + n, ' ', length - 10 - (size_t)n - 1);
    out[length - 1] = '\n';
    memcpy(out, MAGIC "\x01", 8); /* and the literal's own zero: version 1.0 */
    out[8] = (char)((length - 10) & 255);
    out[9] = (char)((length - 10) >> 8);
    return length;
}

static int write_all(FILE *file, const kb_array *array)
{
    char head[512];
    size_t length = make_header(array, head);
    bool ok = fwrite(head, 1, length, file) == length &&
              fwrite(array->data, 1, array->nbytes, file) == array->nbytes;
    return fflush(file) == 0 && ok ? 0 : -1;
}

int kb_npy_write(const char *path, const kb_array *array, kb_err *err)
{
    if (!code_of(array->dtype))
        return kb_fail(err, KB_EINVAL,
                       "%s: %s has no code in the .npy format: convert to f32 first (astype)", path,
                       kb_dtype_name(array->dtype));
    size_t size = strlen(path) + 32;
    char *temporary = kb_xmalloc(size);
    snprintf(temporary, size, "%s.tmp-%ld", path, (long)getpid());
    FILE *file = fopen(temporary, "wb");
    int failed = file ? write_all(file, array) : -1, reason = errno;
    if (file && fclose(file) != 0 && !failed) failed = -1, reason = errno;
    if (!failed && rename(temporary, path) != 0) failed = -1, reason = errno;
    if (failed && file) unlink(temporary);
    free(temporary);
    return failed ? kb_fail(err, KB_EIO, "%s: %s", path, strerror(reason)) : 0;
}

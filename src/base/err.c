#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int kb_fail(kb_err *err, int code, const char *format, ...)
{
    if (!err) return code;
    va_list args;
    va_start(args, format);
    vsnprintf(err->text, sizeof err->text, format, args);
    va_end(args);
    err->code = code;
    return code;
}

int kb_fail_at(kb_err *err, const char *format, ...)
{
    if (!err) return KB_EINVAL;
    char prefix[sizeof err->text];
    va_list args;
    va_start(args, format);
    vsnprintf(prefix, sizeof prefix - 2, format, args);
    va_end(args);
    strcat(prefix, ": ");
    size_t shift = strlen(prefix), keep = strlen(err->text);
    if (keep > sizeof err->text - 1 - shift) keep = sizeof err->text - 1 - shift;
    memmove(err->text + shift, err->text, keep);
    err->text[shift + keep] = 0;
    memcpy(err->text, prefix, shift);
    return err->code;
}

void *kb_or_die(void *memory, size_t size)
{
    if (memory || size == 0) return memory;
    fprintf(stderr, "kernbench: out of memory (asked for %zu bytes)\n", size);
    exit(4);
}

void *kb_xmalloc(size_t size)
{
    return kb_or_die(malloc(size), size);
}

void *kb_xcalloc(size_t count, size_t size)
{
    return kb_or_die(calloc(count, size), count * size);
}

void *kb_xrealloc(void *old, size_t size)
{
    return kb_or_die(realloc(old, size), size);
}

char *kb_xstrdup(const char *text)
{
    size_t size = strlen(text) + 1;
    return memcpy(kb_xmalloc(size), text, size);
}

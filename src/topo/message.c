#include "topo/message.h"

#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

kb_text kb_text_start(char *buffer, size_t size)
{
    buffer[0] = '\0';
    return (kb_text){.data = buffer, .size = size};
}

void kb_text_add(kb_text *text, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int wanted = vsnprintf(text->data + text->used, text->size - text->used, format, args);
    va_end(args);
    if (wanted < 0) return;
    text->used += (size_t)wanted;
    if (text->used >= text->size) text->used = text->size - 1;
}

void kb_text_number(kb_text *text, double number)
{
    bool whole = fabs(number) < 1e15 && floor(number) == number;
    kb_text_add(text, whole ? "%.0f" : "%g", number);
}

static bool is_continuation(char byte)
{
    return ((unsigned char)byte & 0xC0) == 0x80;
}

const char *kb_excerpt(char *out, size_t size, const char *from)
{
    size_t length = strnlen(from, size);
    bool cut = length == size;
    if (cut) {
        length = size - sizeof "...";
        while (length > 0 && is_continuation(from[length])) length--;
    }
    for (size_t i = 0; i < length; i++) {
        unsigned char byte = (unsigned char)from[i];
        out[i] = byte < 0x20 || byte == 0x7F ? '?' : from[i];
    }
    strcpy(out + length, cut ? "..." : "");
    return out;
}

/* Pieces of messages: text built up in a fixed buffer, and safe excerpts of what a user wrote.
 *
 * A kb_text never overflows: what does not fit is dropped, and the buffer always holds a string. */
#ifndef KB_TOPO_MESSAGE_H
#define KB_TOPO_MESSAGE_H

#include <stddef.h>

enum { KB_EXCERPT = 64 }; /* bytes of buffer for the usual excerpt */

typedef struct kb_text {
    char *data;
    size_t size, used; /* of the buffer; of the string in it */
} kb_text;

kb_text kb_text_start(char *buffer, size_t size);
void kb_text_add(kb_text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A limit as a person would write it: 1000000, 0.5, 1e+18. */
void kb_text_number(kb_text *text, double number);

/* Copy `from` for use inside a message: control characters become '?', and text that does not fit
 * is cut between characters and ends in "...". Returns `out`. */
const char *kb_excerpt(char *out, size_t size, const char *from);

#endif

/* Errors.
 *
 * A function that can fail returns 0 or one of the negative codes below and, on failure, has
 * written what went wrong, where, and what to do about it into the kb_err that its caller passed.
 * Nobody prints; only the program's outermost layer turns the text into a message or a Lua error.
 *
 * Running out of host memory is not an error of this kind: kb_xmalloc and its kin end the process
 * with exit code 4, because no caller could do better. */
#ifndef KB_BASE_ERR_H
#define KB_BASE_ERR_H

#include <stddef.h>

enum {
    KB_OK = 0,
    KB_EINVAL = -1,    /* an argument or a file's contents is not acceptable */
    KB_EIO = -2,       /* the operating system refused */
    KB_ENOSPC = -3,    /* a modelled memory or an address space is exhausted */
    KB_EFAULT = -4,    /* an access outside what exists or is mapped */
    KB_ELIMIT = -5,    /* a limit set by the user was reached */
    KB_EDEADLOCK = -6, /* nothing can happen any more, yet someone waits */
    KB_EFAILED = -7    /* the user's program failed */
};

typedef struct kb_err {
    int code;
    char text[1000];
} kb_err;

/* Store the message and return `code`. A null `err` drops the message. */
int kb_fail(kb_err *err, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Put "prefix: " in front of the stored message and return its code: adds the place to a cause. */
int kb_fail_at(kb_err *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

void *kb_xmalloc(size_t size);
void *kb_xcalloc(size_t count, size_t size);
void *kb_xrealloc(void *old, size_t size);
char *kb_xstrdup(const char *text);
void *kb_or_die(void *block, size_t size); /* that block of `size`, unless it is null */

#endif

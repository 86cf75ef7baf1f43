#include "topo/nearest.h"

#include <stdint.h>
#include <string.h>

enum { LONGEST = 64 }; /* longer words are never near anything */

kb_nearest kb_nearest_start(const char *word)
{
    return (kb_nearest){
        .word = word, .word_length = strnlen(word, LONGEST + 1), .distance = SIZE_MAX};
}

static size_t min(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Keys are ASCII; the locale has no say in what a capital letter is. */
static int lower(char c)
{
    return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c;
}

static size_t distance(const char *a, size_t a_length, const char *b, size_t b_length)
{
    size_t rows[3][LONGEST + 1]; /* three last rows of the table, in turn */
    for (size_t j = 0; j <= b_length; j++) rows[0][j] = j;
    for (size_t i = 1; i <= a_length; i++) {
        size_t *row = rows[i % 3], *above = rows[(i - 1) % 3], *above2 = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= b_length; j++) {
            int x = lower(a[i - 1]), y = lower(b[j - 1]);
            row[j] = min(min(above[j], row[j - 1]) + 1, above[j - 1] + (x != y));
            if (i > 1 && j > 1 && x == lower(b[j - 2]) && y == lower(a[i - 2]))
                row[j] = min(row[j], above2[j - 2] + 1);
        }
    }
    return rows[a_length % 3][b_length];
}

void kb_nearest_offer(kb_nearest *nearest, const char *candidate, size_t length)
{
    if (nearest->word_length > LONGEST || length > LONGEST) return;
    size_t found = distance(nearest->word, nearest->word_length, candidate, length);
    size_t longer = length > nearest->word_length ? length : nearest->word_length;
    if (found * 3 > longer || found >= nearest->distance) return;
    nearest->distance = found;
    nearest->match = candidate;
    nearest->length = length;
}

/* The valid word that a mistyped one was probably meant to be.
 *
 *     kb_nearest nearest = kb_nearest_start(typed);
 *     for (each valid word) kb_nearest_offer(&nearest, word, strlen(word));
 *     if (nearest.match) ... "did you mean \"%.*s\"?", (int)nearest.length, nearest.match
 *
 * Distance is the number of letters inserted, left out, replaced, or swapped with their neighbour
 * (Damerau-Levenshtein, optimal string alignment), ignoring case. A word is near when at most a
 * third of its letters differ; of equally near words the first offered wins. */
#ifndef KB_TOPO_NEAREST_H
#define KB_TOPO_NEAREST_H

#include <stddef.h>

typedef struct kb_nearest {
    const char *word;
    size_t word_length;
    size_t distance;   /* of the match */
    const char *match; /* null while nothing near was offered; not necessarily terminated */
    size_t length;     /* of the match */
} kb_nearest;

kb_nearest kb_nearest_start(const char *word);
void kb_nearest_offer(kb_nearest *nearest, const char *candidate, size_t length);

#endif

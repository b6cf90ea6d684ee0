/* The index of target rows' texts that contamination.c looks pool rows up in. */
#ifndef WN_SELECT_TARGETS_H
#define WN_SELECT_TARGETS_H

#include <stdbool.h>

#include "pool/pool.h"
#include "select/tally.h"
#include "select/wordlist.h"

enum { WN_RUN = 8, WN_PHRASE_MIN = 5 }; /* words of a run; the shortest whole stretch that counts */

typedef struct wn_targets {
    wn_tally index;       /* key of a run of n words -> number of the target row in `mark` */
    bool has[WN_RUN + 1]; /* has[n]: there are runs of n words */
    bool whole;           /* there are whole prompts */
    wn_pool *const *avoid;
    size_t n_avoid;
} wn_targets;

wn_err wn_targets_init(wn_targets *t, wn_pool *const *avoid, size_t n_avoid);
void wn_targets_free(wn_targets *t);
/* Key of a whole prompt. */
uint64_t wn_targets_whole_key(const wn_wordlist *prompt, size_t n);
/* "FILE: ID" of target row number; wn_free. */
wn_err wn_targets_name(char **name, const wn_targets *t, uint32_t number);

/* prompt | target | choices | references, as words; prompt_words: how many of them are the
 * prompt's. */
wn_err wn_row_words(wn_wordlist *w, size_t *prompt_words, const wn_row *row);
/* Rows that make a thing common enough to be a template. */
static inline bool wn_is_template(uint64_t rows_with, uint64_t rows)
{
    return rows_with >= 3 && 2 * rows_with >= rows;
}

#endif

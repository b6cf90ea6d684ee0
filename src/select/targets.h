/* The index of target rows' texts that contamination.c looks pool rows up in. */
#ifndef WN_SELECT_TARGETS_H
#define WN_SELECT_TARGETS_H

#include <stdbool.h>

#include "pool/pool.h"
#include "select/tally.h"
#include "select/wordlist.h"

enum { WN_RUN_MOST = 64, WN_PHRASE_MIN = 5 }; /* the shortest whole stretch that counts */

typedef struct wn_targets {
    size_t run;                /* words of a run */
    wn_tally index;            /* key of a run of n words -> number of the target row in `mark` */
    bool has[WN_RUN_MOST + 1]; /* has[n]: there are runs of n words */
    uint64_t rows, runs, stretches, wholes; /* rows read; different keys of each sort */
    uint64_t wordless;                      /* rows with none of them */
    wn_pool *const *avoid;
    size_t n_avoid;
} wn_targets;

/* run: WN_PHRASE_MIN .. WN_RUN_MOST. A file of whose rows nothing can be compared is an error. */
wn_err wn_targets_init(wn_targets *t, wn_pool *const *avoid, size_t n_avoid, size_t run);
void wn_targets_free(wn_targets *t);
/* Keys of a row as a whole: its prompt, and its prompt with its target; 0: it has no words. */
uint64_t wn_targets_prompt_key(const wn_wordlist *w, size_t prompt_words);
uint64_t wn_targets_row_key(const wn_wordlist *w, size_t prompt_words);
/* prompt | target | choices | references, as words; prompt_words: how many of them are the
 * prompt's. */
wn_err wn_row_words(wn_wordlist *w, size_t *prompt_words, const wn_row *row);
/* Rows that make a thing common enough to be a template. */
static inline bool wn_is_template(uint64_t rows_with, uint64_t rows)
{
    return rows_with >= 3 && 2 * rows_with >= rows;
}

#endif

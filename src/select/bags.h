/* Prompts as lists of words, for the strategies that need no model. Words are those of
 * select/wordlist.h: lower case, punctuation is a blank. */
#ifndef WN_SELECT_BAGS_H
#define WN_SELECT_BAGS_H

#include "select/select.h"

/* The words' hashes of text i are hash[start[i] .. start[i + 1]). */
typedef struct wn_bags {
    uint64_t N;
    uint64_t *start; /* [N+1] */
    uint64_t *hash;
    size_t cap;
} wn_bags;

/* Prompts of the candidates (none of those that are struck out), and of the queries. */
wn_err wn_bags_of_candidates(wn_bags *t, const wn_candidates *c);
wn_err wn_bags_of_pool(wn_bags *t, const wn_pool *p);
void wn_bags_free(wn_bags *t);

#endif

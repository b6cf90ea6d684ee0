/* Searches of one store, with the 8-bit codes of its rows from a file beside it (code_file.h):
 * "STORE.codes-l2" for l2 and ip, "STORE.codes-cosine". Answers are the same with and without. */
#ifndef WN_SEARCH_FINDER_H
#define WN_SEARCH_FINDER_H

#include "search/search.h"
#include "store/store.h"

typedef struct wn_finder wn_finder;

/* Takes the file that is there. Where there is none, or one that is damaged or belongs to other
 * rows, it is made, if the vectors are large enough to gain by it (64 MB) or with `prepare`; where
 * it cannot be written a message says so, and codes are made by every search. With `prepare` that
 * is an error. The store is borrowed. */
wn_err wn_finder_open(wn_finder **out, const wn_store *s, wn_metric metric, bool prepare);
void wn_finder_close(wn_finder *f);
/* As wn_search_among over the store's rows. */
wn_err wn_finder_find(int64_t *row, double *score, wn_finder *f, const uint64_t *skip,
                      const float *query, size_t Q, size_t k);

#endif

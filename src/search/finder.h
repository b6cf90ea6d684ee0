/* Searches of one store, with the 8-bit codes of its rows from a file beside it (code_file.h):
 * "STORE.codes-l2" for l2 and ip, "STORE.codes-cosine". Answers are the same with and without. */
#ifndef WN_SEARCH_FINDER_H
#define WN_SEARCH_FINDER_H

#include "search/search.h"
#include "store/store.h"

typedef struct wn_finder wn_finder;

/* Whether vectors are large enough for their codes to be kept without being asked to. */
bool wn_codes_worth(uint64_t rows, size_t dim);
/* Takes the file that is there. Where there is none, or one that is damaged or belongs to other
 * rows, the first search makes it in passing, if the vectors are large enough to gain by it (64 MB)
 * or with `prepare`; where it cannot be written a message says so, and codes are made by every
 * search. With `prepare` that is an error. The store is borrowed.
 *
 * No answer rests on a damaged byte: rows are compared with the store's checksums when they are
 * coded, codes and the rows that are scored with checksums in the file when they are read
 * (code_file.h). */
wn_err wn_finder_open(wn_finder **out, const wn_store *s, wn_metric metric, bool prepare);
void wn_finder_close(wn_finder *f);
/* From here on only rows [first, first + n) are searched, n not 0, in all rows' order and by all
 * rows' codes where there are any; where not they are made by every search. No row is to be
 * skipped by those who ask. */
enum { WN_FINDER_STEP = 256 }; /* first is a multiple of it */
void wn_finder_part(wn_finder *f, uint64_t first, uint64_t n);
/* What `n` askers ask for, in one pass over the store's rows: the same answers as one by one. */
wn_err wn_finder_find(wn_finder *f, const wn_asked *ask, size_t n);
/* Puts the names of both stores before an error of these calls that does not begin with the
 * store's; queries NULL: of the store alone. */
wn_err wn_finder_context(wn_err e, const wn_finder *f, const wn_store *queries);
/* Makes the file where it is not there, without a search; for a finder opened with `prepare`. */
wn_err wn_finder_prepare(wn_finder *f);

#endif

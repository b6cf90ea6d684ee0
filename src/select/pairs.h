/* All pairs of vectors that point nearly the same way. */
#ifndef WN_SELECT_PAIRS_H
#define WN_SELECT_PAIRS_H

#include "store/store.h"

/* Groups of the rows row[0 .. n-1] of a store (NULL: rows 0 .. n-1) that pairs of cosine of at
 * least `least` (0 < least <= 1) tie together: exact, no pair is missed. first[i] becomes the
 * position in the list of the first row of i's group, i itself where it is alone; score[i] the
 * cosine with that row, which may be below `least` where others stand between, 1 of the first
 * itself. The cosine is x.y / sqrt(x.x y.y) of the stored vectors in float64; a vector of zeros is
 * alone. NaN and infinity are refused by id. The store may be opened packed. Time: n^2 / 2 products
 * of vectors at the matrix unit's rate; memory: 12 bytes a row beside the outputs, and some MB a
 * thread however large the store is. The same for any number of threads. */
wn_err wn_vector_groups(uint64_t *first, double *score, const wn_store *s, const uint64_t *row,
                        uint64_t n, double least);

/* For each of the rows its largest cosine with a row of `other`, if that is at least `least`: the
 * position there, UINT64_MAX: none. Ties go to the smaller position. */
wn_err wn_vector_nearest(uint64_t *at, double *score, const wn_store *s, const uint64_t *row,
                         uint64_t n, const wn_store *other, double least);

#endif

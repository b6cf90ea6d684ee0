/* Rows in the order of a number each: of their hashes, to find equal ones, or of random draws. */
#ifndef WN_BASE_KEYED_H
#define WN_BASE_KEYED_H

#include <stdint.h>

typedef struct wn_keyed {
    uint64_t key, row;
} wn_keyed;

void wn_keyed_sort(wn_keyed *x, uint64_t n); /* by key, then row */
/* Of sorted ones: the place of the first whose key is not smaller; n where there is none. */
uint64_t wn_keyed_find(const wn_keyed *x, uint64_t n, uint64_t key);

#endif

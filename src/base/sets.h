/* Disjoint sets of numbers 0 .. n-1 that grow together; a set is named by its smallest number, so
 * the result does not depend on the order in which sets were joined. */
#ifndef WN_BASE_SETS_H
#define WN_BASE_SETS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

typedef struct wn_sets {
    uint32_t *parent; /* never larger than the number itself */
    uint64_t n;
} wn_sets;

/* n sets of one; n below 2^32. */
wn_err wn_sets_init(wn_sets *s, uint64_t n);
void wn_sets_free(wn_sets *s);
uint32_t wn_sets_first(wn_sets *s, uint32_t i);        /* shortens paths on the way */
uint32_t wn_sets_look(const wn_sets *s, uint32_t i);   /* the same, for readers in parallel */
bool wn_sets_join(wn_sets *s, uint32_t a, uint32_t b); /* false: they were one already */

#endif

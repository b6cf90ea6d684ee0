/* From 64-bit hashes to row numbers, 8 bytes a slot: the upper half of a slot is the hash's upper
 * half, the lower the number plus one. A hit is therefore only a candidate; callers compare what
 * the numbers stand for. Private to src/pool. */
#ifndef WN_POOL_SEEN_H
#define WN_POOL_SEEN_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define WN_SEEN_NONE UINT32_MAX

typedef struct wn_seen {
    uint64_t *slot;
    int bits; /* 2^bits slots, at most 2^31 numbers */
    size_t used;
} wn_seen;

/* Candidates in the order they were added: start with *at = SIZE_MAX; WN_SEEN_NONE ends. */
uint32_t wn_seen_next(const wn_seen *t, uint64_t hash, size_t *at);
wn_err wn_seen_add(wn_seen *t, uint64_t hash, uint32_t number);
void wn_seen_free(wn_seen *t);

#endif

/* Counts by 64-bit key: an open-addressed table of 16 bytes a slot, at most 3/4 full. */
#ifndef WN_SELECT_TALLY_H
#define WN_SELECT_TALLY_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

typedef struct wn_tally_slot {
    uint64_t key;         /* 0: empty; a key of 0 is kept as 1 */
    uint32_t count, mark; /* the caller's; 0 at first */
} wn_tally_slot;

typedef struct wn_tally {
    wn_tally_slot *slot;
    size_t slots, used;
} wn_tally;

/* The slot of a key, made if there is none; valid until the next call. */
wn_err wn_tally_at(wn_tally_slot **s, wn_tally *t, uint64_t key);
const wn_tally_slot *wn_tally_find(const wn_tally *t, uint64_t key); /* NULL: none */
/* One more row that has this key, rows given one after the other: twice in a row counts once. */
wn_err wn_tally_row(wn_tally *t, uint64_t key, uint32_t row);
void wn_tally_free(wn_tally *t);

/* A key that is told apart by task. */
static inline uint64_t wn_tally_in_task(uint64_t key, uint32_t task)
{
    return key ^ (task + 1) * (uint64_t)0xd6e8feb86659fd93u;
}

#endif

/* Which rows each update takes. An epoch goes through its order once: the rows as they lie in the
 * pool, shuffled by (seed, epoch), or as a file of ids lists them. Updates take the next rows of
 * it, a number of them or as many as have a number of tokens, and never straddle two epochs. */
#ifndef WN_TRAIN_ORDER_H
#define WN_TRAIN_ORDER_H

#include "train/data.h"

typedef struct wn_order {
    const wn_data *data;
    uint64_t n;      /* rows an epoch */
    uint64_t *row;   /* [n] of the epoch at hand */
    uint64_t *given; /* [n] a file's order, NULL: the pool's */
    uint64_t seed, epoch;
    bool shuffle;
    uint64_t examples; /* an update; 0: by tokens */
    uint64_t tokens;
} wn_order;

/* file: NULL, or a file with an id a line (or JSON Lines with "id"); an id that is no row's, and a
 * file without ids, are refused. A row may be listed again, and need not be. */
wn_err wn_order_open(wn_order *o, const wn_data *data, wn_pool *pool, const char *file,
                     uint64_t seed, bool shuffle, uint64_t examples, uint64_t tokens);
void wn_order_close(wn_order *o);
/* Updates of `epochs` passes, a last part of one rounded up. */
uint64_t wn_order_updates(wn_order *o, double epochs);
/* How many rows the update takes that begins at `at` of `epoch`: o->row + at, ... */
uint64_t wn_order_take(wn_order *o, uint64_t epoch, uint64_t at);
/* The most rows that any update can take. */
uint64_t wn_order_most(const wn_order *o);

/* The identity, or a shuffle by (seed, epoch), into order [n]. */
void wn_epoch_order(uint64_t *order, uint64_t n, uint64_t seed, uint64_t epoch, int shuffle);

#endif

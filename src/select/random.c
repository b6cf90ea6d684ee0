/* random: uniform without replacement. A candidate's place in the order is decided by a number
 * drawn for its position, so it does not matter how many others are struck out or how large the
 * budget is. */
#include "base/keyed.h"
#include "base/mem.h"
#include "base/rng.h"
#include "select/select.h"

wn_err wn_random_order(uint64_t **order, const wn_candidates *c, uint64_t seed, uint64_t first)
{
    wn_keyed *k;
    *order = NULL;
    WN_NEW(k, c->left);
    uint64_t n = 0;
    for (uint64_t i = 0; i < c->N; i++)
        if (!wn_bit(c->skip, i))
            k[n++] = (wn_keyed){wn_rng_u64(seed, WN_STREAM_SELECT, first + i), i};
    wn_keyed_sort(k, n);
    uint64_t *out =
        (uint64_t *)k; /* in place: entry i is written after entries i and i/2 were read */
    for (uint64_t i = 0; i < n; i++)
        out[i] = k[i].row;
    *order = out;
    return WN_OK;
}

wn_err wn_pick_random(wn_picks *out, const wn_candidates *c, const wn_select_opts *o)
{
    uint64_t *order;
    WN_TRY(wn_random_order(&order, c, o->common.seed, 0));
    wn_err err = wn_take_in_order(out, c, o, order, NULL);
    wn_free(order);
    return err;
}

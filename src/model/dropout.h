/* Dropout (Srivastava et al. 2014) with masks that are never stored: an element's fate is a
 * function of (seed, place in the model, update, example, position in the example, column), so a
 * backward makes the same mask again, and no cut of an update into batches changes it. */
#ifndef WN_MODEL_DROPOUT_H
#define WN_MODEL_DROPOUT_H

#include "model/linear.h"

/* out [n, K] (stride K) = x [n, K] (stride ldx) where kept, times 1 / (1 - p), else 0. out may be x
 * where ldx is K. Row i is token `token[i]` of the pass's tokens (its batch, if that is NULL), i
 * itself where token is NULL. */
void wn_drop(float *out, const float *x, size_t ldx, size_t n, size_t K, double p, uint64_t place,
             const uint32_t *token, const wn_pass *pass);

static inline bool wn_dropping(const wn_pass *pass)
{
    return pass->sink && !pass->still;
}

/* What the masks of one place in one update are made from. */
typedef struct wn_drop_rule {
    uint32_t key[2], step, keep; /* keep: of 2^32 */
    float scale;
} wn_drop_rule;
void wn_drop_rule_of(wn_drop_rule *r, double p, uint64_t place, const wn_pass *pass);

/* Numbers of places: adapters' inputs have their layer's number, a model's own begin here. */
#define WN_DROP_MODEL ((uint64_t)1 << 19)

#endif

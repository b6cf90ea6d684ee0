/* An update's batches, dealt to ranks (base/ranks.h), and its gradients, which are sums over the
 * batches in their order, whichever rank computes which: the bits of one process.
 *
 * All ranks compute forward and backward passes at the same time. What goes in order is the adding:
 * a parameter's sum so far is handed from the rank of one batch to that of the next as soon as the
 * former has added its share, which in a backward pass is layer by layer, so that a rank is about a
 * layer behind the one before it. Parameters with more than one use in a pass (an embedding, tied
 * or not, tables that layers share) and the output layer's, which come in tiles, are handed on when
 * the pass has ended: whoever trains them (full fine-tuning) gains mainly by the forward passes. */
#ifndef WN_TRAIN_RELAY_H
#define WN_TRAIN_RELAY_H

#include "model/model.h"

typedef struct wn_train_relay wn_train_relay;
/* What an update has come to so far. */
typedef struct wn_train_sums {
    double loss;
    uint64_t tokens;
} wn_train_sums;

wn_err wn_train_relay_new(wn_train_relay **out, wn_model *m);
void wn_train_relay_free(wn_train_relay *r);
/* Whether batch `index` of an update is this rank's. */
bool wn_train_relay_mine(const wn_train_relay *r, uint64_t index);
/* Before the forward pass of a batch of this rank; last: of the update. The pass gets the sink. */
wn_err wn_train_relay_begin(wn_train_relay *r, uint64_t index, bool last);
wn_sink wn_train_relay_sink(wn_train_relay *r);
/* Behind the pass: takes the sums up to the batch before, which the caller adds the batch's to, and
 * hands on. */
wn_err wn_train_relay_take(wn_train_relay *r, wn_train_sums *sums);
wn_err wn_train_relay_pass(wn_train_relay *r, const wn_train_sums *sums);
/* Collective, behind the update's last batch: all ranks get its sums and gradients. */
wn_err wn_train_relay_share(wn_train_relay *r, uint64_t batches, wn_train_sums *sums);

#endif

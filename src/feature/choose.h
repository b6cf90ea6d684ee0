/* Which parameters gradients are taken of. */
#ifndef WN_FEATURE_CHOOSE_H
#define WN_FEATURE_CHOOSE_H

#include "model/model.h"

/* The chosen parameters in the model's order, laid end to end: a gradient is one vector of `p`
 * numbers, parameter i's row-major elements at [at[i], at[i + 1]). */
typedef struct wn_chosen {
    size_t n;
    wn_param **param; /* [n], the model's */
    uint64_t *at;     /* [n + 1] */
    uint64_t p;       /* at[n] */
} wn_chosen;

/* what: "all"; "lora", the adapter's parameters; or names by pattern (pattern_list.h, runs of parts
 * between dots too): "q_proj,v_proj", "layers.0"; behind a "!" what is left out:
 * "!norm,embed_tokens". Makes the chosen parameters trainable, all others not. Refused: lora
 * without an adapter; a pattern that fits no parameter; a choice of nothing. */
wn_err wn_choose(wn_chosen *c, wn_model *m, const char *what);
void wn_chosen_free(wn_chosen *c);
/* The parameter that element k of a gradient belongs to; k < p. */
size_t wn_chosen_find(const wn_chosen *c, uint64_t k);

#endif

/* From a text's hidden states to its vector: pooling, then what the model's own folder puts behind
 * it. */
#ifndef WN_FEATURE_POOLING_H
#define WN_FEATURE_POOLING_H

#include "model/sentence.h"

typedef struct wn_vector_rule {
    wn_pooling pooling[WN_POOLINGS];
    size_t n_pooling;
    size_t skip;                  /* so many first tokens, a prompt's, are not pooled */
    const wn_sentence_part *part; /* run behind the pooling */
    size_t n_part;
    bool normalize;      /* at the end, to length 1 */
    size_t D, dim, most; /* width of a state and of a vector; the widest in between */
} wn_vector_rule;

/* v [most], out in its first `dim`: the vector of the n states h [n, D]; scratch [most]. `skip`
 * must be below n. */
void wn_vector_make(float *v, float *scratch, const float *h, size_t n, const wn_vector_rule *r);

#endif

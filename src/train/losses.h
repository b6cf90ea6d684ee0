/* T-Few's losses (Liu et al. 2022, arXiv 2205.05638, section 3.2; as the authors' code has them):
 * the sum, each with weight 1, of LM  mean over the answer's tokens of -log p LN  cross-entropy of
 * the answer under softmax(-s), s_c = mean over choice c's tokens of -log p UL  mean over the wrong
 * choices' tokens of -log(1 - p + 0.01) Each is a function of the tokens' losses alone, so its
 * gradient is theirs, weighed. */
#ifndef WN_TRAIN_LOSSES_H
#define WN_TRAIN_LOSSES_H

#include "train/data.h"

typedef struct wn_t_few {
    const wn_data *data;
    const wn_data_batch *batch;
    double examples; /* of the update */
    double gold;     /* supervised tokens of the update's answers; 0: each example by its own */
    double wrong;    /* of its other choices */
    double loss;     /* out: added up over the batches of an update */
} wn_t_few;
/* A wn_weigh whose ctx is a wn_t_few. */
void wn_t_few_weigh(void *ctx, float *weight, const float *nll, const uint32_t *off, size_t B);

#endif

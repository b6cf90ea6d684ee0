/* The output head: logits at supervised positions only, a tile of positions at a time, never a
 * whole [tokens, vocabulary] matrix. */
#ifndef WN_MODEL_HEAD_H
#define WN_MODEL_HEAD_H

#include "model/stack.h"

typedef struct wn_head {
    wn_norm norm;             /* before the product; gain WN_NO_PARAM: none */
    const wn_linear *project; /* [E, D], before the product; NULL: none, E is D */
    const wn_linear *output;  /* [V, E] */
    size_t V, D;
    float softcap;
    double drop; /* share of the normed state dropped in training */
    uint64_t place;
    float scale; /* of the state before the product (T5 v1.0, tied: D^-1/2); 1: none */
} wn_head;

typedef struct wn_head_work {
    size_t P, tile;                               /* most supervised positions; positions a tile */
    uint32_t *token;                              /* [P] whose state predicts */
    int32_t *label;                               /* [P] */
    uint32_t *off;                                /* [B+1] supervised positions of segment b */
    uint32_t *part;                               /* [B+1] the same, cut to a tile */
    float *state, *normed, *mean, *rinv, *dstate; /* [P, D], [P] */
    float *narrow, *dnarrow;                      /* [P, E], NULL without a projection */
    float *weight, *nll, *lse;                    /* [P] */
    float *dnormed; /* [P, D] behind the norm's backward: `normed` itself where that is not kept */
    float *margin;  /* [P] NULL: only losses */
    float *logits;  /* [tile, V] */
    wn_linear_work project, output; /* of P rows, of a tile's */
} wn_head_work;

void wn_head_plan(wn_head_work *w, const wn_head *h, wn_arena *a, size_t labels, size_t segments,
                  wn_work_kind kind);

/* What a position's loss weighs in the gradient: each segment's own number, or what a function says
 * when all losses are known (the logits are then computed twice, but for one tile of them). */
typedef struct wn_head_weight {
    const float *segment; /* [B] */
    const wn_weigh *weigh;
} wn_head_weight;

/* With a margin in the pass, its quantity takes the loss's place and margin [B] is filled.
 * nll [B], count [B] of the batch from the stack's output x [T, D]. With a weight (and a pass with
 * a sink) also dx [T, D] = gradient of the sum of weight * nll with respect to x, and the head's
 * own gradients. */
wn_err wn_head_run(const wn_head *h, wn_head_work *w, wn_pass *pass, const float *x,
                   const wn_head_weight *weight, float *dx, double *nll, uint32_t *count);

/* The likeliest token behind every segment's last: next [B]; of equal ones the smallest id. (A soft
 * cap keeps their order.) B is at most the planned number of labels. A state without any finite
 * logit gives -1. */
void wn_head_next(const wn_head *h, wn_head_work *w, const wn_pass *pass, const float *x,
                  int32_t *next);

#endif

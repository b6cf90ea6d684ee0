/* One linear layer: y = x W^T + b, with an adapter as an edit of it. LoRA (Hu et al. 2021, arXiv
 * 2106.09685, eq. 3) adds scale * B (A drop(x)). IA3 (Liu et al. 2022, arXiv 2205.05638, section
 * 3.3) multiplies by a vector l: y = l * (x W^T + b), or, as PEFT does before a feed-forward
 * layer, y = (l * x) W^T + b. The weight is packed once and frozen, or has a float32 master when it
 * is trained. */
#ifndef WN_MODEL_LINEAR_H
#define WN_MODEL_LINEAR_H

#include "base/mem.h"
#include "kernel/kernel.h"
#include "model/model.h"
#include "model/params.h"
#include "model/weights.h"

enum { WN_NO_PARAM = -1 };

typedef struct wn_linear {
    char *module; /* "model.layers.0.self_attn.q_proj" */
    wn_mat mat;
    size_t N, K;
    bool transposed;    /* the parameter is [K, N] */
    wn_row_order order; /* of the rows in a GGUF file */
    int weight, bias;   /* indices into params; bias WN_NO_PARAM: none */
    int lora_a, lora_b; /* [r, K] and [N, r]; WN_NO_PARAM: no adapter */
    size_t r;
    float scale;  /* alpha / r, or alpha / sqrt(r) */
    double alpha; /* as given */
    bool rslora;
    double dropout;
    int ia3;         /* [N, 1], or [1, K] if ia3_in; WN_NO_PARAM: none */
    bool ia3_in;     /* it multiplies the input */
    uint64_t number; /* of this layer in the model: stream of its dropout */
} wn_linear;

/* What a linear layer's passes need besides their matrices. */
typedef struct wn_pass {
    wn_params *params;
    const wn_batch *batch;
    const wn_sink *sink; /* NULL in a forward without a backward to come */
    uint64_t seed, step;
    bool still;           /* no dropout, in spite of the sink */
    wn_quantity quantity; /* with margin [B] not NULL; else the loss */
    double *margin;
    const wn_batch *tokens; /* NULL: a linear layer's rows are the batch's tokens, in order */
    const uint32_t *token;  /* [rows] with tokens: which of its tokens a row is, for the masks */
    float *drop;            /* scratch [T, K] for dropped inputs, NULL without dropout */
    float *low;             /* scratch [T, r] */
    float *scaled;          /* scratch [T, wn_linear_scaled] */
} wn_pass;

/* Numbers a token that a forward keeps for its backward (LoRA: r, IA3 on the output: N, else 0),
 * and the scratch both need. A layer that is not there (N 0) needs none. */
size_t wn_linear_kept(const wn_linear *l);
size_t wn_linear_scaled(const wn_linear *l);

/* y [T, N] (row stride ldy) from x [T, K]. flags: WN_MM_ADD. kept [T, wn_linear_kept] out: A
 * drop(x) of LoRA, the output before IA3; NULL: scratch is used. Dropout is active where the pass
 * has a sink. */
void wn_linear_fwd(float *y, size_t ldy, const float *x, size_t ldx, const wn_linear *l,
                   wn_pass *pass, float *kept, int flags);
/* Whether y is x W^T + b and nothing else: no adapter. */
bool wn_linear_plain(const wn_linear *l);
/* A plain layer with what f asks for besides; f's bias is the layer's own. up: a gated layer's
 * other half, plain too and of the same shape, or NULL. */
void wn_linear_fused(float *y, size_t ldy, const float *x, size_t ldx, const wn_linear *l,
                     const wn_linear *up, const wn_pass *pass, wn_fused f);
/* dx (NULL: not needed; WN_MM_ADD in flags adds) and the sink's share. */
void wn_linear_bwd(float *dx, size_t lddx, const float *dy, size_t ldy, const float *x, size_t ldx,
                   const float *kept, const wn_linear *l, wn_pass *pass, int flags);
void wn_linear_free(wn_linear *l);
/* Whether a parameter of it is trained: weight, bias or adapter. */
bool wn_linear_trained(const wn_linear *l, const wn_params *ps);

/* Memory of a layer's adapter outside of the stacks: what its forward keeps, and scratch. Members
 * that the adapter does not need are NULL. */
typedef struct wn_linear_work {
    float *kept, *low, *scaled, *drop;
} wn_linear_work;
/* For T rows, in the arena (one without memory only counts). */
void wn_linear_plan(wn_linear_work *w, const wn_linear *l, wn_arena *a, size_t T);
/* The pass with w's scratch. */
wn_pass wn_linear_pass(const wn_pass *pass, const wn_linear_work *w);

#endif

/* One linear layer: y = x W^T + b, with an adapter as an edit of it. LoRA adds scale * B (A
 * drop(x)). The weight is packed once and frozen, or has a float32 master when it is trained. */
#ifndef WN_MODEL_LINEAR_H
#define WN_MODEL_LINEAR_H

#include "kernel/kernel.h"
#include "model/model.h"
#include "model/params.h"

enum { WN_NO_PARAM = -1 };

typedef struct wn_linear {
    char *module; /* "model.layers.0.self_attn.q_proj" */
    wn_mat mat;
    size_t N, K;
    bool transposed;    /* the parameter is [K, N] */
    int weight, bias;   /* indices into params; bias WN_NO_PARAM: none */
    int lora_a, lora_b; /* [r, K] and [N, r]; WN_NO_PARAM: no adapter */
    size_t r;
    float scale;
    double dropout;
    uint64_t number; /* of this layer in the model: stream of its dropout */
} wn_linear;

/* What a linear layer's passes need besides their matrices. */
typedef struct wn_pass {
    wn_params *params;
    const wn_batch *batch;
    const wn_sink *sink; /* NULL in a forward without a backward to come */
    uint64_t seed, step;
    float *drop; /* scratch [T, K] for dropped inputs, NULL without dropout */
    float *low;  /* scratch [T, r] */
} wn_pass;

/* y [T, N] (row stride ldy) from x [T, K]. flags: WN_MM_ADD. xa [T, r] out: A drop(x), kept for the
 * backward; NULL: scratch is used. Dropout is active where the pass has a sink. */
void wn_linear_fwd(float *y, size_t ldy, const float *x, size_t ldx, const wn_linear *l,
                   wn_pass *pass, float *xa, int flags);
/* dx (NULL: not needed; WN_MM_ADD in flags adds) and the sink's share. */
void wn_linear_bwd(float *dx, size_t lddx, const float *dy, size_t ldy, const float *x, size_t ldx,
                   const float *xa, const wn_linear *l, wn_pass *pass, int flags);
bool wn_linear_trainable(const wn_linear *l, const wn_params *ps);
void wn_linear_free(wn_linear *l);

#endif

/* A stack of transformer layers, forward above backward: the one loop behind every family. A family
 * is a way to fill a wn_stack: which norms there are and where they stand, how queries and keys are
 * rotated, which keys a query sees, how the feed-forward part is gated. */
#ifndef WN_MODEL_STACK_H
#define WN_MODEL_STACK_H

#include "base/mem.h"
#include "model/linear.h"

typedef struct wn_norm {
    int gain, bias; /* indices into params; gain WN_NO_PARAM: no norm here */
    float eps;
    bool rms; /* root mean square norm, else layer norm */
} wn_norm;

/* Shares dropped in training, 0: none. */
typedef struct wn_dropout {
    double embed, attn; /* of the stack's input, of attention's probabilities */
    double residual;    /* of each part's output, before it is added to the state */
    double act, final;  /* of the feed-forward part's inner values, of the final norm's output */
    uint64_t site;      /* number of the stack's first place */
} wn_dropout;
/* A stack's places where something is dropped: three of its own, then some of each layer. */
enum wn_drop_place { WN_DROP_EMBED, WN_DROP_FINAL, WN_DROP_OWN = 4 };
enum wn_drop_layer {
    WN_DROP_ATTN,
    WN_DROP_ATTN_OUT,
    WN_DROP_CROSS,
    WN_DROP_CROSS_OUT,
    WN_DROP_ACT,
    WN_DROP_MLP_OUT,
    WN_DROP_A_LAYER = 8
};

enum { WN_LAYER_LINEARS = 11 }; /* at most, of one layer */

typedef struct wn_layer {
    wn_norm attn_in, attn_out, mlp_in, mlp_out;
    wn_norm q_norm, k_norm; /* over each head's d components (Qwen3, Gemma 3) */
    wn_linear
        qkv[3]; /* one fused or three; their outputs lie side by side: queries, keys, values */
    int n_qkv;
    wn_linear out;
    wn_linear up[2]; /* gate and up, or one (fused gate|up, or the plain first layer) */
    int n_up;
    wn_linear down;
    wn_norm
        cross_in; /* attention to an encoder's output, between the two halves; cross_q.N 0: none */
    wn_linear cross_q, cross_k, cross_v, cross_out;
    size_t window; /* 0: all keys */
    int rope;      /* index of the rotary table, -1: none */
} wn_layer;

/* Rotary angles of rows of more than `from` tokens, where they differ from the table's (rope.h). */
typedef struct wn_rope_long {
    size_t from; /* 0: angles never depend on a row's length */
    double
        *freq; /* [rot / 2] of every longer row; NULL: a base that grows with the row (dynamic) */
    double theta, factor, scale;
} wn_rope_long;

typedef struct wn_stack {
    size_t L, D, H, G, d,
        F; /* layers, width, heads, key/value heads, head width, feed-forward width */
    bool causal;
    bool post_norm; /* x = norm(x + f(x)) with attn_out and mlp_out (BERT); else x +
                       norm_out(f(norm_in(x))) */
    bool qkv_mixed; /* the fused layer's outputs are q, k, v of head 0, then of head 1, ... (G == H)
                     */
    bool normed_residual; /* norm(x) + f(norm(x)) (BLOOM, where its config asks for it) */
    bool qk_whole;        /* q_norm and k_norm are over all heads together (OLMo 2) */
    bool parallel;        /* x + attention(norm(x)) + mlp(norm'(x)) (GPT-NeoX) */
    bool gated;
    wn_act act;
    float scale, softcap; /* of attention scores */
    float *rope[2];       /* [positions, rot]: cos, then sin */
    wn_rope_long longer;  /* of rope[0] */
    size_t rot, positions;
    bool interleaved;
    int bias; /* T5's relative position table [buckets, H] among the params, WN_NO_PARAM: none */
    size_t buckets, max_distance;
    float *slope;    /* [H] ALiBi, NULL: none */
    wn_layer *layer; /* [L] */
    wn_dropout drop;
} wn_stack;

void wn_stack_free(wn_stack *s);

static inline size_t wn_qkv_width(const wn_stack *s)
{
    return (s->H + 2 * s->G) * s->d;
}

static inline size_t wn_up_width(const wn_stack *s)
{
    return s->gated ? 2 * s->F : s->F;
}

/* Numbers a token of qkv, ctx and up together. */
size_t wn_stack_inner(const wn_stack *s);

/* The i-th of a layer's WN_LAYER_LINEARS linear layers: queries, keys, values, attention's output,
 * gate, up, down, then queries, keys, values and output of attention to an encoder. N is 0 where
 * the family has none. */
wn_linear *wn_layer_linear(wn_layer *l, int i);

/* Where a layer keeps what its backward needs. */
typedef struct wn_acts {
    float *in, *in_mean, *in_rinv; /* the layer's input and its norm's statistics */
    float *qkv, *qk_raw,
        *qk_rinv; /* behind norm and rotation; before the norm of queries and keys */
    float *ctx, *lse;
    float *attn, *attn_mean,
        *attn_rinv; /* input of attn_out (or of the norm behind the residual) */
    float *mid, *mid_mean, *mid_rinv;
    float *up; /* [T, F] or [T, 2F]: gate | up */
    float *mlp, *mlp_mean, *mlp_rinv;
    float *cross, *cross_mean, *cross_rinv; /* the state before attention to the source */
    float *cross_q, *cross_kv, *cross_ctx, *cross_lse;
    uint16_t *narrow;              /* qkv, ctx and up as bf16, NULL: they are kept as they are */
    float *kept[WN_LAYER_LINEARS]; /* of adapters, in the order of wn_layer_linear */
} wn_acts;

/* Keys and values that outlive a pass, for cached decoding: a row a token, keys | values, and the
 * like for attention to an encoder's output. The ranges of wn_stack_work point into them. */
typedef struct wn_kv {
    size_t rows, source_rows;
    float *own;                /* [L, rows, 2*G*d] */
    float *source;             /* [L, source_rows, 2*H*d], NULL without such attention */
    const uint32_t *source_to; /* [source segments] first row of each in this pass */
} wn_kv;

/* Memory of passes on tile products (stack_strips.h): the inputs of products, queries | keys |
 * values, and the inputs of int8 products with what leads back from them. */
typedef struct wn_strips {
    uint16_t *h, *ctx, *act, *qkv;
    uint8_t *bytes;
    float *row;
    int32_t *zero;
} wn_strips;

/* Memory of passes over a stack, planned for at most T tokens. */
typedef struct wn_stack_work {
    size_t T;
    const wn_kv *kv; /* NULL: keys and values live for this pass */
    bool
        recompute; /* layers share their activations but for `in`: computed again in the backward */
    bool narrow;   /* layers share qkv, ctx and up, and keep them as bf16 */
    bool round;    /* what is computed again is rounded as narrow layers' is */
    wn_acts *acts; /* [L] when training, else one for all layers */
    float *again;  /* [T, D] with recompute */
    float *h, *act, *gradient, *d_mid, *d_h, *d_qkv, *d_ctx, *d_up, *d_act;
    float *mean, *rinv; /* of the norm behind an encoder's stack */
    float *drop, *low, *scaled, *mixed;
    const float *source; /* [source tokens, D]: the encoder's output */
    float *d_source;     /* its gradient, summed over the layers */
    float *d_cross_q, *d_cross_kv, *d_bias;
    uint32_t *pre, *own;   /* key ranges of segments */
    uint32_t *from, *none; /* the same in the source; empty ranges */
    int32_t *pos;
    float *angle;      /* [T, rot] of this pass's tokens, NULL: the stack has no wn_rope_long */
    int32_t *angle_at; /* [T] 0, 1, ... */
    uint32_t *length;  /* [segments] tokens of the rows that they belong to */
    bool any_long;     /* angles come from `angle` in this pass */
    wn_strips strips;  /* h NULL: none */
} wn_stack_work;

/* Lays the work out in the arena (a NULL arena base only counts). acts: array of L (train) or 1. */
void wn_stack_plan(wn_stack_work *w, const wn_stack *s, wn_arena *a, wn_acts *acts, size_t T,
                   size_t segments, wn_work_kind kind);

/* Positions and key ranges of a batch, for a pass without wn_kv; fails where a row is longer than
 * the model's positions, or where texts behind one parent would turn it by different angles. */
wn_err wn_stack_prepare(const wn_stack *s, wn_stack_work *w, const wn_batch *b);

/* Attention of layer l as this pass has it, without dropout. */
wn_attn wn_stack_attention(const wn_stack *s, const wn_layer *l, const wn_stack_work *w,
                           const wn_pass *pass);
/* x [T, D] in: embeddings, out: the state behind layer `last` (1..L). With keep the layers'
 * activations stay for the backward. */
void wn_stack_fwd(const wn_stack *s, wn_stack_work *w, wn_pass *pass, float *x, size_t last,
                  bool keep);
/* w->gradient [T, D] in: gradient of the last layer's output, out: of the embeddings (if
 * below). It ends at the lowest layer that is trained, unless what lies below (the embeddings,
 * an encoder) is trained too. */
void wn_stack_bwd(const wn_stack *s, wn_stack_work *w, wn_pass *pass, bool below);
/* Whether any parameter of the stack's layers is trained. */
bool wn_stack_trained(const wn_stack *s, const wn_params *ps);

bool wn_norm_trainable(const wn_norm *n, const wn_params *ps); /* gain or bias */
/* y = norm(x) by the parameters' values; mean, rinv kept if not NULL. */
void wn_norm_fwd(float *y, float *mean, float *rinv, const float *x, const wn_norm *n,
                 const wn_params *ps, size_t T, size_t D);
/* dx (+= if add); the norm's gain and bias go to the sink. */
void wn_norm_bwd(float *dx, const float *dy, const float *x, const float *mean, const float *rinv,
                 const wn_norm *n, wn_pass *pass, const wn_seg *seg, size_t T, size_t D, bool add);

#endif

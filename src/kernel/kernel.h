/* Arithmetic on pointers: the operations that models, search and training are made of. Nothing here
 * allocates (but packing and work sizes, which the caller provides), fails or prints.
 *
 * Two layers. Row kernels and tile kernels are single-threaded and live in a table
 * (wn_kernel_table) that is filled by ref.c (plain loops, double sums: what "correct" means) and by
 * fast.c, compiled once for each instruction set; dispatch.c chooses by CPUID,
 * WN_KERNEL=ref|avx2|avx512|amx overrides (avx512: no AMX). The wn_* functions below cut work into
 * fixed tiles for wn_par_do and call the table.
 *
 * Letters: T tokens (rows of a batch, end to end), D width, K inputs and N outputs of a linear
 * layer, H heads, G key/value heads, d head width, V vocabulary. All matrices are row-major
 * float32, a row stride (ld) in elements where it can differ from the width. No result depends on
 * the number of threads, on T or on the position of a row among the T rows. */
#ifndef WN_KERNEL_KERNEL_H
#define WN_KERNEL_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

const char *wn_kernel_name(void); /* "ref", "avx2", "avx512", "amx": what is in use */
/* For tests: NULL chooses by CPU; unknown or unsupported: ref. */
void wn_kernel_use(const char *name);
bool wn_cpu_fast_bf16(void);                   /* AVX512-BF16 or AMX is there and in use */
void wn_cpu_features(char *text, size_t size); /* "avx2 fma avx512f ..." */
typedef enum wn_act {
    WN_ACT_SILU,
    WN_ACT_GELU,
    WN_ACT_GELU_TANH,
    WN_ACT_RELU,
    WN_ACT_IDENTITY
} wn_act;

/* ---- matrix products ----------------------------------------------------------------------------
 * A linear layer's weight W [N, K], packed once, in panels of WN_NR outputs, the last one padded
 * with zeros. One copy serves y = x W^T and dx = dy W, which turns blocks round on the way.
 *
 *   kind  bytes a weight  a panel
 *   F32   4       K groups of 16 floats
 *   BF16  2       K/2 groups of 16 pairs (k, k+1); K padded to a multiple of 32
 *   Q8    1.0625  blocks of 32 k: 16 scales (half floats), 32 groups of 16 signed bytes
 *   Q4    0.625   blocks of 32 k: 16 scales, 16 least values, 16 groups of 16 bytes, two k in each
 *   INT8  1       16 scales, 16 sums, K/4 groups of 16 quads; K padded to a multiple of 64
 *
 * A product of bf16 kinds rounds x (dy) to bf16, multiplies exactly and sums in f32: on AMX or
 * AVX512-BF16 where the processor has them, elsewhere in f32 registers, so that --precision bf16
 * means the same numbers everywhere, up to the order of sums (and numbers below 2^-126, which the
 * native instructions take for zeros).
 *
 * Q8 and Q4 hold W = q * scale and q * scale + least, q in -127..127 and 0..15, and become floats
 * or bf16 a block at a time, in both directions: a frozen base in little memory.
 *
 * INT8 is forward only, K at most WN_INT8_K. An output's weights become w = round(W / scale), scale
 * = max |W| / 127; each row of x becomes q = round(x / step) + zero in 0..255, step and zero by its
 * range (0 included), when it comes. Sums of q w are exact, so every processor finds the same
 * integers, and y = ((sum - zero * sum of w) * scale) * step has the same bits. A row with a NaN or
 * an infinity gives NaNs. */
enum {
    WN_NR = 16,
    WN_ND = 8,        /* columns of a panel of doubles */
    WN_HEAD_MAX = 512 /* widest attention head: callers check, kernels assert */
};

enum { WN_INT8_K = 16384 };

typedef enum wn_mat_kind { WN_MAT_F32, WN_MAT_BF16, WN_MAT_INT8, WN_MAT_Q8, WN_MAT_Q4 } wn_mat_kind;

typedef struct wn_mat {
    size_t N, K;
    wn_mat_kind kind;
    bool f32;    /* Q8, Q4: products in f32, else of bf16 numbers */
    void *panel; /* wn_mat_bytes, 64-byte aligned, the caller's */
} wn_mat;

/* Bytes of `panel` for an [N, K] matrix. */
size_t wn_mat_bytes(wn_mat_kind kind, size_t N, size_t K);
/* Packs rows [n0, n0 + n) of W (row-major, n0 a multiple of WN_NR, n a multiple too or up to N);
 * parts may be packed in parallel. */
void wn_mat_pack(wn_mat *m, const float *W, size_t n0, size_t n);
/* Row n of W back from the packed form, as it is multiplied. */
void wn_mat_row(float *out, const wn_mat *m, size_t n);
/* Outputs [n0, n0 + n) of m as a matrix of their own (n0 a multiple of WN_NR): a view. */
wn_mat wn_mat_part(const wn_mat *m, size_t n0, size_t n);

enum {
    WN_MM_ADD = 1,  /* y += instead of y = (residuals, sums of paths), before the activation */
    WN_MM_GELU = 2, /* erf GELU behind the bias */
    WN_MM_GELU_TANH = 4,
    WN_MM_RELU = 8,
    WN_MM_SILU = 16
};
/* y [T, N] = x [T, K] W^T + bias [N] or NULL, then the activation. y must not overlap x. */
void wn_mm(float *y, size_t ldy, const float *x, size_t ldx, const wn_mat *W, const float *bias,
           size_t T, int flags);

/* The same with all that can be done while a tile of sums is in the first cache:
 *   s = (y, if WN_MM_ADD, +) x W^T + bias;   y = act(s) * (x up^T + up_bias) + residual
 * With up, K is at most WN_FUSED_K. */
enum { WN_FUSED_K = 2560 };
typedef struct wn_fused {
    const float *bias;
    int flags;             /* WN_MM_ADD (not with up) and an activation */
    const wn_mat *up;      /* a gated layer's other half, of W's shape and kind; NULL: none */
    const float *up_bias;  /* [N] or NULL */
    const float *residual; /* [T, N], row stride ldr; may be y itself; NULL: none */
    size_t ldr;
} wn_fused;
void wn_mm_fused(float *y, size_t ldy, const float *x, size_t ldx, const wn_mat *W, size_t T,
                 const wn_fused *f);
/* dx [T, K] (+)= dy [T, N] W. flags: WN_MM_ADD. */
void wn_mm_back(float *dx, size_t lddx, const float *dy, size_t lddy, const wn_mat *W, size_t T,
                int flags);

/* A LoRA beside a packed weight: A [r, K], B [N, r]. */
typedef struct wn_low {
    const float *A, *B;
    size_t r;
    float scale;
    float *kept; /* [T, r] out: forward x A^T, backward scale * dy B */
} wn_low;
/* y (+)= x W^T + bias + scale * (x A^T) B^T; dx (+)= dy W + kept A; flags: WN_MM_ADD. Where W's
 * products are of numbers rounded to bf16 and the processor has such products, so are the LoRA's:
 * they ride on the same packed rows (r at most 32); else they are float products of their own. */
void wn_mm_low(float *y, size_t ldy, const float *x, size_t ldx, const wn_mat *W, const float *bias,
               size_t T, int flags, const wn_low *low);
void wn_mm_low_back(float *dx, size_t lddx, const float *dy, size_t lddy, const wn_mat *W, size_t T,
                    int flags, const wn_low *low);

/* A linear layer's gradient from B examples, rows [off[b], off[b+1]) of dy [., N] and x [., K]:
 * dW [N, K] = (dW, if add, +) scale * dy^T x, example after example in order, so that the bits do
 * not depend on how examples are cut into calls. bf16: of numbers rounded to bf16, summed in f32
 * (scale must be 1). */
void wn_mm_grad(float *dW, size_t lddw, const float *dy, size_t lddy, const float *x, size_t ldx,
                size_t N, size_t K, float scale, const uint32_t *off, size_t B, bool bf16,
                bool add);

/* Runs bare multiply-adds of the kind's numbers on this thread and returns how many floating-point
 * operations that was: over the time it took, the rate that products are measured against. 0: the
 * processor has none of its own. */
double wn_mat_spin(wn_mat_kind kind, size_t rounds);

/* Plain products of unpacked matrices (adapters, weight gradients, projections, search):
 * C [M, N] (+)= alpha * op(A) op(B), op(A) [M, K], op(B) [K, N]; ta/tb: the stored matrix is the
 * transposed one. Parallel over tiles of C. */
void wn_gemm(bool ta, bool tb, size_t M, size_t N, size_t K, float alpha, const float *A,
             size_t lda, const float *B, size_t ldb, bool add, float *C, size_t ldc);

/* G [n, m] = scale * dy^T x, dy [T, n], x [T, m], T above 0: one tile of a weight's gradient.
 * Single-threaded: made to be called from tiles. Every element is one sequence of multiply-adds
 * over the T rows. bf16: of numbers rounded to bf16, summed in f32, as wn_mm_grad's (scale must be
 * 1). */
void wn_outer(float *G, size_t ldg, float scale, const float *dy, size_t ldy, const float *x,
              size_t ldx, size_t n, size_t m, size_t T, bool bf16);

/* ---- random signs ------------------------------------------------------------------------------
 * A matrix of +1 and -1, [any number of rows k, R], that is never stored as numbers. A word holds
 * 32 rows of one column: the sign at (k, j) is + where bit k % 32 of its word is 1. Without `word`
 * words are made when they are needed: word (k / 32, j) is word (j % 64) / 16 of Philox4x32-10 at
 * the index (k / 32) << 16 | (j / 64) * 16 + j % 16 of (seed, stream), as in base/rng.h, so column
 * j is the same for every R. */
typedef struct wn_signs {
    uint64_t seed, stream;
    const uint32_t *word; /* [ceil(rows / 32), R], NULL: from (seed, stream) */
    size_t R;             /* columns, at most WN_SIGNS_MAX */
} wn_signs;
enum { WN_SIGNS_MAX = 65536 };
/* The sign at (k, j), for tests and single numbers: 1 or -1. */
int wn_sign(const wn_signs *s, uint64_t k, size_t j);
/* c [M, R] += g [M, n] times rows [first, first + n) of the signs. Single-threaded: made to be
 * called from tiles. Every element is one sequence of additions over the rows, whatever M is. */
void wn_signs_add(float *c, size_t ldc, const float *g, size_t ldg, size_t M, size_t n,
                  const wn_signs *s, uint64_t first);
/* out [M, n] = w [M, R] times the transposed rows [first, first + n). Single-threaded too. */
void wn_signs_back(float *out, size_t ldo, const float *w, size_t ldw, size_t M, size_t n,
                   const wn_signs *s, uint64_t first);

/* ---- norms (forward above backward; all add into their gradient outputs) -----------------------
 */

/* y = g * x / rms(x), rms = sqrt(mean(x*x) + eps). rinv [T] out: 1/rms, may be NULL. y may be x.
 * Zhang & Sennrich 2019, arXiv 1910.07467, eq. 4. */
void wn_rmsnorm(float *y, float *rinv, const float *x, const float *g, size_t T, size_t D,
                float eps);
/* dx [T,D] (+= if add) from dy. With u = g*dy, h = x*rinv: dx = rinv*(u - h*mean(u*h)). */
void wn_rmsnorm_back(float *dx, const float *dy, const float *x, const float *g, const float *rinv,
                     size_t T, size_t D, bool add);
/* dg [D] += sum over rows t0..t1 of dy * x * rinv, in row order. */
void wn_rmsnorm_gain(float *dg, const float *dy, const float *x, const float *rinv, size_t t0,
                     size_t t1, size_t D);

/* y = g * (x - mean) / sqrt(var + eps) + b (b or NULL). mean, rinv [T] out, may be NULL. y may be
 * x. */
void wn_layernorm(float *y, float *mean, float *rinv, const float *x, const float *g,
                  const float *b, size_t T, size_t D, float eps);
void wn_layernorm_back(float *dx, const float *dy, const float *x, const float *g,
                       const float *mean, const float *rinv, size_t T, size_t D, bool add);
void wn_layernorm_gain(float *dg, float *db, const float *dy, const float *x, const float *mean,
                       const float *rinv, size_t t0, size_t t1, size_t D);

/* ---- activations
 * ---------------------------------------------------------------------------------- */

/* y [T,F] = act(gate) * up; gate and up have row stride ld (they may lie side by side). up NULL:
 * act alone. */
void wn_act_gate(float *y, const float *gate, const float *up, size_t ld, size_t T, size_t F,
                 wn_act act);
/* dgate, dup (may be the buffers gate and up themselves: elementwise) from dy [T,F]. */
void wn_act_gate_back(float *dgate, float *dup, const float *dy, const float *gate, const float *up,
                      size_t ld, size_t T, size_t F, wn_act act);

/* y [n] = x rounded to bf16 (nearest even), and back. */
void wn_to_bf16(uint16_t *y, const float *x, size_t n);
void wn_from_bf16(float *y, const uint16_t *x, size_t n);
/* Both in place. */
void wn_round_bf16(float *x, size_t n);

/* ---- rotary positions
 * ---------------------------------------------------------------------------- */

/* Rotates the first `rot` components of each of `heads` heads of width d in rows of stride ld,
 * pairs (i, i + rot/2) ("half", GPT-NeoX and Llama in Hugging Face layout) or (2i, 2i+1) if
 * interleaved. cs [positions, rot]: cos of pair i at [p, i], sin at [p, rot/2 + i]. back: rotates
 * the other way, the transpose, which is the gradient. */
void wn_rope(float *x, size_t ld, size_t heads, size_t d, size_t rot, bool interleaved, bool back,
             const float *cs, const int32_t *pos, size_t T);

/* Dropout of probabilities in training: behind the softmax, whose sum stays whole. An element's
 * fate is a function of key, step and (its segment's example, head, positions of query and key). */
typedef struct wn_attn_drop {
    uint32_t keep; /* of 2^32 that stay */
    float scale;   /* of what stays: 1 / the share kept */
    uint32_t key[2], step;
    const uint64_t *example; /* [S], NULL: first + the segment's number */
    uint64_t first;
} wn_attn_drop;

/* ---- attention
 * ------------------------------------------------------------------------------------ Segments lie
 * end to end: segment s owns query tokens [q0[s], q0[s+1]). Its keys are two ranges of key rows,
 * the prefix [pre[2s], pre[2s+1]) seen whole by every query, then its own [own[2s], own[2s+1]), of
 * which query i sees the first i + 1 if causal, else all. So one kernel serves encoders, decoders,
 * choices that share a prompt, cached decoding and cross-attention. scale multiplies the scores;
 * softcap c > 0 turns a score into c*tanh(score/c); window w > 0 hides keys w or more positions
 * behind the query, and, if not causal, ahead of it (position = rank within prefix + own); slope
 * [H] adds slope * (key - query) positions (ALiBi); bias adds a T5 table: bias [buckets, H] looked
 * up by bucket(key position - query position). Scores are never stored for long rows: tiles with a
 * running softmax (Milakov & Gimelshein 2018; Dao 2022). */
typedef struct wn_attn {
    size_t S;            /* segments */
    const uint32_t *q0;  /* [S+1] */
    const uint32_t *pre; /* [2S] key rows */
    const uint32_t *own; /* [2S] key rows */
    size_t H, G, d, dv;  /* query heads, key/value heads (H % G == 0), widths of q/k and of v */
    size_t ldq, ldk, ldv, ldo; /* row strides; head h of a row starts at h*d (or h*dv) */
    bool causal;
    float scale, softcap;
    size_t window;
    const float *slope;
    const float *bias; /* [buckets, H], NULL: none */
    int buckets, max_distance;
    bool bidirectional;
    bool bf16; /* products of numbers rounded to bf16 where wn_cpu_fast_bf16() and lse is NULL */
    const wn_attn_drop *drop; /* NULL: none */
} wn_attn;

/* o [., H*dv] and, if not NULL, lse [T, H] (log of the sum of exponentials: what the backward
 * needs). */
void wn_attention(float *o, float *lse, const float *q, const float *k, const float *v,
                  const wn_attn *a);
/* dq = (overwritten); dk, dv are overwritten on every key row that some segment sees (rows seen by
 * several segments get the sum). dbias [buckets, H] += if not NULL. do_ is the gradient of o. */
void wn_attention_back(float *dq, float *dk, float *dv, float *dbias, const float *do_,
                       const float *o, const float *lse, const float *q, const float *k,
                       const float *v, const wn_attn *a);

/* ---- losses and sums
 * -------------------------------------------------------------------------------- */

/* For each of P rows of logits [P, V]: lse[p], and nll[p] = lse - logit[label[p]]. softcap c > 0 is
 * applied first, in place. */
void wn_softmax_nll(float *nll, float *lse, float *logits, const int32_t *label, size_t P, size_t V,
                    float softcap);
/* logits := weight[p] * (softmax - onehot(label)), through the softcap where there is one. */
void wn_softmax_nll_back(float *logits, const float *lse, const int32_t *label, const float *weight,
                         size_t P, size_t V, float softcap);

/* Margins, the log odds of the label, m = log(p / (1 - p)) = logit[label] - rest, where rest is the
 * log of the sum of exponentials of all other logits: exact and finite however sure the model is.
 * Also nll, with the bits of wn_softmax_nll. softcap as there. */
void wn_softmax_margin(float *nll, float *margin, float *rest, float *logits, const int32_t *label,
                       size_t P, size_t V, float softcap);
/* logits := weight[p] * dm/dlogits: 1 at the label, -exp(logit - rest) = -p_j / (1 - p_label)
 * elsewhere; through the softcap where there is one. */
void wn_softmax_margin_back(float *logits, const float *rest, const int32_t *label,
                            const float *weight, size_t P, size_t V, float softcap);

void wn_add(float *y, const float *x, size_t n);           /* y += x */
void wn_scale(float *y, float a, size_t n);                /* y *= a */
void wn_axpy(float *y, float a, const float *x, size_t n); /* y += a x */
double wn_sum_squares(const float *x, size_t n);           /* fixed order of tiles, double sums */
float wn_dot(const float *x, const float *y, size_t n);
double wn_dot64(const float *x, const float *y, size_t n);    /* products and sum in double */
void wn_add64(double *y, double a, const float *x, size_t n); /* y += a x */
bool wn_all_finite(const float *x, size_t n);
/* A checksum of the n numbers' bits, at most 65536, the same for every instruction set: in 8 lanes
 * of 32-bit words w_0, w_1, ... the sums of w_i and of (m - i) w_i (Fletcher, IEEE Transactions on
 * Communications 30, 1982), 64 bits wide so that neither wraps, and of all these one sum with odd
 * and even factors. A change of one word always shows; of several, but for a chance of 2^-64. It
 * costs what reading costs: XXH3 takes three times as long over a row of 384. */
uint64_t wn_row_sum(const float *x, size_t n);

/* ---- in double, single-threaded: see table.h for the panels of WN_ND columns
 * ---------------------
 */
void wn_mm64(double *c, size_t cp, const double *a, size_t rs, size_t cs, const double *b,
             size_t bp, size_t m, size_t panels, size_t k, bool add);
void wn_sigmoid_neg(double *y, const double *x, size_t n);
void wn_axpy64(double *y, double a, const double *x, size_t n);
void wn_widen(double *y, const float *x, size_t n);

/* AdamW on n elements, Loshchilov & Hutter 2019 as PyTorch does it: w *= 1 - lr*wd; m, v; bias
 * corrections c1 = 1 - b1^t, c2 = 1 - b2^t; w -= lr/c1 * m / (sqrt(v)/sqrt(c2) + eps). g is read as
 * g * gscale, clamped to [-clip, clip] first if clip > 0. */
void wn_adamw(float *w, float *m, float *v, const float *g, size_t n, float lr, float b1, float b2,
              float eps, float wd, double c1, double c2, float gscale, float clip);

#endif

/* The tables of single-threaded row and tile kernels behind kernel.h. ref.c fills it with plain
 * loops and double sums, which say what "correct" means; fast.c fills it once for each instruction
 * set. The drivers (mm.c, gemm.c, attention.c, nn.c) only cut work into tiles and call the table,
 * so one driver serves every instruction set. No entry allocates, fails, or reads past the sizes it
 * is given. */
#ifndef WN_KERNEL_TABLE_H
#define WN_KERNEL_TABLE_H

#include "kernel/kernel.h"

/* One tile of attention scores as the softmax entries see it: `rows` queries of one head; row i at
 * s + i*ld sees the keys [lo[i], hi[i]) of the tile's n, a multiple of WN_NR; all others, whatever
 * they hold, become exact zeros. */
typedef struct wn_tile {
    size_t ld, rows, n;
    const uint32_t *lo, *hi;
} wn_tile;

/* What is done to a tile of sums before it is forgotten; pointers are the tile's own. */
typedef struct wn_after {
    const float *bias, *up_bias; /* NULL: none */
    const float *residual;       /* [m, n] by stride ldr; NULL: none */
    size_t ldr;
    wn_act act;
    bool rough; /* an erf GELU within 1e-4 will do: the sums are of rounded numbers */
} wn_after;

/* What turns integer sums of a strip and a pair of panels into floats. */
typedef struct wn_int8 {
    const float *row;    /* [m] */
    const int32_t *zero; /* [m] */
    float scale[32];
    int32_t sum[32];
} wn_int8;

/* Factors of lane l of row_sum: of the words' sum, of the sums' sum. */
#define WN_ROW_ODD(l)  (UINT64_C(0x9E3779B97F4A7C15) * (2 * (uint64_t)(l) + 1))
#define WN_ROW_EVEN(l) (UINT64_C(0xD1B54A32D192ED03) * (2 * (uint64_t)(l) + 2))
enum { WN_ROW_LANES = 8 };

typedef struct wn_kernels {
    const char *name;

    /* c [m, n] (+)= a [m, k] b. b lies in panels of WN_NR columns: element (kk, j) at
     * b[(j / NR) * bp + kk * bk + j % NR]; all NR columns of the last panel must be readable.
     * Every element is c (or 0), then one fused multiply-add for each kk in rising order. */
    void (*mm)(float *c, size_t ldc, const float *a, size_t lda, const float *b, size_t bk,
               size_t bp, size_t m, size_t n, size_t k, bool add);
    /* out [cols, rows] = transposed in [rows, cols]. */
    void (*transpose)(float *out, size_t ldo, const float *in, size_t ldi, size_t rows,
                      size_t cols);
    /* y [m, n] = act(c + bias) (* (up + up_bias)) + residual, whatever of it `e` asks for; c may be
     * y, c and up are tiles of sums. */
    void (*after)(float *y, size_t ldy, const float *c, size_t ldc, const float *up, size_t ldup,
                  size_t m, size_t n, const wn_after *e);
    /* One 32-k block of a packed weight (see wn_mat) to 32 rows of 16 floats, and back to bf16
     * pairs, rounded. */
    void (*block_f32)(float *out, const void *block, wn_mat_kind kind);
    void (*block_pairs)(uint16_t *out, const float *rows);
    /* One row of x as bytes (see INT8 of wn_mat): piece i of 64 at out + i * step, filled up behind
     * the last; returns the step between floats. */
    float (*row_int8)(uint8_t *out, size_t step, int32_t *zero, const float *x, size_t n);
    /* y [m, n <= 32] (+)= ((c - zero[r] * sum[j]) * scale[j]) * row[r]; c has rows of 32. */
    void (*from_int32)(float *y, size_t ldy, const int32_t *c, const wn_int8 *f, size_t m, size_t n,
                       bool add);
    void (*round_bf16)(float *y, const float *x, size_t n);
    void (*to_bf16)(uint16_t *y, const float *x, size_t n);
    void (*from_bf16)(float *y, const uint16_t *x, size_t n);

    /* One row each; the norms return or take 1/rms and the like. */
    float (*rmsnorm)(float *y, const float *x, const float *g, size_t D, float eps);
    void (*rmsnorm_back)(float *dx, const float *dy, const float *x, const float *g, float rinv,
                         size_t D, bool add);
    void (*rmsnorm_gain)(float *dg, const float *dy, const float *x, float rinv, size_t D);
    void (*layernorm)(float *y, float *mean, float *rinv, const float *x, const float *g,
                      const float *b, size_t D, float eps);
    void (*layernorm_back)(float *dx, const float *dy, const float *x, const float *g, float mean,
                           float rinv, size_t D, bool add);
    void (*layernorm_gain)(float *dg, float *db, const float *dy, const float *x, float mean,
                           float rinv, size_t D);
    void (*act)(float *y, const float *gate, const float *up, size_t n, wn_act act);
    void (*act_back)(float *dgate, float *dup, const float *dy, const float *gate, const float *up,
                     size_t n, wn_act act);
    /* One head: pairs (i, i + half) or (2i, 2i+1); sin is multiplied by sign. */
    void (*rope)(float *x, const float *cs, size_t half, bool interleaved, float sign);

    /* Running softmax over one tile of scores: s becomes exp(scale*s - new max); top and sum [rows]
     * are updated; keep [rows] is what the sums so far must be multiplied by. */
    void (*tile_softmax)(float *s, float *top, float *sum, float *keep, const wn_tile *t,
                         float scale);
    /* s becomes exp(scale*s - lse[i]), dp becomes s * (dp - delta[i]). */
    void (*tile_softmax_back)(float *s, float *dp, const float *lse, const float *delta,
                              const wn_tile *t, float scale);
    /* s = cap * tanh(scale * s / cap). */
    void (*softcap)(float *s, size_t n, float scale, float cap);
    /* ds *= 1 - (capped/cap)^2. */
    void (*softcap_back)(float *ds, const float *capped, size_t n, float cap);

    float (*lse)(const float *x, size_t n);
    /* x = weight * exp(x - lse) */
    void (*exp_scaled)(float *x, size_t n, float lse, float weight);

    void (*add)(float *y, const float *x, size_t n);
    void (*scale)(float *y, float a, size_t n);
    void (*axpy)(float *y, float a, const float *x, size_t n);
    double (*sum_squares)(const float *x, size_t n);
    float (*dot)(const float *x, const float *y, size_t n);
    double (*dot64)(const float *x, const float *y, size_t n);
    void (*add64)(double *y, double a, const float *x, size_t n);
    bool (*all_finite)(const float *x, size_t n);
    uint64_t (*row_sum)(const float *x, size_t n); /* factors: WN_ROW_ODD, WN_ROW_EVEN */
    /* step = lr/c1, decay = 1 - lr*wd, root = 1/sqrt(c2). */
    void (*adamw)(float *w, float *m, float *v, const float *g, size_t n, float step, float b1,
                  float b2, float eps, float decay, float root, float gscale, float clip);

    /* 16 blocks of Philox at the counters ctr, ctr + 1, ... (of ctr[0], which does not wrap): word
     * w of block l at out[w][l]. */
    void (*philox16)(uint32_t out[4][16], const uint32_t ctr[4], const uint32_t key[2]);
    /* out [to - from, 16]: bits from .. to-1 of 16 words as numbers, 1 as +1, 0 as -1. */
    void (*sign_rows)(float *out, const uint32_t word[16], unsigned from, unsigned to);
    /* out [16]: bits from .. from+15 of one word, those past its end as anything. */
    void (*sign_columns)(float *out, uint32_t word, unsigned from);
    /* In double, over matrices in panels of WN_ND columns: element (i, j) of a matrix with panel
     * stride p lies at (j / ND) * p + i * ND + j % ND. c (+)= a b for whole panels, a's element
     * (i, kk) at a[i * rs + kk * cs]; one fused multiply-add for each kk in rising order. */
    void (*mm64)(double *c, size_t cp, const double *a, size_t rs, size_t cs, const double *b,
                 size_t bp, size_t m, size_t panels, size_t k, bool add);
    void (*sigmoid_neg)(double *y, const double *x, size_t n); /* 1 / (1 + e^x); y may be x */
    void (*axpy64)(double *y, double a, const double *x, size_t n);
    void (*widen)(double *y, const float *x, size_t n);
    /* Bare multiply-adds; the number of floating-point operations done. */
    double (*spin)(size_t rounds);
} wn_kernels;

/* Products of narrow numbers. Operands lie in tiles of 16 lines of 64 bytes:
 *   x   strips of 32 rows; a strip is kt pairs of tiles, its rows 0-15 and 16-31; line r of a tile
 *       is 32 bf16 or 64 bytes of row r, in order of the inner dimension; missing rows are zeros
 *   W   panels of 16 columns of the result, kt tiles each; line i of a tile holds of each column
 *       the i-th pair (bf16) or quad (int8) of the inner dimension
 * Zeros fill the last tile. All but mm8 are NULL where the processor is not fast at it. A sum is
 * one sequence over kt, the same for every m and n. */
typedef struct wn_narrow {
    const char *name;
    void (*begin)(void), (*end)(void); /* around the calls of one piece of work; NULL: not needed */
    /* Strips of bf16 from m rows of x, rounded to nearest even; kt = k / 32 rounded up. */
    void (*pack16)(uint16_t *strips, const float *x, size_t ldx, size_t m, size_t k);
    /* c [m <= 32, n <= 32] (+)= one strip times two panels, bp elements apart. Meanwhile `lines`
     * cache lines for each of the kt steps are asked for from `next` on. */
    void (*mm16)(float *c, size_t ldc, const uint16_t *strip, const uint16_t *panel, size_t bp,
                 size_t kt, size_t m, size_t n, bool add, const void *next, size_t lines);
    /* One tile of W [16 n, 32 k] to its share of the panels of k 0-15 and k 16-31 of W^T: 8 lines
     * each. */
    void (*turn16)(uint16_t *low, uint16_t *high, const uint16_t *tile);
    /* One tile with the inner dimension down the rows of x [t <= 32, n <= 16]: of a panel, or
     * (strip) of a strip, whose rows are x's columns. */
    void (*down16)(uint16_t *tile, const float *x, size_t ldx, size_t t, size_t n, bool strip);
    /* One tile of a panel with the inner dimension along the rows of x [n <= 16, k <= 32]. */
    void (*across16)(uint16_t *tile, const float *x, size_t ldx, size_t n, size_t k);
    /* c [m <= 32, n <= 32], row stride 32, = one strip times two panels, bp bytes apart; sums [16]
     * of the first panel's weights, the second's bp bytes on. What lies outside m, n may change. */
    void (*mm8)(int32_t *c, const uint8_t *strip, const int8_t *panel, const int32_t *sums,
                size_t bp, size_t kt, size_t m, size_t n, const void *next, size_t lines);
    /* Bare products; the number of operations done. */
    double (*spin16)(size_t rounds), (*spin8)(size_t rounds);
} wn_narrow;

/* The tables in use. */
const wn_kernels *wn_kernel_table(void);
const wn_narrow *wn_narrow_table(void);

extern const wn_kernels wn_kernel_table_ref;
extern const wn_narrow wn_narrow_ref;
#if defined(__x86_64__)
extern const wn_kernels wn_kernel_table_avx2, wn_kernel_table_avx512;
extern const wn_narrow wn_narrow_avx2, wn_narrow_vnni, wn_narrow_bf16, wn_narrow_amx;
bool wn_amx_allowed(void); /* asks the system for the tile registers, once */
#endif

/* This thread's scratch of WN_SCRATCH floats, 64-byte aligned, for the operation that is running: a
 * driver's tile may not call another driver. Kept near 1 MB, since it comes out of thread stacks.
 */
enum { WN_SCRATCH = 288 * 1024 };
float *wn_kernel_scratch(void);

/* oneDNN's packed forms of W [N, K] (dnnl.c): what products are compared with. NULL where oneDNN
 * cannot: no memory, or no bf16 on this processor. */
typedef struct wn_dnnl wn_dnnl;
wn_dnnl *wn_dnnl_new(const float *W, size_t N, size_t K, bool bf16);
void wn_dnnl_free(wn_dnnl *h);
/* y [T, N] (+)= x [T, K] W^T, or with back dx [T, K] (+)= dy [T, N] W; false: out of memory, y is
 * then undefined. */
bool wn_dnnl_mm(float *y, size_t ldy, const float *x, size_t ldx, const wn_dnnl *h, size_t T,
                bool back, bool add);

/* Attention on plain loops and double sums (attention_ref.c): what the tiled one is checked with.
 */
void wn_attention_ref(float *o, float *lse, const float *q, const float *k, const float *v,
                      const wn_attn *a);
void wn_attention_back_ref(float *dq, float *dk, float *dv, float *dbias, const float *do_,
                           const float *o, const float *lse, const float *q, const float *k,
                           const float *v, const wn_attn *a);
/* The same by products of bf16 numbers (narrow_attention.c), where wn_cpu_fast_bf16(). half_in: q,
 * k, v are bf16 bit patterns, else floats that are rounded; half_out: o is bf16, else floats. */
void wn_attention_bf16(void *o, const void *q, const void *k, const void *v, const wn_attn *a,
                       bool half_in, bool half_out);
/* Bucket of a T5 relative position (key - query), Raffel et al. 2020. */
int wn_t5_bucket(long rel, bool bidirectional, int buckets, int max_distance);

#endif

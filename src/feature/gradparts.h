/* Between the files of the gradient sink: gradsink.c (tiles and vectors), gradlookup.c (look-up
 * tables), gradkron.c. */
#ifndef WN_FEATURE_GRADPARTS_H
#define WN_FEATURE_GRADPARTS_H

#include "base/mem.h"
#include "feature/gradsink.h"

enum {
    WN_GRAD_TILE = 16384, /* most elements of a tile */
    WN_GRAD_GROUP = 16,   /* examples whose tiles lie in a thread's memory together */
    WN_GRAD_WAVE = 64     /* most tiles whose results wait to be added up */
};

/* dW += scale * dy^T x of a batch. */
typedef struct wn_grad_outer {
    float scale;
    bool bf16; /* of rounded numbers, as training's is */
    const float *dy, *x;
    size_t ldy, ldx, B, first; /* segment i is example first + i */
    const uint32_t *off;
} wn_grad_outer;

/* Rows of a look-up table: token t of example b adds dx [t] to row id. Tokens of an example are
 * sorted by (id, t) as id << 32 | t. */
typedef struct wn_grad_use {
    size_t slot, B;
    float *dx;     /* [max_tokens, width] */
    uint64_t *key; /* [max_tokens] */
    uint32_t *off; /* [max_examples + 1] */
} wn_grad_use;

struct wn_grad_sink {
    wn_grad_sink_opts o;
    wn_arena memory;
    size_t d, B, threads;
    int32_t *slot;    /* [params n] place among the chosen, -1: not chosen */
    size_t *small_at; /* [chosen n + 1] of vectors in a row of `small`; no room for others */
    float *small;     /* [max_examples, n_small] */
    size_t n_small;
    double *sum; /* [max_examples, d] without the factor 1/sqrt(d); or */
    float *raw;  /* [max_examples, d] */
    size_t wave; /* pieces a wave */
    float *part; /* [wave, max_examples, d] */
    float *tile; /* [threads, WN_GRAD_GROUP * WN_GRAD_TILE] */
    /* uses of look-up tables in this pass, and the tied output matrix */
    wn_grad_use *use; /* [max_uses] */
    size_t n_uses, max_uses;
    wn_grad_outer output;
    size_t output_slot; /* SIZE_MAX: none */
    uint32_t *output_off;
    uint64_t *row; /* [max_uses * max_tokens] row << 32 | example */
    /* kron */
    float *y, *x; /* [max_tokens, ko], [max_tokens, ki] */
};

/* A matrix parameter cut into tiles: rows x cols elements each, row-major over tiles of columns. */
typedef struct wn_grad_matrix {
    wn_grad_sink *s;
    size_t slot, N, K, rows, cols, across, tiles;
    const wn_grad_outer *outer; /* NULL: only uses */
    bool uses;
    size_t tile0; /* of this wave */
} wn_grad_matrix;

static inline float *wn_grad_tile_of(const wn_grad_sink *s, int thread)
{
    return s->tile + (size_t)thread * WN_GRAD_GROUP * WN_GRAD_TILE;
}

/* Forms, transforms and projects (or stores) all tiles of a matrix. */
void wn_grad_matrix_run(wn_grad_sink *s, size_t slot, const wn_grad_outer *outer, bool uses);
/* part [i] += ... of piece i for its examples; then all pieces of the wave to the sums. */
void wn_grad_add_wave(wn_grad_sink *s, size_t pieces);

/* gradlookup.c */
void wn_grad_hold(wn_grad_sink *s, size_t slot, const float *dx, const int32_t *id, size_t D,
                  const wn_seg *seg);
/* G [n, cols] += the uses' rows [n0, n0 + n) of columns [k0, k0 + cols) for example b. */
void wn_grad_use_rows(const wn_grad_sink *s, size_t slot, size_t b, size_t n0, size_t n, size_t k0,
                      size_t cols, float *G);
void wn_grad_lookups_finish(wn_grad_sink *s);

/* gradkron.c */
void wn_grad_kron_outer(wn_grad_sink *s, size_t slot, const wn_grad_outer *o, size_t N, size_t K);
void wn_grad_kron_embed(wn_grad_sink *s, size_t slot, const float *dx, const int32_t *id, size_t D,
                        const wn_seg *seg);

#endif

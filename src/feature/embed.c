/* A window of rows is tokenised in parallel, sorted by length and cut into batches, each of which
 * one thread takes through the whole model: nothing waits for the slowest thread between two
 * products, and a batch's activations stay in that thread's cache. Only rows so long that a thread
 * of its own would need too much memory are run by all threads together. Windows are dealt to the
 * ranks; vectors leave in row order. Nothing of this shows in a vector: kernels treat every row of
 * a batch by itself. */
#include "feature/embed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/par.h"
#include "base/ranks.h"
#include "base/report.h"
#include "kernel/kernel.h"

enum {
    WINDOW = 2048,
    PIECE = 64,
    ALONE = 1024, /* longest row that a thread takes alone */
    ROUNDS = 8    /* windows that each of several ranks gets at least, so that they end together */
};

/* ---- tokens of a window
 * -------------------------------------------------------------------------------- */

struct piece { /* PIECE rows */
    wn_ids ids;
    uint32_t start[PIECE + 1];
    wn_encode_counts counts;
};

struct window {
    const wn_pool *pool;
    const wn_tokenizer *tokenizer;
    const wn_embed_rule *rule;
    uint64_t first;
    size_t n;
    struct piece *piece; /* [WINDOW / PIECE] */
    wn_row *row;         /* [threads] */
    wn_token_work *work; /* [threads] */
};

static wn_err encode_piece(void *ctx, size_t i, int thread)
{
    struct window *w = ctx;
    struct piece *p = &w->piece[i];
    wn_ids_clear(&p->ids);
    p->counts = (wn_encode_counts){0};
    for (size_t k = 0; k < PIECE; k++) {
        size_t at = i * PIECE + k;
        p->start[k] = (uint32_t)p->ids.n;
        if (at >= w->n)
            continue;
        wn_row *row = &w->row[thread];
        WN_TRY(wn_pool_row(w->pool, w->first + at, row));
        WN_TRY(wn_encode_prompt(&p->ids, w->tokenizer, &w->work[thread], row, &w->rule->encode,
                                w->rule->both, &p->counts));
        if (p->ids.n - p->start[k] <= w->rule->vector.skip)
            return wn_fail(WN_EARG, "%s: row %.*s: its text has no token to embed%s",
                           wn_pool_path(w->pool), (int)row->id.len, row->id.p,
                           w->rule->vector.skip ? " behind the prompt" : "");
    }
    p->start[PIECE] = (uint32_t)p->ids.n;
    return WN_OK;
}

static const int32_t *row_ids(const struct window *w, size_t i, uint32_t *n)
{
    const struct piece *p = &w->piece[i / PIECE];
    uint32_t from = p->start[i % PIECE];
    *n = p->start[i % PIECE + 1] - from;
    return p->ids.id + from;
}

/* ---- batches
 * ------------------------------------------------------------------------------------------ */

struct by_length {
    uint32_t n, row;
};

static int longer_first(const void *a, const void *b)
{
    const struct by_length *x = a, *y = b;
    if (x->n != y->n)
        return x->n > y->n ? -1 : 1;
    return x->row < y->row ? -1 : 1;
}

/* What one batch is run in. */
struct runner {
    wn_work *work; /* NULL: not used yet */
    size_t T, B;
    int32_t *id;
    uint32_t *off;
    float *hidden;
    float *scratch; /* of pooling */
};

/* Rows [first, first + B) of the window's order, T tokens. */
struct cut {
    uint32_t first, B, T;
};

struct embedder {
    wn_model *m;
    size_t D, threads;
    const wn_embed_rule *rule;
    struct window win;
    struct by_length *order; /* [WINDOW] */
    struct cut *cut;         /* [WINDOW] */
    size_t shared;           /* as many cuts come first that all threads run together */
    struct runner *runner;   /* [threads] */
    struct runner wide;      /* of rows that all threads share */
    float *vector;           /* [WINDOW, most] in row order */
    uint64_t first, n;       /* rows of the pool that are embedded */
    size_t window;           /* rows of a window but the last */
    uint64_t rows, tokens;   /* of the window at work so far; written atomically */
    uint64_t emitted, emitted_tokens;
    double start;
    wn_embed_emit emit;
    void *ctx;
    wn_encode_counts *counts;
};

static void runner_free(struct runner *r)
{
    wn_work_free(r->work);
    wn_free(r->id);
    wn_free(r->off);
    wn_free(r->hidden);
    wn_free(r->scratch);
    *r = (struct runner){0};
}

static wn_err runner_reserve(struct runner *r, const struct embedder *e, size_t T, size_t B)
{
    if (r->work && T <= r->T && B <= r->B)
        return WN_OK;
    runner_free(r);
    r->T = T;
    r->B = B;
    WN_NEW(r->id, T);
    WN_NEW(r->off, B + 1);
    WN_NEW(r->hidden, T * e->D);
    WN_NEW(r->scratch, e->rule->vector.most);
    return wn_work_new(&r->work, e->m, T, B, 0, false);
}

static wn_err run_cut(struct embedder *e, struct runner *r, const struct cut *c)
{
    const struct by_length *order = e->order + c->first;
    size_t T = 0;
    for (size_t b = 0; b < c->B; b++) {
        uint32_t n;
        const int32_t *ids = row_ids(&e->win, order[b].row, &n);
        r->off[b] = (uint32_t)T;
        memcpy(r->id + T, ids, n * sizeof *ids);
        T += n;
    }
    r->off[c->B] = (uint32_t)T;
    wn_batch batch = {.B = c->B, .T = T, .id = r->id, .off = r->off};
    WN_TRY(wn_model_hidden(e->m, r->work, &batch, e->rule->layer, r->hidden));
    for (size_t b = 0; b < c->B; b++)
        wn_vector_make(e->vector + order[b].row * e->rule->vector.most, r->scratch,
                       r->hidden + r->off[b] * e->D, order[b].n, &e->rule->vector);
    __atomic_fetch_add(&e->rows, c->B, __ATOMIC_RELAXED);
    __atomic_fetch_add(&e->tokens, T, __ATOMIC_RELAXED);
    return WN_OK;
}

/* Rows leave in windows, but they are counted batch by batch; called by the calling thread only. */
static wn_err report(const struct embedder *e)
{
    char note[64];
    uint64_t rows = e->emitted + __atomic_load_n(&e->rows, __ATOMIC_RELAXED);
    uint64_t tokens = e->emitted_tokens + __atomic_load_n(&e->tokens, __ATOMIC_RELAXED);
    snprintf(note, sizeof note, "%.0f tokens/s", (double)tokens / (wn_seconds() - e->start + 1e-9));
    return wn_progress("embed", "rows", e->first + rows, e->first + e->n, note);
}

static uint64_t runner_bytes(const wn_model *m, size_t T, size_t B)
{
    return T * (sizeof(int32_t) + wn_model_state_width(m, 0) * sizeof(float)) +
           wn_work_bytes(m, T, B, 0, WN_WORK_FORWARD);
}

uint64_t wn_embed_bytes(const wn_model *m, size_t row_tokens)
{
    uint64_t window =
        WINDOW * (row_tokens * sizeof(int32_t) + 2 * wn_model_state_width(m, 0) * sizeof(float) +
                  sizeof(struct by_length) + sizeof(struct cut));
    if (row_tokens > ALONE)
        return window + runner_bytes(m, row_tokens, 1);
    size_t T = row_tokens > WN_EMBED_TOKENS ? row_tokens
                                            : WN_EMBED_TOKENS; /* of more nothing is touched */
    return window + (uint64_t)wn_par_threads() * runner_bytes(m, T, WN_EMBED_TOKENS);
}

/* A batch that one thread takes through the whole model. */
static wn_err run_alone(void *ctx, size_t i, int thread)
{
    struct embedder *e = ctx;
    struct runner *r = &e->runner[thread];
    WN_TRY(runner_reserve(r, e, e->cut[e->shared + i].T > WN_EMBED_TOKENS ? ALONE : WN_EMBED_TOKENS,
                          WN_EMBED_TOKENS));
    WN_TRY(run_cut(e, r, &e->cut[e->shared + i]));
    return thread == 0 ? report(e) : WN_OK;
}

/* Longest rows first. Those beyond ALONE tokens are batches of their own; others
 * fill batches, smaller ones where the window has little for every thread. The number of batches.
 */
static size_t cut_window(struct embedder *e)
{
    size_t n = 0, tokens = 0;
    e->shared = 0;
    for (size_t i = 0; i < e->win.n; i++) {
        row_ids(&e->win, i, &e->order[i].n);
        e->order[i].row = (uint32_t)i;
        tokens += e->order[i].n;
    }
    qsort(e->order, e->win.n, sizeof *e->order, longer_first);
    size_t most = tokens / (2 * e->threads) + 1;
    most = most < WN_EMBED_TOKENS ? most : WN_EMBED_TOKENS;
    for (size_t i = 0; i < e->win.n; n++) {
        struct cut *c = &e->cut[n];
        *c = (struct cut){.first = (uint32_t)i};
        do {
            c->T += e->order[i++].n;
            c->B++;
        } while (i < e->win.n && c->T + e->order[i].n <= most);
        if (c->T > ALONE)
            e->shared++;
    }
    return n;
}

static wn_err run_window(struct embedder *e)
{
    struct window *w = &e->win;
    WN_TRY(wn_par_for((w->n + PIECE - 1) / PIECE, encode_piece, w));
    size_t cuts = cut_window(e);
    for (size_t i = 0; i < e->shared; i++) {
        WN_TRY(runner_reserve(&e->wide, e, e->cut[i].T, 1));
        WN_TRY(run_cut(e, &e->wide, &e->cut[i]));
        WN_TRY(report(e));
    }
    WN_TRY(wn_par_for(cuts - e->shared, run_alone, e));
    return report(e);
}

static wn_err embedder_init(struct embedder *e, wn_model *m, const wn_pool *p,
                            const wn_embed_rule *r)
{
    size_t threads = (size_t)wn_par_threads(), pieces = WINDOW / PIECE;
    *e = (struct embedder){.m = m, .D = r->vector.D, .threads = threads, .rule = r};
    e->win = (struct window){.pool = p, .tokenizer = wn_model_tokenizer(m), .rule = r};
    WN_NEW(e->win.piece, pieces);
    WN_NEW(e->win.row, threads);
    WN_NEW(e->win.work, threads);
    WN_NEW(e->order, (size_t)WINDOW);
    WN_NEW(e->cut, (size_t)WINDOW);
    WN_NEW(e->runner, threads);
    WN_NEW(e->vector, WINDOW * r->vector.most);
    return WN_OK;
}

static void embedder_free(struct embedder *e)
{
    for (size_t i = 0; e->win.piece && i < WINDOW / PIECE; i++)
        wn_ids_release(&e->win.piece[i].ids);
    for (size_t i = 0; e->win.row && i < e->threads; i++)
        wn_row_free(&e->win.row[i]);
    for (size_t i = 0; e->win.work && i < e->threads; i++)
        wn_token_work_free(&e->win.work[i]);
    for (size_t i = 0; e->runner && i < e->threads; i++)
        runner_free(&e->runner[i]);
    runner_free(&e->wide);
    wn_free(e->win.piece);
    wn_free(e->win.row);
    wn_free(e->win.work);
    wn_free(e->order);
    wn_free(e->cut);
    wn_free(e->runner);
    wn_free(e->vector);
}

static void add_counts(wn_encode_counts *sum, const wn_encode_counts *c)
{
    sum->rows += c->rows;
    sum->tokens += c->tokens;
    sum->prompts_cut += c->prompts_cut;
    sum->prompt_tokens_cut += c->prompt_tokens_cut;
    sum->targets_cut += c->targets_cut;
    sum->target_tokens_cut += c->target_tokens_cut;
}

/* ---- windows, dealt to the ranks
 * ----------------------------------------------------------------------- */

/* A window's result: counts, tokens of each row, vectors [n, dim]. */
static wn_err make_window(void *ctx, uint64_t i, wn_str *result)
{
    struct embedder *e = ctx;
    struct window *w = &e->win;
    const wn_vector_rule *v = &e->rule->vector;
    wn_encode_counts counts = {0};
    uint64_t at = i * e->window;
    w->first = e->first + at;
    w->n = e->n - at < e->window ? (size_t)(e->n - at) : e->window;
    WN_TRY(run_window(e));
    for (size_t k = 0; k * PIECE < w->n; k++)
        add_counts(&counts, &w->piece[k].counts);
    wn_str_add(result, &counts, sizeof counts);
    for (size_t k = 0; k < w->n; k++) {
        uint32_t tokens;
        row_ids(w, k, &tokens);
        wn_str_add(result, &tokens, sizeof tokens);
    }
    for (size_t k = 0; k < w->n; k++)
        wn_str_add(result, e->vector + k * v->most, v->dim * sizeof *e->vector);
    return WN_OK;
}

static wn_err take_window(void *ctx, uint64_t i, const char *result, size_t bytes)
{
    struct embedder *e = ctx;
    const wn_pool *pool = e->win.pool;
    wn_row *row = &e->win.row[0];
    size_t dim = e->rule->vector.dim, row_bytes = sizeof(uint32_t) + dim * sizeof(float);
    wn_encode_counts counts;
    size_t n = (bytes - sizeof counts) / row_bytes;
    memcpy(&counts, result, sizeof counts);
    const uint32_t *tokens = (const void *)(result + sizeof counts);
    const float *v = (const void *)(tokens + n);
    for (size_t k = 0; k < n; k++, v += dim) {
        uint64_t index = e->first + i * e->window + k;
        WN_TRY(wn_pool_row(pool, index, row));
        if (!wn_all_finite(v, dim))
            return wn_fail(WN_EFORMAT, "%s: row %.*s: its embedding has NaN or infinity",
                           wn_pool_path(pool), (int)row->id.len, row->id.p);
        WN_TRY(e->emit(e->ctx, index, row, v, tokens[k]));
        e->emitted_tokens += tokens[k];
    }
    e->emitted += n;
    e->rows = e->tokens = 0;
    add_counts(e->counts, &counts);
    return report(e);
}

static size_t window_rows(uint64_t n)
{
    uint64_t most = n / ((uint64_t)wn_ranks() * ROUNDS) + 1;
    if (wn_ranks() == 1 || most > WINDOW)
        return WINDOW;
    return most < PIECE ? PIECE : (size_t)most;
}

wn_err wn_embed_rows(wn_model *m, const wn_pool *p, uint64_t first, uint64_t n,
                     const wn_embed_rule *r, wn_embed_emit emit, void *ctx,
                     wn_encode_counts *counts)
{
    struct embedder e;
    wn_err err = embedder_init(&e, m, p, r);
    e.first = first;
    e.n = n;
    e.window = window_rows(n);
    e.emit = emit;
    e.ctx = ctx;
    e.counts = counts;
    e.start = wn_seconds();
    if (!err)
        err = wn_ranks_deal(&(wn_deal){.ctx = &e,
                                       .chunks = (n + e.window - 1) / e.window,
                                       .make = make_window,
                                       .take = take_window});
    embedder_free(&e);
    return err;
}

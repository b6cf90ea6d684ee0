/* Pieces of rows as batches of segments. A batch of short pieces is one thread's, from the ids to
 * the losses, so that nothing waits between two products; a piece too long for that is a batch of
 * its own that all threads work on. */
#include "eval/score.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/par.h"
#include "base/report.h"

enum { ALONE = 1024 }; /* tokens of the longest piece that a thread takes alone */

static int by_length(const void *a, const void *b)
{
    const struct wn_score_piece *x = a, *y = b;
    if (x->source != y->source)
        return x->source < y->source ? -1 : 1;
    if (x->tokens != y->tokens)
        return x->tokens < y->tokens ? -1 : 1;
    return x->first < y->first ? -1 : 1;
}

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static void runner_free(struct wn_score_runner *r)
{
    wn_work_free(r->work);
    wn_arena_free(&r->memory);
    *r = (struct wn_score_runner){0};
}

/* Room for a batch; grown by making it anew. */
static wn_err reserve(struct wn_score_runner *r, const wn_model *m,
                      const struct wn_score_piece *need)
{
    bool two_sided = need->source > 0;
    size_t tokens = larger(need->tokens, need->source);
    if (tokens <= r->max_tokens && need->segments <= r->max_segments &&
        need->labels <= r->max_labels)
        return WN_OK;
    size_t T = larger(tokens, r->max_tokens), B = larger(need->segments, r->max_segments);
    size_t labels = larger(need->labels, r->max_labels);
    runner_free(r);
    WN_TRY(wn_work_new(&r->work, m, T, B, labels, false));
    WN_TRY(wn_arena_init(&r->memory, (3 * T + 6 * B + 2) * 4 + B * 8 + 10 * 64));
    r->max_tokens = T;
    r->max_segments = B;
    r->max_labels = labels;
    r->id = wn_arena_push(&r->memory, T * sizeof *r->id);
    r->label = wn_arena_push(&r->memory, T * sizeof *r->label);
    r->parent = wn_arena_push(&r->memory, B * sizeof *r->parent);
    r->first_label = wn_arena_push(&r->memory, B * sizeof *r->first_label);
    r->off = wn_arena_push(&r->memory, (B + 1) * sizeof *r->off);
    r->count = wn_arena_push(&r->memory, B * sizeof *r->count);
    r->nll = wn_arena_push(&r->memory, B * sizeof *r->nll);
    if (!two_sided)
        return WN_OK;
    r->source_id = wn_arena_push(&r->memory, T * sizeof *r->source_id);
    r->source_off = wn_arena_push(&r->memory, (B + 1) * sizeof *r->source_off);
    r->source_of = wn_arena_push(&r->memory, B * sizeof *r->source_of);
    return WN_OK;
}

static void open_segment(struct wn_score_runner *r, wn_batch *b, int32_t parent,
                         int32_t first_label)
{
    r->parent[b->B] = parent;
    r->first_label[b->B] = first_label;
    b->B++;
}

static void put(struct wn_score_runner *r, wn_batch *b, int32_t id, int32_t label)
{
    r->id[b->T] = id;
    r->label[b->T++] = label;
    r->off[b->B] = (uint32_t)b->T;
}

static void put_plain(const struct wn_score_window *w, struct wn_score_runner *r, wn_batch *b,
                      const struct wn_score_piece *p)
{
    const int32_t *prompt = w->ids.id + p->prompt, *text = w->ids.id + w->part[p->first].begin;
    size_t n = w->part[p->first].end - w->part[p->first].begin;
    open_segment(r, b, -1, -1);
    for (size_t i = 0; i + 1 < p->prompt_n; i++)
        put(r, b, prompt[i], w->rule->supervise_prompt ? prompt[i + 1] : -1);
    put(r, b, prompt[p->prompt_n - 1], text[0]);
    for (size_t i = 0; i + 1 < n; i++)
        put(r, b, text[i], text[i + 1]);
}

static void put_shared(const struct wn_score_window *w, struct wn_score_runner *r, wn_batch *b,
                       const struct wn_score_piece *p)
{
    int32_t parent = (int32_t)b->B;
    open_segment(r, b, -1, -1);
    for (size_t i = 0; i < p->prompt_n; i++)
        put(r, b, w->ids.id[p->prompt + i], -1);
    for (size_t k = p->first; k < p->first + p->n; k++) {
        const int32_t *text = w->ids.id + w->part[k].begin;
        size_t n = w->part[k].end - w->part[k].begin;
        open_segment(r, b, parent, text[0]);
        for (size_t i = 0; i < wn_score_computed(n); i++)
            put(r, b, text[i], i + 1 < n ? text[i + 1] : -1);
    }
}

/* Every text looks at the same rows of the encoder's output. */
static void put_two_sided(const struct wn_score_window *w, struct wn_score_runner *r, wn_batch *b,
                          wn_batch *source, const struct wn_score_piece *p)
{
    uint32_t row = (uint32_t)source->B++;
    memcpy(r->source_id + source->T, w->ids.id + p->prompt, p->prompt_n * sizeof *r->source_id);
    source->T += p->prompt_n;
    r->source_off[source->B] = (uint32_t)source->T;
    for (size_t k = p->first; k < p->first + p->n; k++) {
        int32_t before = wn_model_facts_of(w->model)->decoder_start;
        r->source_of[b->B] = row;
        open_segment(r, b, -1, -1);
        for (size_t i = w->part[k].begin; i < w->part[k].end; i++) {
            put(r, b, before, w->ids.id[i]);
            before = w->ids.id[i];
        }
    }
}

/* A shared piece's results are its children's, others' their segments'. */
static wn_err take_results(struct wn_score_window *w, const struct wn_score_runner *r,
                           const struct wn_score_piece *p, size_t segment)
{
    for (size_t k = 0; k < p->n; k++) {
        size_t s = segment + k + (p->kind == WN_PIECE_SHARED);
        if (!isfinite(r->nll[s])) {
            wn_row row = {0};
            wn_err err = wn_pool_row(w->rows, p->row, &row);
            if (err == WN_OK)
                err = wn_fail(WN_EFORMAT, "%s: the loss of row \"%.*s\" is not a number",
                              wn_model_facts_of(w->model)->path, (int)row.id.len, row.id.p);
            wn_row_free(&row);
            return err;
        }
        w->score[p->first + k] = (wn_text_score){r->nll[s], r->count[s]};
    }
    return WN_OK;
}

static wn_err run_cut(struct wn_score_window *w, struct wn_score_runner *r,
                      const struct wn_score_cut *c)
{
    const struct wn_score_piece *p = w->piece + c->first;
    WN_TRY(reserve(r, w->model, &c->sum));
    wn_batch source = {.id = r->source_id, .off = r->source_off};
    wn_batch b = {.id = r->id, .off = r->off, .label = r->label};
    if (p->kind == WN_PIECE_TWO_SIDED) {
        b.source = &source;
        b.source_of = r->source_of;
        r->source_off[0] = 0;
    } else {
        b.parent = r->parent;
        b.first_label = r->first_label;
    }
    r->off[0] = 0;
    for (size_t i = 0; i < c->n; i++) {
        if (p[i].kind == WN_PIECE_TWO_SIDED)
            put_two_sided(w, r, &b, &source, &p[i]);
        else if (p[i].kind == WN_PIECE_SHARED)
            put_shared(w, r, &b, &p[i]);
        else
            put_plain(w, r, &b, &p[i]);
    }
    WN_TRY(wn_model_nll(w->model, r->work, &b, r->nll, r->count));
    if (w->counts)
        __atomic_fetch_add(&w->counts->computed, b.T + source.T, __ATOMIC_RELAXED);
    size_t segment = 0;
    for (size_t i = 0; i < c->n; i++) {
        WN_TRY(take_results(w, r, &p[i], segment));
        segment += p[i].segments;
    }
    __atomic_fetch_add(&w->done, c->n, __ATOMIC_RELAXED);
    return WN_OK;
}

/* By the calling thread only. */
static wn_err report(const struct wn_score_window *w)
{
    size_t done = __atomic_load_n(&w->done, __ATOMIC_RELAXED);
    if (done == w->n_pieces)
        return WN_OK;
    return wn_progress(w->want->stage, "rows", w->first_row + w->n_rows * done / w->n_pieces,
                       wn_pool_rows(w->rows), NULL);
}

static wn_err run_alone(void *ctx, size_t i, int thread)
{
    struct wn_score_window *w = ctx;
    WN_TRY(run_cut(w, &w->runner[thread], &w->cut_of[i]));
    return thread == 0 ? report(w) : WN_OK;
}

/* How many pieces from p on come nearest to a batch of `most` tokens, at least one. */
static size_t next_batch(const struct wn_score_piece *p, size_t n, size_t most,
                         struct wn_score_piece *sum)
{
    size_t k = 0;
    *sum = (struct wn_score_piece){0};
    while (k < n && (k == 0 || (sum->tokens + p[k].tokens / 2 <= most &&
                                sum->source + p[k].source / 2 <= most))) {
        sum->tokens += p[k].tokens;
        sum->source += p[k].source;
        sum->segments += p[k].segments;
        sum->labels += p[k].labels;
        k++;
    }
    return k;
}

/* Batches of pieces that a thread takes alone come first; *alone is their number. */
static wn_err cut_window(struct wn_score_window *w, size_t *cuts, size_t *alone)
{
    size_t tokens = 0, first_long = w->n_pieces;
    qsort(w->piece, w->n_pieces, sizeof *w->piece, by_length);
    while (w->cuts_cap < w->n_pieces)
        if (!WN_GROW(w->cut_of, w->cuts_cap, w->cuts_cap))
            return WN_ENOMEM;
    for (size_t i = 0; i < w->n_pieces; i++)
        tokens += larger(w->piece[i].tokens, w->piece[i].source);
    for (size_t i = w->n_pieces; i-- > 0;)
        if (larger(w->piece[i].tokens, w->piece[i].source) > ALONE)
            first_long = i;
    size_t most = tokens / (2 * w->n_runners) + 1;
    most = most < WN_SCORE_TOKENS ? most : WN_SCORE_TOKENS;
    *cuts = *alone = 0;
    for (size_t i = 0; i < w->n_pieces; ++*cuts) {
        struct wn_score_cut *c = &w->cut_of[*cuts];
        size_t end = i < first_long ? first_long : w->n_pieces;
        c->first = i;
        c->n = next_batch(w->piece + i, end - i, most, &c->sum);
        i += c->n;
        *alone += c->first < first_long;
    }
    return WN_OK;
}

wn_err wn_score_window(struct wn_score_window *w, uint64_t first, uint64_t rows)
{
    size_t cuts, alone;
    if (w->n_pieces == 0)
        return WN_OK;
    if (!w->runner) {
        w->n_runners = (size_t)wn_par_threads();
        WN_NEW(w->runner, w->n_runners);
    }
    w->done = 0;
    w->first_row = first;
    w->n_rows = rows;
    WN_TRY(cut_window(w, &cuts, &alone));
    WN_TRY(wn_par_for(alone, run_alone, w));
    for (size_t i = alone; i < cuts; i++) {
        WN_TRY(run_cut(w, &w->shared, &w->cut_of[i]));
        WN_TRY(report(w));
    }
    return WN_OK;
}

void wn_score_batch_free(struct wn_score_window *w)
{
    for (size_t i = 0; i < w->n_runners; i++)
        runner_free(&w->runner[i]);
    runner_free(&w->shared);
    wn_free(w->runner);
    wn_free(w->cut_of);
}

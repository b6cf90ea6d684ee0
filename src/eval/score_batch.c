/* Pieces of rows as batches of segments. */
#include "eval/score.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/report.h"

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

/* Room for a batch; grown by making it anew, which a window's longest row decides. */
static wn_err reserve_batch(struct wn_score_window *w, const struct wn_score_piece *need)
{
    bool two_sided = need->source > 0;
    size_t tokens = larger(need->tokens, need->source);
    if (tokens <= w->max_tokens && need->segments <= w->max_segments &&
        need->labels <= w->max_labels)
        return WN_OK;
    size_t T = w->max_tokens = larger(tokens, w->max_tokens);
    size_t B = w->max_segments = larger(need->segments, w->max_segments);
    w->max_labels = larger(need->labels, w->max_labels);
    wn_score_batch_free(w);
    WN_TRY(wn_work_new(&w->work, w->model, T, B, w->max_labels, false));
    WN_TRY(wn_arena_init(&w->memory, (3 * T + 6 * B + 2) * 4 + B * 8 + 10 * 64));
    w->id = wn_arena_push(&w->memory, T * sizeof *w->id);
    w->label = wn_arena_push(&w->memory, T * sizeof *w->label);
    w->parent = wn_arena_push(&w->memory, B * sizeof *w->parent);
    w->first_label = wn_arena_push(&w->memory, B * sizeof *w->first_label);
    w->off = wn_arena_push(&w->memory, (B + 1) * sizeof *w->off);
    w->count = wn_arena_push(&w->memory, B * sizeof *w->count);
    w->nll = wn_arena_push(&w->memory, B * sizeof *w->nll);
    if (!two_sided)
        return WN_OK;
    w->source_id = wn_arena_push(&w->memory, T * sizeof *w->source_id);
    w->source_off = wn_arena_push(&w->memory, (B + 1) * sizeof *w->source_off);
    w->source_of = wn_arena_push(&w->memory, B * sizeof *w->source_of);
    return WN_OK;
}

static void open_segment(struct wn_score_window *w, wn_batch *b, int32_t parent,
                         int32_t first_label)
{
    w->parent[b->B] = parent;
    w->first_label[b->B] = first_label;
    b->B++;
}

static void put(struct wn_score_window *w, wn_batch *b, int32_t id, int32_t label)
{
    w->id[b->T] = id;
    w->label[b->T++] = label;
    w->off[b->B] = (uint32_t)b->T;
}

static void put_plain(struct wn_score_window *w, wn_batch *b, const struct wn_score_piece *p)
{
    const int32_t *prompt = w->ids.id + p->prompt, *text = w->ids.id + w->part[p->first].begin;
    size_t n = w->part[p->first].end - w->part[p->first].begin;
    open_segment(w, b, -1, -1);
    for (size_t i = 0; i + 1 < p->prompt_n; i++)
        put(w, b, prompt[i], w->rule->supervise_prompt ? prompt[i + 1] : -1);
    put(w, b, prompt[p->prompt_n - 1], text[0]);
    for (size_t i = 0; i + 1 < n; i++)
        put(w, b, text[i], text[i + 1]);
}

static void put_shared(struct wn_score_window *w, wn_batch *b, const struct wn_score_piece *p)
{
    int32_t parent = (int32_t)b->B;
    open_segment(w, b, -1, -1);
    for (size_t i = 0; i < p->prompt_n; i++)
        put(w, b, w->ids.id[p->prompt + i], -1);
    for (size_t k = p->first; k < p->first + p->n; k++) {
        const int32_t *text = w->ids.id + w->part[k].begin;
        size_t n = w->part[k].end - w->part[k].begin;
        open_segment(w, b, parent, text[0]);
        for (size_t i = 0; i < wn_score_computed(n); i++)
            put(w, b, text[i], i + 1 < n ? text[i + 1] : -1);
    }
}

/* Every text looks at the same rows of the encoder's output. */
static void put_two_sided(struct wn_score_window *w, wn_batch *b, wn_batch *source,
                          const struct wn_score_piece *p)
{
    uint32_t row = (uint32_t)source->B++;
    memcpy(w->source_id + source->T, w->ids.id + p->prompt, p->prompt_n * sizeof *w->source_id);
    source->T += p->prompt_n;
    w->source_off[source->B] = (uint32_t)source->T;
    for (size_t k = p->first; k < p->first + p->n; k++) {
        int32_t before = wn_model_facts_of(w->model)->decoder_start;
        w->source_of[b->B] = row;
        open_segment(w, b, -1, -1);
        for (size_t i = w->part[k].begin; i < w->part[k].end; i++) {
            put(w, b, before, w->ids.id[i]);
            before = w->ids.id[i];
        }
    }
}

/* A shared piece's results are its children's, others' their segments'. */
static wn_err take_results(struct wn_score_window *w, const struct wn_score_piece *p,
                           size_t segment)
{
    for (size_t k = 0; k < p->n; k++) {
        size_t s = segment + k + (p->kind == WN_PIECE_SHARED);
        if (!isfinite(w->nll[s])) {
            wn_row row = {0};
            wn_err err = wn_pool_row(w->rows, p->row, &row);
            if (err == WN_OK)
                err = wn_fail(WN_EFORMAT, "%s: the loss of row \"%.*s\" is not a number",
                              wn_model_facts_of(w->model)->path, (int)row.id.len, row.id.p);
            wn_row_free(&row);
            return err;
        }
        w->score[p->first + k] = (wn_text_score){w->nll[s], w->count[s]};
    }
    return WN_OK;
}

static wn_err run_batch(struct wn_score_window *w, const struct wn_score_piece *p, size_t n)
{
    wn_batch source = {.id = w->source_id, .off = w->source_off};
    wn_batch b = {.id = w->id, .off = w->off, .label = w->label};
    if (p->kind == WN_PIECE_TWO_SIDED) {
        b.source = &source;
        b.source_of = w->source_of;
        w->source_off[0] = 0;
    } else {
        b.parent = w->parent;
        b.first_label = w->first_label;
    }
    w->off[0] = 0;
    for (size_t i = 0; i < n; i++) {
        if (p[i].kind == WN_PIECE_TWO_SIDED)
            put_two_sided(w, &b, &source, &p[i]);
        else if (p[i].kind == WN_PIECE_SHARED)
            put_shared(w, &b, &p[i]);
        else
            put_plain(w, &b, &p[i]);
    }
    WN_TRY(wn_model_nll(w->model, w->work, &b, w->nll, w->count));
    if (w->counts)
        w->counts->computed += b.T + source.T;
    size_t segment = 0;
    for (size_t i = 0; i < n; i++) {
        WN_TRY(take_results(w, &p[i], segment));
        segment += p[i].segments;
    }
    return WN_OK;
}

/* How many pieces from p on make the next batch, at least one; sums their sizes. */
static size_t next_batch(const struct wn_score_piece *p, size_t n, struct wn_score_piece *sum)
{
    size_t k = 0;
    *sum = (struct wn_score_piece){0};
    while (k < n && (k == 0 || (sum->tokens + p[k].tokens <= WN_SCORE_BATCH_TOKENS &&
                                sum->source + p[k].source <= WN_SCORE_BATCH_TOKENS))) {
        sum->tokens += p[k].tokens;
        sum->source += p[k].source;
        sum->segments += p[k].segments;
        sum->labels += p[k].labels;
        k++;
    }
    return k;
}

wn_err wn_score_window(struct wn_score_window *w, uint64_t first, uint64_t rows)
{
    struct wn_score_piece sum, need = {0};
    if (w->n_pieces == 0)
        return WN_OK;
    qsort(w->piece, w->n_pieces, sizeof *w->piece, by_length);
    for (size_t i = 0, k; i < w->n_pieces; i += k) {
        k = next_batch(w->piece + i, w->n_pieces - i, &sum);
        need.tokens = larger(sum.tokens, need.tokens);
        need.source = larger(sum.source, need.source);
        need.segments = larger(sum.segments, need.segments);
        need.labels = larger(sum.labels, need.labels);
    }
    WN_TRY(reserve_batch(w, &need));
    for (size_t i = 0, k; i < w->n_pieces; i += k) {
        k = next_batch(w->piece + i, w->n_pieces - i, &sum);
        WN_TRY(run_batch(w, w->piece + i, k));
        uint64_t done = first + rows * (i + k) / w->n_pieces;
        if (i + k < w->n_pieces)
            WN_TRY(wn_progress(w->want->stage, "rows", done, wn_pool_rows(w->rows), NULL));
    }
    return WN_OK;
}

void wn_score_batch_free(struct wn_score_window *w)
{
    wn_work_free(w->work);
    w->work = NULL;
    wn_arena_free(&w->memory);
}

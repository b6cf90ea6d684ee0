/* Log-likelihoods of texts behind prompts, the one computation under rank classification, `score`
 * and the metric nll.
 *
 * A row becomes one or two pieces of work. "Shared": its prompt is one segment, computed once, and
 * every choice is a child segment behind it. "Plain": prompt and target are one segment; used where
 * a row has one text only, or where the prompt is supervised too. The last token of a text is
 * predicted but predicts nothing, so it is not computed at all (except where it is the text's only
 * one): with one-token choices that halves the children.
 *
 * Pieces are sorted by length inside a window of rows, so that a batch holds rows of like length
 * and attention's tiles are full; results go back by place. No figure depends on what shares a
 * batch. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/report.h"
#include "eval/eval.h"

enum { WINDOW_ROWS = 512, BATCH_TOKENS = 2048 };

struct piece {
    bool shared;
    size_t first, n;         /* texts: places in window.part and window.score */
    size_t prompt, prompt_n; /* in window.ids */
    size_t tokens, segments, labels;
    uint64_t row;
};

/* A text's ids are window.ids [begin, end). */
struct part {
    size_t begin, end;
};

struct window {
    wn_model *model;
    const wn_pool *rows;
    const wn_encode_rule *rule;
    const wn_score_want *want;
    wn_encode_counts *counts;
    wn_token_work token_work;
    wn_row row;
    wn_ids prompt, targets; /* of the row being encoded */
    size_t *cut;            /* [cut_cap] of the row being encoded */
    wn_span *text;
    size_t cut_cap, text_cap;
    /* the window */
    wn_ids ids;
    struct piece *piece;
    size_t n_pieces, pieces_cap;
    struct part *part; /* a text each */
    size_t n_parts, parts_cap;
    wn_text_score *score; /* [score_cap] one a part */
    size_t score_cap;
    /* the batch */
    wn_work *work;
    size_t max_tokens, max_segments, max_labels;
    wn_arena memory; /* the arrays of a batch */
    int32_t *id, *label, *parent, *first_label;
    uint32_t *off, *count;
    double *nll;
};

static wn_err refuse(const struct window *w, const wn_row *row, const char *what)
{
    return wn_fail(WN_EARG, "%s: row \"%.*s\" has no %s", wn_pool_path(w->rows), (int)row->id.len,
                   row->id.p, what);
}

static wn_err reserve_texts(struct window *w, size_t n)
{
    while (w->text_cap < n)
        if (!WN_GROW(w->text, w->text_cap, w->text_cap))
            return WN_ENOMEM;
    while (w->cut_cap < n + 1)
        if (!WN_GROW(w->cut, w->cut_cap, w->cut_cap))
            return WN_ENOMEM;
    return WN_OK;
}

static wn_err append_ids(wn_ids *to, const int32_t *id, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!WN_GROW(to->id, to->n, to->cap))
            return WN_ENOMEM;
        to->id[to->n++] = id[i];
    }
    return WN_OK;
}

/* Tokens of a text that are computed: all but the last, at least one. */
static size_t computed(size_t n)
{
    return n > 1 ? n - 1 : n;
}

/* Encodes w->text[0 .. n) behind the row's prompt as one piece. */
static wn_err add_piece(struct window *w, size_t n, bool shared, wn_encode_counts *counts)
{
    wn_ids_clear(&w->prompt);
    wn_ids_clear(&w->targets);
    WN_TRY(wn_encode_targets(&w->prompt, &w->targets, w->cut, wn_model_tokenizer(w->model),
                             &w->token_work, &w->row, w->text, n, w->rule, counts));
    if (w->prompt.n == 0)
        return refuse(w, &w->row, "prompt token to predict from");
    if (!WN_GROW(w->piece, w->n_pieces, w->pieces_cap))
        return WN_ENOMEM;
    struct piece *p = &w->piece[w->n_pieces++];
    *p = (struct piece){.shared = shared,
                        .first = w->n_parts,
                        .n = n,
                        .prompt = w->ids.n,
                        .prompt_n = w->prompt.n,
                        .row = w->row.index,
                        .tokens = w->prompt.n,
                        .segments = 1};
    if (!shared && w->rule->supervise_prompt)
        p->labels = w->prompt.n - 1;
    WN_TRY(append_ids(&w->ids, w->prompt.id, w->prompt.n));
    for (size_t i = 0; i < n; i++) {
        size_t len = w->cut[i + 1] - w->cut[i];
        if (!WN_GROW(w->part, w->n_parts, w->parts_cap))
            return WN_ENOMEM;
        w->part[w->n_parts++] = (struct part){w->ids.n, w->ids.n + len};
        WN_TRY(append_ids(&w->ids, w->targets.id + w->cut[i], len));
        p->tokens += shared ? computed(len) : len - 1;
        p->segments += shared;
        p->labels += len;
    }
    return WN_OK;
}

static bool same_text(wn_span a, wn_span b)
{
    return a.len == b.len && memcmp(a.p, b.p, a.len) == 0;
}

/* Where the row's target is among its texts: a choice of the same text, else behind the choices,
 * else in a piece of its own. The same rule places it when results are read back. */
struct places {
    size_t choices; /* texts of the shared piece that are choices */
    size_t target;  /* its place in the row's texts, SIZE_MAX: not wanted */
    bool own_piece;
};

static wn_err place_row(struct places *at, const struct window *w)
{
    const wn_row *row = &w->row;
    *at = (struct places){0, SIZE_MAX, false};
    if (w->want->need_choices && !row->n_choices)
        return refuse(w, row, "choices, which this metric ranks");
    if (w->want->target && !row->has_target)
        return refuse(w, row, "target");
    if (w->want->choices)
        at->choices = row->n_choices;
    if (!w->want->target)
        return WN_OK;
    at->target = at->choices;
    at->own_piece = at->choices == 0 || w->rule->supervise_prompt;
    for (size_t i = 0; i < at->choices && !at->own_piece; i++)
        if (same_text(row->choices[i], row->target)) {
            at->target = i;
            break;
        }
    return WN_OK;
}

static wn_err encode_row(struct window *w)
{
    struct places at;
    WN_TRY(place_row(&at, w));
    WN_TRY(reserve_texts(w, at.choices + 1));
    if (at.choices) {
        memcpy(w->text, w->row.choices, at.choices * sizeof *w->text);
        bool behind = at.target == at.choices && !at.own_piece;
        if (behind)
            w->text[at.choices] = w->row.target;
        WN_TRY(add_piece(w, at.choices + behind, true, w->counts));
    }
    if (at.own_piece) {
        wn_encode_counts again = {0};
        w->text[0] = w->row.target;
        WN_TRY(add_piece(w, 1, false, at.choices ? &again : w->counts));
    }
    return WN_OK;
}

/* ---- batches ---- */

static int by_length(const void *a, const void *b)
{
    const struct piece *x = a, *y = b;
    if (x->tokens != y->tokens)
        return x->tokens < y->tokens ? -1 : 1;
    return x->first < y->first ? -1 : 1;
}

/* Room for a batch; grown by making it anew, which a window's longest row decides. */
static wn_err reserve_batch(struct window *w, size_t tokens, size_t segments, size_t labels)
{
    if (tokens <= w->max_tokens && segments <= w->max_segments && labels <= w->max_labels)
        return WN_OK;
    w->max_tokens = tokens > w->max_tokens ? tokens : w->max_tokens;
    w->max_segments = segments > w->max_segments ? segments : w->max_segments;
    w->max_labels = labels > w->max_labels ? labels : w->max_labels;
    wn_work_free(w->work);
    w->work = NULL;
    wn_arena_free(&w->memory);
    WN_TRY(wn_work_new(&w->work, w->model, w->max_tokens, w->max_segments, w->max_labels, false));
    size_t T = w->max_tokens, B = w->max_segments;
    WN_TRY(wn_arena_init(&w->memory, (2 * T + 4 * B + 1) * 4 + B * 8 + 7 * 64));
    w->id = wn_arena_push(&w->memory, T * sizeof *w->id);
    w->label = wn_arena_push(&w->memory, T * sizeof *w->label);
    w->parent = wn_arena_push(&w->memory, B * sizeof *w->parent);
    w->first_label = wn_arena_push(&w->memory, B * sizeof *w->first_label);
    w->off = wn_arena_push(&w->memory, (B + 1) * sizeof *w->off);
    w->count = wn_arena_push(&w->memory, B * sizeof *w->count);
    w->nll = wn_arena_push(&w->memory, B * sizeof *w->nll);
    return WN_OK;
}

static void open_segment(struct window *w, wn_batch *b, int32_t parent, int32_t first_label)
{
    w->parent[b->B] = parent;
    w->first_label[b->B] = first_label;
    b->B++;
}

static void put(struct window *w, wn_batch *b, int32_t id, int32_t label)
{
    w->id[b->T] = id;
    w->label[b->T++] = label;
    w->off[b->B] = (uint32_t)b->T;
}

static void put_plain(struct window *w, wn_batch *b, const struct piece *p)
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

static void put_shared(struct window *w, wn_batch *b, const struct piece *p)
{
    int32_t parent = (int32_t)b->B;
    open_segment(w, b, -1, -1);
    for (size_t i = 0; i < p->prompt_n; i++)
        put(w, b, w->ids.id[p->prompt + i], -1);
    for (size_t k = p->first; k < p->first + p->n; k++) {
        const int32_t *text = w->ids.id + w->part[k].begin;
        size_t n = w->part[k].end - w->part[k].begin;
        open_segment(w, b, parent, text[0]);
        for (size_t i = 0; i < computed(n); i++)
            put(w, b, text[i], i + 1 < n ? text[i + 1] : -1);
    }
}

/* A shared piece's results are its children's, a plain one's its segment's. */
static wn_err take_results(struct window *w, const struct piece *p, size_t segment)
{
    for (size_t k = 0; k < p->n; k++) {
        size_t s = p->shared ? segment + 1 + k : segment;
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

static wn_err run_batch(struct window *w, const struct piece *p, size_t n)
{
    wn_batch b = {.id = w->id,
                  .off = w->off,
                  .parent = w->parent,
                  .label = w->label,
                  .first_label = w->first_label};
    w->off[0] = 0;
    for (size_t i = 0; i < n; i++) {
        if (p[i].shared)
            put_shared(w, &b, &p[i]);
        else
            put_plain(w, &b, &p[i]);
    }
    WN_TRY(wn_model_nll(w->model, w->work, &b, w->nll, w->count));
    size_t segment = 0;
    for (size_t i = 0; i < n; i++) {
        WN_TRY(take_results(w, &p[i], segment));
        segment += p[i].segments;
    }
    return WN_OK;
}

/* How many pieces from p on make the next batch, at least one; sums their sizes. */
static size_t next_batch(const struct piece *p, size_t n, struct piece *sum)
{
    size_t k = 0;
    *sum = (struct piece){0};
    while (k < n && (k == 0 || sum->tokens + p[k].tokens <= BATCH_TOKENS)) {
        sum->tokens += p[k].tokens;
        sum->segments += p[k].segments;
        sum->labels += p[k].labels;
        k++;
    }
    return k;
}

static wn_err run_window(struct window *w, uint64_t first, uint64_t rows)
{
    struct piece sum;
    if (w->n_pieces == 0)
        return WN_OK;
    qsort(w->piece, w->n_pieces, sizeof *w->piece, by_length);
    size_t need[3] = {0};
    for (size_t i = 0, k; i < w->n_pieces; i += k) {
        k = next_batch(w->piece + i, w->n_pieces - i, &sum);
        need[0] = sum.tokens > need[0] ? sum.tokens : need[0];
        need[1] = sum.segments > need[1] ? sum.segments : need[1];
        need[2] = sum.labels > need[2] ? sum.labels : need[2];
    }
    WN_TRY(reserve_batch(w, need[0], need[1], need[2]));
    for (size_t i = 0, k; i < w->n_pieces; i += k) {
        k = next_batch(w->piece + i, w->n_pieces - i, &sum);
        WN_TRY(run_batch(w, w->piece + i, k));
        uint64_t done = first + rows * (i + k) / w->n_pieces;
        if (i + k < w->n_pieces)
            WN_TRY(wn_progress(w->want->stage, "rows", done, wn_pool_rows(w->rows), NULL));
    }
    return WN_OK;
}

/* ---- windows ---- */

static wn_err emit_rows(struct window *w, uint64_t first, uint64_t end, wn_score_emit emit,
                        void *ctx)
{
    const wn_text_score *next = w->score;
    for (uint64_t r = first; r < end; r++) {
        struct places at;
        WN_TRY(wn_pool_row(w->rows, r, &w->row));
        WN_TRY(place_row(&at, w));
        WN_TRY(emit(ctx, &w->row, at.target == SIZE_MAX ? NULL : next + at.target,
                    at.choices ? next : NULL));
        next += at.choices + (at.target == at.choices);
    }
    return WN_OK;
}

static wn_err one_window(struct window *w, uint64_t first, uint64_t end, wn_score_emit emit,
                         void *ctx)
{
    wn_ids_clear(&w->ids);
    w->n_pieces = w->n_parts = 0;
    for (uint64_t r = first; r < end; r++) {
        WN_TRY(wn_pool_row(w->rows, r, &w->row));
        WN_TRY(encode_row(w));
    }
    if (w->n_parts > w->score_cap) {
        wn_free(w->score);
        w->score_cap = 0;
        WN_NEW(w->score, w->n_parts);
        w->score_cap = w->n_parts;
    }
    WN_TRY(run_window(w, first, end - first));
    WN_TRY(emit_rows(w, first, end, emit, ctx));
    return wn_progress(w->want->stage, "rows", end, wn_pool_rows(w->rows), NULL);
}

static void window_free(struct window *w)
{
    wn_work_free(w->work);
    wn_arena_free(&w->memory);
    wn_free(w->score);
    wn_free(w->part);
    wn_free(w->piece);
    wn_free(w->text);
    wn_free(w->cut);
    wn_ids_release(&w->ids);
    wn_ids_release(&w->prompt);
    wn_ids_release(&w->targets);
    wn_row_free(&w->row);
    wn_token_work_free(&w->token_work);
}

wn_err wn_score_texts(wn_model *m, const wn_pool *rows, const wn_encode_rule *rule,
                      const wn_score_want *want, wn_score_emit emit, void *ctx,
                      wn_encode_counts *counts)
{
    struct window w = {.model = m, .rows = rows, .rule = rule, .want = want, .counts = counts};
    uint64_t n = wn_pool_rows(rows);
    wn_err err = wn_progress(want->stage, "rows", 0, n, NULL);
    for (uint64_t r = 0; r < n && err == WN_OK; r += WINDOW_ROWS)
        err = one_window(&w, r, n - r < WINDOW_ROWS ? n : r + WINDOW_ROWS, emit, ctx);
    window_free(&w);
    return err;
}

wn_err wn_eval_rule(wn_encode_rule *rule, const wn_model *m, size_t max_tokens, size_t max_target,
                    const char *tmpl, bool supervise_prompt)
{
    const wn_model_facts *f = wn_model_facts_of(m);
    if (f->shape == WN_SHAPE_ENCODER)
        return wn_fail(WN_EARG,
                       "%s: a %s encoder gives no probabilities of answers; expected a "
                       "decoder-only model",
                       f->path, f->family);
    if (f->shape == WN_SHAPE_ENCDEC)
        return wn_fail(WN_EARG, "%s: scoring is not available for encoder-decoder models (%s) yet",
                       f->path, f->family);
    *rule = (wn_encode_rule){.shape = f->shape,
                             .max_tokens = max_tokens,
                             .max_target = max_target,
                             .tmpl = tmpl,
                             .supervise_prompt = supervise_prompt};
    if (f->max_positions && max_tokens > f->max_positions)
        return wn_fail(WN_EARG, "%s: --max-tokens is %zu, but the model has %zu positions", f->path,
                       max_tokens, f->max_positions);
    if (!max_tokens)
        rule->max_tokens = f->max_positions ? f->max_positions : BATCH_TOKENS;
    return WN_OK;
}

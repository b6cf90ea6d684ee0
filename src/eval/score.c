/* Log-likelihoods of texts behind prompts, the one computation under rank classification, `score`
 * and the metric nll.
 *
 * A row becomes one or two pieces of work. "Shared": its prompt is one segment, computed once, and
 * every choice is a child segment behind it. "Plain": prompt and target are one segment; used where
 * a row has one text only, or where the prompt is supervised too. The last token of a text is
 * predicted but predicts nothing, so it is not computed at all (except where it is the text's only
 * one): with one-token choices that halves the children. "Two-sided", an encoder-decoder's: the
 * prompt goes through the encoder once, whatever the number of choices, each of which is a segment
 * of the decoder.
 *
 * Pieces are sorted by length inside a window of rows, so that a batch holds rows of like length
 * and attention's tiles are full; results go back by place. No figure depends on what shares a
 * batch. */
#include "eval/score.h"

#include <string.h>

#include "base/mem.h"
#include "base/report.h"

enum { WINDOW_ROWS = 512, FIRST_ROWS = 64, ENCODER_TOKENS = 512, DECODER_TOKENS = 2048 };

static wn_err refuse(const struct wn_score_window *w, const wn_row *row, const char *what)
{
    return wn_fail(WN_EARG, "%s: row \"%.*s\" has no %s", wn_pool_path(w->rows), (int)row->id.len,
                   row->id.p, what);
}

static wn_err reserve_texts(struct wn_score_window *w, size_t n)
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

/* Texts first .. first + n of those that were encoded, behind the row's prompt. */
static wn_err put_piece(struct wn_score_window *w, wn_piece_kind kind, size_t first, size_t n)
{
    bool two_sided = kind == WN_PIECE_TWO_SIDED;
    if (!WN_GROW(w->piece, w->n_pieces, w->pieces_cap))
        return WN_ENOMEM;
    struct wn_score_piece *p = &w->piece[w->n_pieces++];
    *p = (struct wn_score_piece){.kind = kind,
                                 .first = w->n_parts,
                                 .n = n,
                                 .prompt = w->ids.n,
                                 .prompt_n = w->prompt.n,
                                 .row = w->row.index,
                                 .source = two_sided ? w->prompt.n : 0,
                                 .tokens = two_sided ? 0 : w->prompt.n,
                                 .segments = two_sided ? 0 : 1};
    if (kind == WN_PIECE_PLAIN && w->rule->supervise_prompt)
        p->labels = w->prompt.n - 1;
    WN_TRY(append_ids(&w->ids, w->prompt.id, w->prompt.n));
    for (size_t i = first; i < first + n; i++) {
        size_t len = w->cut[i + 1] - w->cut[i];
        if (!WN_GROW(w->part, w->n_parts, w->parts_cap))
            return WN_ENOMEM;
        w->part[w->n_parts++] = (struct wn_score_part){w->ids.n, w->ids.n + len};
        WN_TRY(append_ids(&w->ids, w->targets.id + w->cut[i], len));
        p->tokens += two_sided ? len : kind == WN_PIECE_SHARED ? wn_score_computed(len) : len - 1;
        p->segments += kind != WN_PIECE_PLAIN;
        p->labels += len;
    }
    return WN_OK;
}

/* Whether the row is so long that each of its texts may turn the prompt by angles of its own. */
static bool turns_apart(const struct wn_score_window *w, size_t n)
{
    size_t from = wn_model_facts_of(w->model)->same_angles;
    bool apart = false;
    for (size_t i = 0; from && i < n; i++)
        apart |= w->prompt.n + w->cut[i + 1] - w->cut[i] > from;
    return apart;
}

/* Encodes w->text[0 .. n) behind the row's prompt, as one piece where they can share it. */
static wn_err add_piece(struct wn_score_window *w, size_t n, bool shared, wn_encode_counts *counts)
{
    bool two_sided = w->rule->shape == WN_SHAPE_ENCDEC;
    wn_ids_clear(&w->prompt);
    wn_ids_clear(&w->targets);
    WN_TRY(wn_encode_targets(&w->prompt, &w->targets, w->cut, wn_model_tokenizer(w->model),
                             &w->token_work, &w->row, w->text, n, w->rule, counts));
    if (w->prompt.n == 0 && w->want->prompt)
        return wn_fail(WN_EARG,
                       "--calibrate \"%s\": %s puts no token before a text; expected some text",
                       w->want->prompt, wn_model_facts_of(w->model)->path);
    if (w->prompt.n == 0)
        return refuse(w, &w->row, "prompt token to predict from");
    if (!two_sided && (!shared || turns_apart(w, n))) {
        for (size_t i = 0; i < n; i++)
            WN_TRY(put_piece(w, WN_PIECE_PLAIN, i, 1));
        return WN_OK;
    }
    return put_piece(w, two_sided ? WN_PIECE_TWO_SIDED : WN_PIECE_SHARED, 0, n);
}

/* Where the row's target is among its texts: a choice of the same text, else behind the choices,
 * else in a piece of its own. The same rule places it when results are read back. */
struct places {
    size_t choices; /* texts of the shared piece that are choices */
    size_t target;  /* its place in the row's texts, SIZE_MAX: not wanted */
    bool own_piece;
};

static wn_err place_row(struct places *at, const struct wn_score_window *w)
{
    const wn_row *row = &w->row;
    *at = (struct places){0, SIZE_MAX, false};
    if (w->want->target && !row->has_target)
        return refuse(w, row, "target");
    if (w->want->choices)
        at->choices = row->n_choices;
    if (!w->want->target)
        return WN_OK;
    at->target = at->choices;
    at->own_piece = at->choices == 0 || w->rule->supervise_prompt;
    for (size_t i = 0; i < at->choices && !at->own_piece; i++)
        if (wn_span_same(row->choices[i], row->target)) {
            at->target = i;
            break;
        }
    return WN_OK;
}

static wn_err encode_row(struct wn_score_window *w)
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

/* ---- windows ---- */

static wn_err emit_rows(struct wn_score_window *w, uint64_t first, uint64_t end, wn_score_emit emit,
                        void *ctx)
{
    const wn_text_score *next = w->score;
    for (uint64_t r = first; r < end; r++) {
        struct places at;
        WN_TRY(wn_pool_row(w->rows, r, &w->row));
        WN_TRY(place_row(&at, w));
        if (r >= w->want->done)
            WN_TRY(emit(ctx, &w->row, at.target == SIZE_MAX ? NULL : next + at.target,
                        at.choices ? next : NULL));
        next += at.choices + (at.target == at.choices);
    }
    return WN_OK;
}

static wn_err one_window(struct wn_score_window *w, uint64_t first, uint64_t end,
                         wn_score_emit emit, void *ctx)
{
    wn_ids_clear(&w->ids);
    w->n_pieces = w->n_parts = 0;
    for (uint64_t r = first; r < end; r++) {
        WN_TRY(wn_pool_row(w->rows, r, &w->row));
        if (w->want->prompt)
            w->row.prompt = (wn_span){w->want->prompt, strlen(w->want->prompt)};
        WN_TRY(encode_row(w));
    }
    if (end <= w->want->done)
        return WN_OK;
    if (w->n_parts > w->score_cap) {
        wn_free(w->score);
        w->score_cap = 0;
        WN_NEW(w->score, w->n_parts);
        w->score_cap = w->n_parts;
    }
    WN_TRY(wn_score_window(w, first, end - first));
    WN_TRY(emit_rows(w, first, end, emit, ctx));
    return wn_progress(w->want->stage, "rows", end, wn_pool_rows(w->rows), NULL);
}

/* Rows of the next window where the last took `took` seconds: what a kill costs is bounded. */
static uint64_t next_window(uint64_t rows, double took)
{
    if (took > 60)
        return rows > 8 ? rows / 2 : rows;
    return took < 20 && rows < WINDOW_ROWS ? 2 * rows : rows;
}

static void window_free(struct wn_score_window *w)
{
    wn_score_batch_free(w);
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
    struct wn_score_window w = {
        .model = m, .rows = rows, .rule = rule, .want = want, .counts = counts};
    uint64_t n = wn_pool_rows(rows), window = want->often ? FIRST_ROWS : WINDOW_ROWS, end;
    wn_err err = wn_progress(want->stage, "rows", want->done, n, NULL);
    for (uint64_t r = 0; r < n && err == WN_OK; r = end) {
        double start = wn_seconds();
        end = n - r < window ? n : r + window;
        err = one_window(&w, r, end, emit, ctx);
        if (want->often)
            window = next_window(window, wn_seconds() - start);
    }
    window_free(&w);
    return err;
}

wn_err wn_eval_rule(wn_encode_rule *rule, const wn_model *m, size_t max_tokens, size_t max_target,
                    const char *tmpl, const char *system, bool supervise_prompt)
{
    const wn_model_facts *f = wn_model_facts_of(m);
    if (f->shape == WN_SHAPE_ENCODER)
        return wn_fail(WN_EARG,
                       "%s: a %s encoder gives no probabilities of answers; expected a "
                       "decoder-only model or an encoder-decoder",
                       f->path, f->family);
    bool encdec = f->shape == WN_SHAPE_ENCDEC;
    if (encdec && supervise_prompt)
        return wn_fail(WN_EARG,
                       "%s: --loss-on all: a %s encoder's prompt is read, not predicted; expected "
                       "target",
                       f->path, f->family);
    *rule = (wn_encode_rule){.shape = f->shape,
                             .max_tokens = max_tokens,
                             .max_target = max_target,
                             .tmpl = tmpl,
                             .system = system,
                             .supervise_prompt = supervise_prompt};
    if (f->max_positions && max_tokens > f->max_positions)
        return wn_fail(WN_EARG, "%s: --max-tokens is %zu, but the model has %zu positions", f->path,
                       max_tokens, f->max_positions);
    if (!max_tokens)
        rule->max_tokens = f->max_positions ? f->max_positions
                           : encdec         ? ENCODER_TOKENS
                                            : DECODER_TOKENS;
    return WN_OK;
}

/* A window of rows is tokenised in parallel, sorted by length and run in batches of about equal
 * lengths, so that no batch holds a straggler; vectors leave in row order. Nothing of this shows in
 * a vector: kernels treat every row of a batch by itself. */
#include "feature/embed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/par.h"
#include "base/report.h"
#include "kernel/kernel.h"

enum { WINDOW = 2048, PIECE = 64, TOKENS_PER_THREAD = 1024 };

/* ---- the rule
 * ----------------------------------------------------------------------------------------- */

static wn_err yes_or_no(bool *out, const char *name, const char *value)
{
    if (strcmp(value, "yes") != 0 && strcmp(value, "no") != 0)
        return wn_fail(WN_EARG, "%s \"%s\": expected yes or no", name, value);
    *out = strcmp(value, "yes") == 0;
    return WN_OK;
}

static wn_err vector_rule(wn_vector_rule *v, const wn_model *m, const wn_embed_opts *o)
{
    const wn_model_facts *f = wn_model_facts_of(m);
    const wn_sentence *s = f->sentence;
    *v = (wn_vector_rule){.D = f->width, .n_pooling = 1};
    if (s) {
        memcpy(v->pooling, s->pooling, sizeof v->pooling);
        v->n_pooling = s->n_pooling;
        v->part = s->part;
        v->n_part = s->n_part;
    }
    if (o->pooling)
        WN_TRY(wn_pooling_parse(v->pooling, &v->n_pooling, o->pooling));
    if (o->normalize)
        WN_TRY(yes_or_no(&v->normalize, "normalize", o->normalize));
    while (o->normalize && v->n_part && v->part[v->n_part - 1].kind == WN_PART_NORMALIZE)
        v->n_part--; /* the option decides in its place */
    for (size_t i = 0; i <= v->n_part; i++) {
        WN_TRY(wn_sentence_width(&v->dim, s, i, v->D, v->n_pooling, f->path));
        v->most = v->dim > v->most ? v->dim : v->most;
    }
    return WN_OK;
}

/* The prompt, and how many tokens it is that the pooling may have to leave out: as the reference
 * counts them, those of the prompt alone with all special tokens but a last one. */
static wn_err prompt_rule(wn_embed_rule *r, const wn_model *m, const wn_embed_opts *o)
{
    const wn_model_facts *f = wn_model_facts_of(m);
    const wn_sentence *s = f->sentence;
    if (o->prompt && o->prompt_name)
        return wn_fail(WN_EARG, "prompt and prompt-name exclude each other");
    r->prompt = o->prompt;
    if (!o->prompt) {
        WN_TRY(wn_sentence_prompt(&r->prompt, s, o->prompt_name, f->path));
        r->prompt_name = o->prompt_name ? o->prompt_name : s ? s->default_prompt : NULL;
    }
    if (!r->prompt || !*r->prompt || !s || !s->skip_prompt)
        return WN_OK;
    int32_t *ids;
    size_t n, end = wn_tokenizer_facts(wn_model_tokenizer(m))->n_suffix;
    WN_TRY(
        wn_tokenizer_encode(wn_model_tokenizer(m), r->prompt, strlen(r->prompt), true, &ids, &n));
    wn_ids_free(ids);
    r->vector.skip = n - (end > 0);
    return WN_OK;
}

static wn_err encode_rule(wn_embed_rule *r, const wn_model *m, const wn_embed_opts *o)
{
    enum { T5_TOKENS = 512 };
    const wn_model_facts *f = wn_model_facts_of(m);
    size_t own = f->sentence ? f->sentence->max_seq_length : 0,
           most = f->max_positions ? f->max_positions : SIZE_MAX;
    size_t max = o->max_tokens      ? o->max_tokens
                 : own              ? (own < most ? own : most)
                 : f->max_positions ? most
                                    : T5_TOKENS;
    if (max > most)
        return wn_fail(WN_EARG, "max-tokens %zu: the model has %zu positions", max, most);
    r->encode =
        (wn_encode_rule){.shape = f->shape, .max_tokens = max, .tmpl = o->tmpl, .lead = r->prompt};
    if (f->ends_in_eos)
        r->encode.shape = WN_SHAPE_ENCDEC;
    else if (f->sentence) /* whatever the model: special tokens as the post-processor says */
        r->encode.shape = WN_SHAPE_ENCODER;
    return wn_encode_check(wn_model_tokenizer(m), &r->encode);
}

wn_err wn_embed_rule_init(wn_embed_rule *r, const wn_model *m, const wn_embed_opts *o)
{
    const wn_model_facts *f = wn_model_facts_of(m);
    *r = (wn_embed_rule){.layer = o->layer};
    WN_TRY(vector_rule(&r->vector, m, o));
    if (o->text && strcmp(o->text, "prompt") != 0 && strcmp(o->text, "both") != 0)
        return wn_fail(WN_EARG, "text \"%s\": expected prompt or both", o->text);
    r->both = o->text && strcmp(o->text, "both") == 0;
    if (o->layer < 0 || (size_t)o->layer > f->layers)
        return wn_fail(WN_EARG, "layer %d: the model has %zu", o->layer, f->layers);
    WN_TRY(prompt_rule(r, m, o));
    return encode_rule(r, m, o);
}

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

struct pool_job { /* pooling of one batch's rows */
    const wn_embed_rule *rule;
    const wn_batch *batch;
    const struct by_length *order;
    const float *hidden;
    float *vector;  /* [WINDOW, most] */
    float *scratch; /* [threads, most] */
};

static void pool_row(void *ctx, size_t b, int thread)
{
    const struct pool_job *j = ctx;
    const wn_vector_rule *r = &j->rule->vector;
    size_t from = j->batch->off[b], n = j->batch->off[b + 1] - from;
    wn_vector_make(j->vector + j->order[b].row * r->most, j->scratch + (size_t)thread * r->most,
                   j->hidden + from * r->D, n, r);
}

struct embedder {
    wn_model *m;
    wn_work *work;
    size_t max_tokens, D;
    struct window win;
    struct by_length *order;
    int32_t *id;
    uint32_t *off;
    float *hidden, *vector, *scratch;
    uint64_t total, tokens; /* rows to be done at the end; tokens so far */
    double start;
};

static wn_err run_batch(struct embedder *e, const wn_embed_rule *rule,
                        const struct by_length *order, size_t B)
{
    size_t T = 0;
    for (size_t b = 0; b < B; b++) {
        uint32_t n;
        const int32_t *ids = row_ids(&e->win, order[b].row, &n);
        e->off[b] = (uint32_t)T;
        memcpy(e->id + T, ids, n * sizeof *ids);
        T += n;
    }
    e->off[B] = (uint32_t)T;
    wn_batch batch = {.B = B, .T = T, .id = e->id, .off = e->off};
    WN_TRY(wn_model_hidden(e->m, e->work, &batch, rule->layer, e->hidden));
    struct pool_job j = {rule, &batch, order, e->hidden, e->vector, e->scratch};
    wn_par_do(B, pool_row, &j);
    return WN_OK;
}

/* Rows leave in windows, but they are counted batch by batch. */
static wn_err report(const struct embedder *e, uint64_t done)
{
    char note[64];
    snprintf(note, sizeof note, "%.0f tokens/s",
             (double)e->tokens / (wn_seconds() - e->start + 1e-9));
    return wn_progress("embed", "rows", done, e->total, note);
}

/* Room for batches of `tokens`, which grows when a longer row comes. */
static wn_err embedder_reserve(struct embedder *e, size_t tokens)
{
    if (tokens <= e->max_tokens)
        return WN_OK;
    wn_free(e->id);
    wn_free(e->hidden);
    wn_work_free(e->work);
    e->id = NULL;
    e->hidden = NULL;
    e->work = NULL;
    e->max_tokens = tokens;
    WN_NEW(e->id, tokens);
    WN_NEW(e->hidden, tokens * e->D);
    return wn_work_new(&e->work, e->m, tokens, WINDOW, 0, false);
}

static wn_err run_window(struct embedder *e, const wn_embed_rule *rule)
{
    struct window *w = &e->win;
    WN_TRY(wn_par_for((w->n + PIECE - 1) / PIECE, encode_piece, w));
    for (size_t i = 0; i < w->n; i++) {
        row_ids(w, i, &e->order[i].n);
        e->order[i].row = (uint32_t)i;
    }
    qsort(e->order, w->n, sizeof *e->order, longer_first);
    if (w->n)
        WN_TRY(embedder_reserve(e, e->order[0].n));
    for (size_t i = 0, B; i < w->n; i += B) {
        size_t T = 0;
        for (B = 0; i + B < w->n && (B == 0 || T + e->order[i + B].n <= e->max_tokens); B++)
            T += e->order[i + B].n;
        WN_TRY(run_batch(e, rule, e->order + i, B));
        e->tokens += T;
        WN_TRY(report(e, w->first + i + B));
    }
    return WN_OK;
}

static wn_err embedder_init(struct embedder *e, wn_model *m, const wn_pool *p,
                            const wn_embed_rule *r)
{
    size_t threads = (size_t)wn_par_threads(), pieces = WINDOW / PIECE;
    *e = (struct embedder){.m = m, .D = wn_model_facts_of(m)->width};
    e->win = (struct window){.pool = p, .tokenizer = wn_model_tokenizer(m), .rule = r};
    WN_NEW(e->win.piece, pieces);
    WN_NEW(e->win.row, threads);
    WN_NEW(e->win.work, threads);
    WN_NEW(e->order, (size_t)WINDOW);
    WN_NEW(e->off, (size_t)WINDOW + 1);
    WN_NEW(e->vector, WINDOW * r->vector.most);
    WN_NEW(e->scratch, threads * r->vector.most);
    return embedder_reserve(e, TOKENS_PER_THREAD * (threads > 8 ? 8 : threads));
}

static void embedder_free(struct embedder *e)
{
    size_t threads = (size_t)wn_par_threads();
    for (size_t i = 0; e->win.piece && i < WINDOW / PIECE; i++)
        wn_ids_release(&e->win.piece[i].ids);
    for (size_t i = 0; e->win.row && i < threads; i++)
        wn_row_free(&e->win.row[i]);
    for (size_t i = 0; e->win.work && i < threads; i++)
        wn_token_work_free(&e->win.work[i]);
    wn_free(e->win.piece);
    wn_free(e->win.row);
    wn_free(e->win.work);
    wn_free(e->order);
    wn_free(e->id);
    wn_free(e->off);
    wn_free(e->hidden);
    wn_free(e->vector);
    wn_free(e->scratch);
    wn_work_free(e->work);
}

static wn_err emit_window(struct embedder *e, wn_embed_emit emit, void *ctx)
{
    struct window *w = &e->win;
    for (size_t i = 0; i < w->n; i++) {
        uint32_t tokens;
        const float *v = e->vector + i * w->rule->vector.most;
        WN_TRY(wn_pool_row(w->pool, w->first + i, &w->row[0]));
        row_ids(w, i, &tokens);
        if (!wn_all_finite(v, w->rule->vector.dim))
            return wn_fail(WN_EFORMAT, "%s: row %.*s: its embedding has NaN or infinity",
                           wn_pool_path(w->pool), (int)w->row[0].id.len, w->row[0].id.p);
        WN_TRY(emit(ctx, w->first + i, &w->row[0], v, tokens));
    }
    return WN_OK;
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

wn_err wn_embed_rows(wn_model *m, const wn_pool *p, uint64_t first, uint64_t n,
                     const wn_embed_rule *r, wn_embed_emit emit, void *ctx,
                     wn_encode_counts *counts)
{
    struct embedder e;
    wn_err err = embedder_init(&e, m, p, r);
    e.total = first + n;
    e.start = wn_seconds();
    for (uint64_t done = 0; !err && done < n; done += e.win.n) {
        e.win.first = first + done;
        e.win.n = n - done < WINDOW ? (size_t)(n - done) : WINDOW;
        err = run_window(&e, r);
        if (!err)
            err = emit_window(&e, emit, ctx);
        for (size_t i = 0; !err && i * PIECE < e.win.n; i++)
            add_counts(counts, &e.win.piece[i].counts);
        if (err)
            break;
    }
    embedder_free(&e);
    return err;
}

/* A step is an ordinary forward pass whose keys and values go to the cache before attention reads
 * them there: a text's earlier tokens are the prefix, its new ones the own range behind it, so the
 * attention kernel cuts the same tiles as in a pass over the whole text. */
#include "model/greedy.h"

#include <string.h>

#include "io/file.h"
#include "model/internal.h"
#include "model/rope.h"

struct wn_cache {
    wn_kv kv;
    size_t layers;
};

static size_t own_width(const wn_stack *s)
{
    return 2 * s->G * s->d;
}

static size_t source_width(const wn_model *m)
{
    return m->encoder.L ? 2 * m->stack.H * m->stack.d : 0;
}

size_t wn_cache_bytes(const wn_model *m, size_t rows, size_t source_rows)
{
    return m->stack.L * (rows * own_width(&m->stack) + source_rows * source_width(m)) *
           sizeof(float);
}

wn_err wn_cache_new(wn_cache **out, const wn_model *m, size_t rows, size_t source_rows)
{
    *out = NULL;
    wn_cache *c;
    WN_ASSERT(rows <= UINT32_MAX && source_rows <= UINT32_MAX);
    WN_NEW(c, 1);
    c->kv.rows = rows;
    c->kv.source_rows = source_rows;
    c->kv.own = wn_malloc(wn_cache_bytes(m, rows, 0));
    size_t bytes = wn_cache_bytes(m, 0, source_rows);
    c->kv.source = bytes ? wn_malloc(bytes) : NULL;
    if (!c->kv.own || (bytes && !c->kv.source)) {
        wn_cache_free(c);
        return WN_ENOMEM;
    }
    *out = c;
    return WN_OK;
}

void wn_cache_free(wn_cache *c)
{
    if (!c)
        return;
    wn_free(c->kv.own);
    wn_free(c->kv.source);
    wn_free(c);
}

/* Positions and ranges of key rows in the cache. */
static wn_err prepare(const wn_model *m, wn_stack_work *w, const wn_kv *kv, const wn_step *s)
{
    const wn_batch *b = s->b;
    w->kv = kv;
    for (size_t i = 0; i < b->B; i++) {
        uint32_t n = b->off[i + 1] - b->off[i], from = s->first[i], at = from + s->seen[i];
        WN_ASSERT(n > 0 && (size_t)at + n <= kv->rows);
        if (m->stack.positions && (size_t)s->seen[i] + n > m->stack.positions)
            return wn_fail(WN_EARG, "a text of %u tokens: the model has %zu positions",
                           s->seen[i] + n, m->stack.positions);
        w->pre[2 * i] = from;
        w->pre[2 * i + 1] = w->own[2 * i] = at;
        w->own[2 * i + 1] = at + n;
        for (uint32_t t = 0; t < n; t++)
            w->pos[b->off[i] + t] = (int32_t)(s->seen[i] + t);
        if (!w->from)
            continue;
        w->from[2 * i] = s->source_first[i];
        w->from[2 * i + 1] = s->source_first[i] + s->source_n[i];
        w->none[2 * i] = w->none[2 * i + 1] = 0;
        WN_ASSERT(w->from[2 * i + 1] <= kv->source_rows);
    }
    return wn_rope_prepare_step(&m->stack, w, b, s->seen);
}

wn_err wn_model_next(const wn_model *m, wn_work *w, wn_cache *c, const wn_step *s, int32_t *next)
{
    const wn_batch *b = s->b;
    WN_ASSERT(w->model == m && b->T <= w->T && b->B <= w->segments);
    WN_TRY(wn_pass_need_head(m));
    wn_pass pass = wn_pass_forward(m, b);
    c->kv.source_to = s->source_to;
    if (m->encoder.L && b->source->B) {
        wn_pass source = wn_pass_forward(m, b->source);
        WN_TRY(wn_pass_source(m, w, &source, m->encoder.L, false));
    }
    WN_TRY(prepare(m, &w->stack, &c->kv, s));
    WN_TRY(wn_pass_embed(m, w, &pass));
    wn_stack_fwd(&m->stack, &w->stack, &pass, w->x, m->stack.L, false);
    wn_head_next(&m->head, &w->head, &pass, w->x, next);
    w->stack.kv = NULL;
    for (size_t i = 0; i < b->B; i++)
        if (next[i] < 0)
            return wn_fail(WN_EFORMAT, "%s: the logits behind a text of %u tokens are no numbers",
                           m->files.path, s->seen[i] + b->off[i + 1] - b->off[i]);
    return WN_OK;
}

bool wn_model_can_grow(const wn_model *m, size_t n, size_t most)
{
    return most <= UINT32_MAX &&
           (n == most || wn_rope_same(&m->stack, (uint32_t)n, (uint32_t)most));
}

/* ---- where a text ends ---- */

static wn_err add_end(wn_ids *out, int64_t id)
{
    for (size_t i = 0; i < out->n; i++)
        if (out->id[i] == id)
            return WN_OK;
    if (id < 0 || id > INT32_MAX)
        return WN_OK;
    if (!WN_GROW(out->id, out->n, out->cap))
        return WN_ENOMEM;
    out->id[out->n++] = (int32_t)id;
    return WN_OK;
}

/* eos_token_id of a JSON object; *any if it has one. */
static wn_err json_ends(wn_ids *out, const json_t *o, bool *any)
{
    const json_t *eos = json_object_get(o, "eos_token_id");
    for (size_t i = 0; i < json_array_size(eos); i++) {
        WN_TRY(add_end(out, json_integer_value(json_array_get(eos, i))));
        *any = true;
    }
    if (json_is_integer(eos)) {
        WN_TRY(add_end(out, json_integer_value(eos)));
        *any = true;
    }
    return WN_OK;
}

static wn_err folder_ends(wn_ids *out, const wn_model *m)
{
    char *path;
    json_t *generation = NULL;
    bool any = false;
    WN_TRY(wn_path_join(&path, m->files.path, "generation_config.json"));
    wn_err e = wn_file_exists(path) ? wn_json_load(&generation, path) : WN_OK;
    wn_free(path);
    if (!e && generation)
        e = json_ends(out, generation, &any);
    json_decref(generation);
    return e || any ? e : json_ends(out, m->files.config, &any);
}

static wn_err gguf_ends(wn_ids *out, const wn_gguf *g)
{
    static const char *const keys[] = {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id",
                                       "tokenizer.ggml.eom_token_id"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        int64_t id;
        if (wn_gguf_i64(g, keys[i], &id))
            WN_TRY(add_end(out, id));
    }
    return WN_OK;
}

wn_err wn_model_ends(wn_ids *out, const wn_model *m)
{
    WN_TRY(m->files.is_gguf ? gguf_ends(out, m->files.gguf) : folder_ends(out, m));
    return add_end(out, wn_tokenizer_facts(m->tokenizer)->eos);
}

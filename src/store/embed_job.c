/* `winnow embed`: rows of a pool to a store of vectors, resumable. */
#include "base/report.h"
#include "feature/embed.h"
#include "io/manifest.h"
#include "kernel/kernel.h"
#include "store/store.h"

struct sink {
    wn_store_writer *writer;
    const wn_pool *pool;
    uint64_t since_sync;
};

enum { SYNC_ROWS = 4096 };

static wn_err emit(void *ctx, uint64_t row, const wn_row *r, const float *vector, uint32_t tokens)
{
    struct sink *s = ctx;
    wn_store_row out = {.vector = vector,
                        .id = r->id,
                        .task = r->task,
                        .tokens = tokens,
                        .loss = __builtin_nanf(""),
                        .margin = __builtin_nanf(""),
                        .text_hash = wn_pool_text_hash(s->pool, row)};
    WN_TRY(wn_store_writer_add(s->writer, &out));
    if (++s->since_sync < SYNC_ROWS)
        return WN_OK;
    s->since_sync = 0;
    return wn_store_writer_sync(s->writer);
}

/* "mean", or several: "cls+mean". */
static json_t *pooling_of(const wn_vector_rule *r)
{
    wn_str s = {0};
    for (size_t i = 0; i < r->n_pooling; i++)
        wn_str_printf(&s, "%s%s", i ? "+" : "", wn_pooling_name(r->pooling[i]));
    json_t *v = json_string(s.p ? s.p : "");
    wn_str_free(&s);
    return v;
}

static bool normalized(const wn_vector_rule *r)
{
    return r->normalize || (r->n_part && r->part[r->n_part - 1].kind == WN_PART_NORMALIZE);
}

static wn_err manifest_of(json_t **out, wn_model *m, wn_pool *p, const wn_embed_rule *r,
                          const wn_embed_opts *o)
{
    char hex[WN_SHA_HEX];
    json_t *model = NULL;
    WN_TRY(wn_pool_sha(p, hex));
    wn_common common = o->common;
    common.precision = wn_model_facts_of(m)->precision;
    WN_TRY(wn_manifest_new(out, "winnow store", &common, wn_kernel_name()));
    wn_err e = wn_model_manifest(&model, m);
    if (e)
        return e;
    size_t L = wn_model_facts_of(m)->layers;
    json_object_set_new(*out, "kind", json_string("embedding"));
    json_object_set_new(*out, "model", model);
    json_object_set_new(*out, "pool_sha256", json_string(hex));
    json_object_set_new(*out, "pool_rows", json_integer((json_int_t)wn_pool_rows(p)));
    json_object_set_new(*out, "pooling", pooling_of(&r->vector));
    json_object_set_new(*out, "normalize", json_boolean(normalized(&r->vector)));
    json_object_set_new(*out, "layer", json_integer((json_int_t)(r->layer ? (size_t)r->layer : L)));
    json_object_set_new(*out, "text", json_string(r->both ? "both" : "prompt"));
    json_object_set_new(*out, "max_tokens", json_integer((json_int_t)r->encode.max_tokens));
    json_object_set_new(*out, "template", json_string(o->tmpl ? o->tmpl : "none"));
    if (o->system)
        json_object_set_new(*out, "system", json_string(o->system));
    if (r->prompt && *r->prompt)
        json_object_set_new(*out, "prompt", json_string(r->prompt));
    return WN_OK;
}

static wn_err embed(wn_model *m, wn_pool *p, const wn_embed_opts *o)
{
    wn_embed_rule rule;
    json_t *manifest = NULL;
    struct sink s = {.pool = p};
    wn_encode_counts counts = {0};
    uint64_t done = 0;
    WN_TRY(wn_embed_rule_init(&rule, m, o));
    wn_err e = manifest_of(&manifest, m, p, &rule, o);
    wn_store_layout layout = {o->store_dtype, o->shard_bytes};
    if (!e && !o->common.overwrite)
        e = wn_store_grow(o->common.out, p, manifest, rule.vector.dim, &layout);
    if (!e)
        e = wn_store_writer_open(&s.writer, o->common.out, manifest, rule.vector.dim, &layout,
                                 o->common.overwrite, &done);
    if (!e && done)
        wn_message("%s: goes on behind row %llu of %llu", o->common.out, (unsigned long long)done,
                   (unsigned long long)wn_pool_rows(p));
    if (!e)
        e = wn_embed_rows(m, p, done, wn_pool_rows(p) - done, &rule, emit, &s, &counts);
    if (!e) {
        wn_str line = {0};
        wn_encode_summary(&line, &counts, &rule.encode);
        if (line.len)
            wn_message("%s", line.p);
        wn_str_free(&line);
        e = wn_store_writer_finish(s.writer, NULL);
    } else if (s.writer) {
        wn_store_writer_close(s.writer);
    }
    json_decref(manifest);
    return e;
}

wn_err wn_embed_job(const wn_embed_opts *o)
{
    wn_model *m = NULL;
    wn_pool *p = NULL;
    if (!o->common.out)
        return wn_fail(WN_EARG, "embed: --out is missing");
    wn_err e = wn_pool_open(&p, o->pool, o->map, true);
    if (!e)
        e = wn_model_open(&m, o->model,
                          &(wn_model_opts){.precision = o->common.precision,
                                           .adapter = o->adapter,
                                           .states_only = true});
    if (!e)
        e = embed(m, p, o);
    wn_model_close(m);
    wn_pool_close(p);
    return e;
}

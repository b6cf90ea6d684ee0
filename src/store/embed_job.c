/* `winnow embed`: rows of a pool to a store of vectors, resumable, by any number of ranks. */
#include "base/ranks.h"
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

struct job {
    const wn_embed_opts *o;
    wn_model *m;
    wn_pool *pool;
    wn_embed_rule rule;
    json_t *manifest;
};

static wn_err prepare(struct job *j)
{
    const wn_embed_opts *o = j->o;
    if (!o->common.out)
        return wn_fail(WN_EARG, "embed: --out is missing");
    WN_TRY(wn_ranks_input("pool", o->pool));
    WN_TRY(wn_pool_open(&j->pool, o->pool, o->map, true));
    WN_TRY(wn_model_open(&j->m, o->model,
                         &(wn_model_opts){.precision = o->common.precision,
                                          .adapter = o->adapter,
                                          .states_only = true}));
    WN_TRY(wn_embed_rule_init(&j->rule, j->m, o));
    return manifest_of(&j->manifest, j->m, j->pool, &j->rule, o);
}

static wn_err begin(const struct job *j, wn_store_writer **writer, uint64_t *done)
{
    const wn_common *c = &j->o->common;
    wn_store_layout layout = {j->o->store_dtype, j->o->shard_bytes};
    return wn_store_writer_of_pool(writer, c->out, j->pool, j->manifest, j->rule.vector.dim,
                                   &layout, c->overwrite, done);
}

static wn_err finish(const struct job *j, wn_store_writer *w, const wn_encode_counts *counts)
{
    wn_str line = {0};
    wn_encode_summary(&line, counts, &j->rule.encode);
    if (line.len)
        wn_message("%s", line.p);
    wn_str_free(&line);
    return wn_store_writer_finish(w, NULL);
}

/* Only rank 0 has a writer. */
static wn_err embed(struct job *j)
{
    struct sink s = {.pool = j->pool};
    wn_encode_counts counts = {0};
    uint64_t done = 0;
    wn_err e = wn_rank() == 0 ? begin(j, &s.writer, &done) : WN_OK;
    e = wn_ranks_agree(e);
    if (!e)
        e = wn_ranks_share(&done, sizeof done);
    if (!e)
        e = wn_embed_rows(j->m, j->pool, done, wn_pool_rows(j->pool) - done, &j->rule, emit, &s,
                          &counts);
    if (!e && wn_rank() == 0)
        return finish(j, s.writer, &counts);
    wn_store_writer_close(s.writer);
    return e;
}

wn_err wn_embed_job(const wn_embed_opts *o)
{
    struct job j = {.o = o};
    wn_err e = prepare(&j);
    e = wn_manifest_agree(e, j.manifest);
    if (!e)
        e = embed(&j);
    json_decref(j.manifest);
    wn_model_close(j.m);
    wn_pool_close(j.pool);
    return e;
}

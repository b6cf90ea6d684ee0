/* `winnow grad`: rows of a pool to a store of gradients, resumable, by any number of ranks. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/ranks.h"
#include "base/report.h"
#include "feature/grad.h"
#include "io/file.h"
#include "io/manifest.h"
#include "io/safetensors.h"
#include "kernel/kernel.h"
#include "store/format.h"
#include "store/store.h"

enum { ENCODER_TOKENS = 512 };

struct job {
    const wn_grad_opts *o;
    wn_model *m;
    wn_pool *pool;
    wn_feed feed;
    wn_grad_rule rule;
    wn_chosen chosen;
    wn_projection projection;
    const char *params;
    float **moment[2]; /* Adam's m and v of the chosen */
    char adam_sha[WN_SHA_HEX];
    json_t *manifest;
    wn_grad_sink_opts sink;
    wn_store_writer *writer; /* NULL on ranks that do not write */
};

/* ---- what is asked for ---- */

/* An untrained adapter only on demand: its B is zero, so all of A's gradients are. */
static wn_err put_adapter(struct job *j)
{
    const wn_grad_opts *o = j->o;
    bool fresh = o->rank || o->alpha > 0 || o->targets;
    j->params = o->params ? o->params : o->adapter || fresh ? "lora" : "all";
    if (o->adapter && fresh)
        return wn_fail(WN_EUSE, "rank, alpha, targets: of a new adapter, but --adapter is given");
    if (!o->adapter && !fresh && strcmp(j->params, "lora") == 0)
        return wn_fail(WN_EUSE,
                       "params lora: there is no adapter; train one first (winnow train "
                       "--method lora) and give it with --adapter, or ask for an untrained "
                       "one with --rank, whose A has no gradient");
    if (!fresh)
        return WN_OK;
    wn_lora_opts lora = {
        .rank = o->rank, .alpha = o->alpha, .targets = o->targets, .seed = o->common.seed};
    return wn_model_add_lora(j->m, &lora);
}

static wn_err encode_rule(struct job *j)
{
    const wn_model_facts *f = wn_model_facts_of(j->m);
    const wn_grad_opts *o = j->o;
    if (f->shape == WN_SHAPE_ENCODER)
        return wn_fail(WN_EARG,
                       "%s: a %s encoder has no output head: it can embed, not give "
                       "gradients of a loss",
                       o->model, f->family);
    bool encdec = f->shape == WN_SHAPE_ENCDEC;
    if (encdec && o->loss_on_all)
        return wn_fail(
            WN_EARG,
            "%s: loss-on all: a %s encoder's prompt is read, not predicted; expected target",
            o->model, f->family);
    size_t max = o->max_tokens ? o->max_tokens : encdec ? ENCODER_TOKENS : f->max_positions;
    if (f->max_positions && max > f->max_positions)
        return wn_fail(WN_EARG, "max-tokens %zu: the model has %zu positions", max,
                       f->max_positions);
    j->rule.encode = (wn_encode_rule){.shape = f->shape,
                                      .max_tokens = max,
                                      .max_target = o->max_target,
                                      .tmpl = o->tmpl,
                                      .system = o->system,
                                      .supervise_prompt = o->loss_on_all};
    j->rule.batch_tokens = o->max_batch_tokens;
    j->rule.max_memory = o->common.max_memory;
    return wn_quantity_parse(&j->rule.quantity, o->quantity);
}

static wn_err make_projection(struct job *j)
{
    const wn_grad_opts *o = j->o;
    wn_projection_kind kind;
    WN_TRY(wn_projection_parse(&kind, o->projection));
    if (kind == WN_PROJECT_KRON && o->adam)
        return wn_fail(WN_EUSE, "adam: needs whole gradients, which projection kron never makes; "
                                "expected rademacher or mt19937");
    if (!o->raw)
        return wn_projection_init(&j->projection, kind, o->project ? o->project : WN_GRAD_DIM,
                                  o->common.seed, &j->chosen, o->common.max_memory);
    if (o->projection || o->project)
        return wn_fail(WN_EUSE, "projection: of raw gradients (--project 0) there is none");
    if (j->chosen.p > WN_STORE_DIM_MAX)
        return wn_fail(
            WN_EARG,
            "project 0: raw gradients of %llu parameters; a store's rows hold at most %d "
            "numbers",
            (unsigned long long)j->chosen.p, WN_STORE_DIM_MAX);
    return WN_OK;
}

/* ---- Adam's moments, from a checkpoint of winnow train ---- */

static wn_err read_moment(float **out, const wn_safetensors *st, const char *kind,
                          const wn_param *p)
{
    wn_str name = {0};
    size_t n = p->rows * p->cols;
    wn_str_printf(&name, "%s:%s", kind, p->name);
    wn_err e = wn_str_check(&name);
    const wn_tensor *t = e ? NULL : wn_safetensors_find(st, name.p);
    if (!e && (!t || wn_tensor_count(t) != n))
        e = wn_fail(WN_EFORMAT,
                    "%s: tensor %s is missing or of another shape: a checkpoint of other "
                    "parameters, or of an optimiser without moments",
                    wn_safetensors_path(st), name.p);
    wn_str_free(&name);
    WN_TRY(e);
    *out = wn_malloc(n * sizeof **out);
    if (!*out)
        return WN_ENOMEM;
    WN_TRY(wn_tensor_to_f32(*out, t, 0, n));
    return wn_all_finite(*out, n) ? WN_OK
                                  : wn_fail(WN_EFORMAT, "%s: %s of %s: NaN or infinity",
                                            wn_safetensors_path(st), kind, p->name);
}

static wn_err read_moments(struct job *j)
{
    static const char *const kinds[] = {"m", "v"};
    wn_safetensors *st;
    if (!j->o->adam)
        return WN_OK;
    WN_TRY(wn_sha_file(j->adam_sha, j->o->adam));
    WN_TRY(wn_safetensors_open(&st, j->o->adam));
    wn_err e = WN_OK;
    for (int k = 0; k < 2 && !e; k++) {
        j->moment[k] = wn_calloc(j->chosen.n, sizeof **j->moment);
        e = j->moment[k] ? WN_OK : WN_ENOMEM;
        for (size_t i = 0; i < j->chosen.n && !e; i++)
            e = read_moment(&j->moment[k][i], st, kinds[k], j->chosen.param[i]);
    }
    wn_safetensors_close(st);
    return e;
}

/* ---- the store ---- */

static wn_err make_manifest(struct job *j)
{
    const wn_grad_opts *o = j->o;
    char hex[WN_SHA_HEX];
    json_t *model = NULL;
    wn_common common = o->common;
    common.precision = wn_model_facts_of(j->m)->precision;
    WN_TRY(wn_pool_sha(j->pool, hex));
    WN_TRY(wn_manifest_new(&j->manifest, "winnow store", &common, wn_kernel_name()));
    WN_TRY(wn_model_manifest(&model, j->m));
    json_t *m = j->manifest;
    json_object_set_new(m, "kind", json_string("gradient"));
    json_object_set_new(m, "model", model);
    if (o->rank || o->alpha > 0 || o->targets) {
        size_t rank = o->rank;
        double alpha = o->alpha;
        wn_lora_defaults(&rank, &alpha);
        json_object_set_new(m, "new_adapter",
                            json_pack("{s:I, s:f, s:s}", "rank", (json_int_t)rank, "alpha", alpha,
                                      "targets", o->targets ? o->targets : "all-linear"));
    }
    json_object_set_new(m, "pool_sha256", json_string(hex));
    json_object_set_new(m, "pool_rows", json_integer((json_int_t)j->feed.rows));
    json_object_set_new(m, "params", json_string(j->params));
    json_object_set_new(m, "parameters", json_integer((json_int_t)j->chosen.p));
    json_object_set_new(m, "quantity", json_string(wn_quantity_name(j->rule.quantity)));
    json_object_set_new(m, "project", json_integer((json_int_t)j->projection.d));
    if (j->projection.d) {
        json_object_set_new(m, "projection", json_string(wn_projection_name(j->projection.kind)));
        json_object_set_new(m, "projection_seed", json_integer((json_int_t)o->common.seed));
    }
    if (o->adam)
        json_object_set_new(
            m, "adam",
            json_pack("{s:s, s:s}", "name", wn_path_base(o->adam), "sha256", j->adam_sha));
    json_object_set_new(m, "max_tokens", json_integer((json_int_t)j->rule.encode.max_tokens));
    json_object_set_new(m, "max_target", json_integer((json_int_t)o->max_target));
    json_object_set_new(m, "template", json_string(o->tmpl ? o->tmpl : "none"));
    if (o->system)
        json_object_set_new(m, "system", json_string(o->system));
    json_object_set_new(m, "loss_on", json_string(o->loss_on_all ? "all" : "target"));
    return WN_OK;
}

static wn_err emit(void *ctx, const wn_grad_row *r)
{
    struct job *j = ctx;
    wn_store_row out = {.vector = r->vector,
                        .id = r->row->id,
                        .task = r->row->task,
                        .tokens = r->tokens,
                        .loss = r->loss,
                        .margin = r->margin,
                        .text_hash = wn_pool_text_hash(j->pool, r->index)};
    return wn_store_writer_add(j->writer, &out);
}

static wn_err begin(struct job *j, uint64_t *done)
{
    const wn_common *c = &j->o->common;
    size_t dim = j->projection.d ? j->projection.d : (size_t)j->chosen.p;
    wn_store_layout layout = {j->o->store_dtype, j->o->shard_bytes};
    return wn_store_writer_of_pool(&j->writer, c->out, j->pool, j->manifest, dim, &layout,
                                   c->overwrite, done);
}

static wn_err finish(struct job *j)
{
    wn_str line = {0};
    wn_encode_summary(&line, &j->feed.counts, &j->rule.encode);
    if (line.len)
        wn_message("%s", line.p);
    wn_str_free(&line);
    return wn_store_writer_finish(j->writer, NULL);
}

/* Only rank 0 has a writer. */
static wn_err write_rows(struct job *j)
{
    uint64_t done = 0;
    wn_err e = wn_rank() == 0 ? begin(j, &done) : WN_OK;
    e = wn_ranks_agree(e);
    if (!e)
        e = wn_ranks_share(&done, sizeof done);
    if (!e && done < j->feed.rows)
        e = wn_grad_rows(j->m, &j->feed, done, &j->rule, &j->sink, emit, j);
    if (!e && wn_rank() == 0)
        return finish(j);
    wn_store_writer_close(j->writer);
    return e;
}

static wn_err prepare(struct job *j)
{
    const wn_grad_opts *o = j->o;
    if (!o->common.out || strcmp(o->common.out, "-") == 0)
        return wn_fail(WN_EARG, "grad: --out is missing: a folder for the store");
    WN_TRY(wn_ranks_input("pool", o->pool));
    WN_TRY(wn_pool_open(&j->pool, o->pool, o->map, true));
    WN_TRY(
        wn_model_open(&j->m, o->model,
                      &(wn_model_opts){.precision = o->common.precision, .adapter = o->adapter}));
    WN_TRY(put_adapter(j));
    WN_TRY(wn_choose(&j->chosen, j->m, j->params));
    WN_TRY(encode_rule(j));
    WN_TRY(make_projection(j));
    WN_TRY(read_moments(j));
    WN_TRY(wn_feed_open(&j->feed, j->pool, j->m, &j->rule.encode));
    WN_TRY(make_manifest(j));
    j->sink = (wn_grad_sink_opts){.chosen = &j->chosen,
                                  .projection = j->projection.d ? &j->projection : NULL,
                                  .m = j->moment[0],
                                  .v = j->moment[1]};
    return wn_grad_fits(j->m, &j->feed, &j->rule, &j->sink);
}

wn_err wn_grad_job(const wn_grad_opts *o)
{
    struct job j = {.o = o};
    wn_err e = prepare(&j);
    e = wn_manifest_agree(e, j.manifest);
    if (!e)
        e = write_rows(&j);
    for (int k = 0; k < 2; k++) {
        for (size_t i = 0; j.moment[k] && i < j.chosen.n; i++)
            wn_free(j.moment[k][i]);
        wn_free(j.moment[k]);
    }
    json_decref(j.manifest);
    wn_feed_close(&j.feed);
    wn_projection_free(&j.projection);
    wn_chosen_free(&j.chosen);
    wn_model_close(j.m);
    wn_pool_close(j.pool);
    return e;
}

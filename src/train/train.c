/* `winnow train`: the job and its manifest. */
#include "train/train.h"

#include <string.h>

#include "base/mem.h"
#include "base/ranks.h"
#include "io/manifest.h"
#include "kernel/kernel.h"
#include "train/run.h"

/* ---- the manifest --------------------------------------------------------------------------
 */

static void set_text(json_t *m, const char *key, const char *value, const char *fallback)
{
    json_object_set_new(m, key, json_string(value ? value : fallback));
}

static void set_real(json_t *m, const char *key, double value)
{
    json_object_set_new(m, key, json_real(value));
}

static void set_whole(json_t *m, const char *key, uint64_t value)
{
    json_object_set_new(m, key, json_integer((json_int_t)value));
}

/* A member that is there only where the option was given. */
static void set_given(json_t *m, const char *key, const char *value)
{
    if (value)
        json_object_set_new(m, key, json_string(value));
}

static void set_method(json_t *m, const wn_train_run *r)
{
    static const char *const methods[] = {"lora", "full", "ia3"};
    const wn_train_opts *o = r->o;
    set_text(m, "method", methods[r->method], NULL);
    set_given(m, "freeze", o->freeze);
    set_given(m, "train", o->train);
    set_given(m, "targets", o->targets);
    set_given(m, "feedforward", o->feedforward);
    set_given(m, "lora_bias", o->lora_bias);
    if (o->base && strcmp(o->base, "auto") != 0)
        set_given(m, "base", o->base);
    set_text(m, "dropout", o->dropout, "0");
    if (r->method != WN_TRAIN_LORA)
        return;
    size_t rank = o->rank;
    double alpha = o->alpha;
    wn_lora_defaults(&rank, &alpha);
    set_whole(m, "rank", rank);
    set_real(m, "alpha", alpha);
    json_object_set_new(m, "rslora", json_boolean(o->rslora));
}

static void set_optimizer(json_t *m, const wn_train_run *r)
{
    const wn_optim_opts *w = &r->optim.o;
    set_text(m, "optimizer", w->kind, NULL);
    set_real(m, "beta1", w->beta1);
    set_real(m, "beta2", w->beta2);
    set_real(m, "eps", w->eps);
    set_real(m, "weight_decay", w->weight_decay);
    set_real(m, "momentum", w->momentum);
    set_real(m, "clip_threshold", w->clip_threshold);
    set_real(m, "decay_rate", w->decay_rate);
    json_object_set_new(m, "nesterov", json_boolean(w->nesterov));
    json_object_set_new(m, "relative_step", json_boolean(w->relative_step));
    json_object_set_new(m, "warmup_init", json_boolean(w->warmup_init));
    json_object_set_new(m, "scale_parameter", json_boolean(!w->plain_scale));
    set_text(m, "state", w->eight_bit ? "8bit" : "f32", NULL);
    set_given(m, "no_decay", r->o->no_decay);
}

static void set_loop(json_t *m, const wn_train_run *r)
{
    const wn_train_opts *o = r->o;
    set_whole(m, "steps", r->steps);
    set_real(m, "lr", r->lr);
    if (o->batch_tokens)
        set_whole(m, "batch_tokens", o->batch_tokens);
    else
        set_whole(m, "batch", r->order.examples);
    if (r->method == WN_TRAIN_FULL) /* last bits of shared parameters: sink.c */
        set_whole(m, "tokens_at_once", r->batch.max_tokens);
    set_text(m, "schedule", wn_schedule_name(&r->schedule), NULL);
    set_whole(m, "warmup", r->schedule.warmup);
    set_real(m, "slanted_cut", r->schedule.cut);
    set_real(m, "slanted_ratio", r->schedule.ratio);
    set_real(m, "clip_norm", o->clip_norm);
    set_real(m, "clip_value", o->clip_value);
    json_object_set_new(m, "shuffle", json_boolean(r->shuffle));
    set_text(m, "loss", r->t_few ? "t-few" : "lm", NULL);
    set_text(m, "loss_mean", r->token_mean ? "token" : "example", NULL);
    set_text(m, "loss_on", o->loss_on_all ? "all" : "target", NULL);
    set_text(m, "keep", r->keep_best ? (r->keep_last ? "both" : "best") : "last", NULL);
    set_whole(m, "patience", o->patience);
}

static wn_err set_inputs(json_t *m, wn_train_run *r)
{
    const wn_train_opts *o = r->o;
    char hex[WN_SHA_HEX];
    json_t *model = NULL;
    WN_TRY(wn_model_manifest(&model, r->model));
    json_object_set_new(m, "model", model);
    WN_TRY(wn_pool_sha(r->pool, hex));
    set_text(m, "data_sha256", hex, NULL);
    if (o->eval) {
        WN_TRY(wn_pool_sha(r->eval_pool, hex));
        set_text(m, "eval_sha256", hex, NULL);
        set_whole(m, "eval_every", o->eval_every);
    }
    if (o->order) {
        WN_TRY(wn_sha_bytes(hex, r->order.given, r->order.n * sizeof *r->order.given));
        set_text(m, "order_sha256", hex, NULL);
    }
    set_whole(m, "rows", r->order.n);
    set_whole(m, "tokens_an_epoch", r->data.tokens);
    set_whole(m, "max_tokens", r->data.rule.max_tokens);
    set_whole(m, "max_target", o->max_target);
    set_text(m, "template", o->tmpl, "none");
    if (o->system)
        set_text(m, "system", o->system, NULL);
    return WN_OK;
}

static wn_err make_manifest(wn_train_run *r)
{
    wn_common common = r->o->common;
    wn_str text = {0};
    common.precision = wn_model_facts_of(r->model)->precision;
    WN_TRY(wn_manifest_new(&r->manifest, "winnow train", &common, wn_kernel_name()));
    WN_TRY(set_inputs(r->manifest, r));
    set_method(r->manifest, r);
    set_optimizer(r->manifest, r);
    set_loop(r->manifest, r);
    wn_err e = wn_json_dump(&text, r->manifest, 0, true);
    if (!e)
        e = wn_sha_bytes(r->key, text.p, text.len);
    wn_str_free(&text);
    return e;
}

/* ---- the job -------------------------------------------------------------------------------
 */

void wn_train_close(wn_train_run *r)
{
    wn_append_close(&r->log);
    wn_data_batch_free(&r->batch);
    wn_data_batch_free(&r->eval_batch);
    wn_order_close(&r->order);
    wn_data_close(&r->data);
    wn_data_close(&r->eval_data);
    wn_work_free(r->work);
    wn_train_relay_free(r->relay);
    wn_optim_free(&r->optim);
    wn_pool_close(r->pool);
    wn_pool_close(r->eval_pool);
    wn_model_close(r->model);
    wn_free(r->nll);
    wn_free(r->count);
    wn_folder_unlock(&r->lock);
    wn_free(r->partial);
    wn_free(r->checkpoint);
    wn_free(r->best);
    wn_free(r->log_path);
    wn_str_free(&r->line);
    json_decref(r->manifest);
}

static wn_err prepare(wn_train_run *r)
{
    const wn_train_opts *o = r->o;
    if (!o->common.out || strcmp(o->common.out, "-") == 0)
        return wn_fail(WN_EARG, "train: --out is missing: a folder for the result");
    WN_TRY(wn_ranks_input("data", o->data));
    WN_TRY(wn_ranks_input("eval", o->eval));
    WN_TRY(wn_ranks_input("order", o->order));
    WN_TRY(wn_train_open(r));
    WN_TRY(wn_train_plan(r));
    return make_manifest(r);
}

/* Ranks put the same batches together. */
static wn_err agree_on_batches(const wn_train_run *r)
{
    const size_t mine[] = {r->batch.max_tokens, r->batch.max_segments};
    size_t first[] = {mine[0], mine[1]};
    WN_TRY(wn_ranks_share(first, sizeof first));
    bool same = first[0] == mine[0] && first[1] == mine[1];
    return wn_ranks_agree(same ? WN_OK
                               : wn_fail(WN_EARG,
                                         "train: plans batches of %zu tokens, rank 0 of %zu: "
                                         "max-batch-tokens says it for all",
                                         mine[0], first[0]));
}

wn_err wn_train_job(const wn_train_opts *o)
{
    wn_train_run r = {.o = o, .log = {.fd = -1}};
    wn_err e = prepare(&r);
    e = wn_manifest_agree(e, r.manifest);
    if (!e)
        e = agree_on_batches(&r);
    if (!e)
        e = wn_train_start_files(&r);
    if (!e)
        e = wn_train_loop(&r);
    if (!e)
        e = wn_train_finish_files(&r);
    wn_train_close(&r);
    return e;
}

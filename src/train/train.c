/* `winnow train`: the loop. All is done in OUT.partial, which becomes OUT by rename when it is
 * finished; a kill anywhere leaves a folder that the same command goes on from. An update's
 * gradient is a sum over its examples in their order, so it does not depend on how many tokens are
 * computed at once (but for the last bits of shared parameters in full fine-tuning: sink.c). */
#include "train/train.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/report.h"
#include "feature/feed.h"
#include "io/file.h"
#include "io/manifest.h"
#include "kernel/kernel.h"
#include "model/model.h"

enum { MICRO_TOKENS = 1024, ENCODER_TOKENS = 512, CHECKPOINT_SEC = 60, SAVE_EVERY = 200 };

struct run {
    const wn_train_opts *o;
    wn_model *model;
    wn_params *params;
    wn_pool *pool, *eval_pool;
    wn_feed feed, eval_feed;
    wn_feed_batch batch;
    wn_work *work;
    wn_optim optim;
    wn_schedule schedule;
    wn_place at;
    uint64_t steps, per_epoch, order_epoch, *order;
    size_t examples; /* an update */
    double lr, *nll, last_loss;
    uint32_t *count;
    bool full, shuffle;
    char *partial, *checkpoint, *log_path;
    wn_append log;
    json_t *manifest;
    char key[WN_SHA_HEX];
};

/* ---- set-up
 * --------------------------------------------------------------------------------------------------
 */

static wn_err parse_yes(bool *out, const char *name, const char *text, bool fallback)
{
    *out = text ? strcmp(text, "yes") == 0 : fallback;
    if (text && !*out && strcmp(text, "no") != 0)
        return wn_fail(WN_EARG, "%s \"%s\": expected yes or no", name, text);
    return WN_OK;
}

static wn_err open_model(struct run *r)
{
    const wn_train_opts *o = r->o;
    const char *method = o->method ? o->method : "lora";
    r->full = strcmp(method, "full") == 0;
    if (!r->full && strcmp(method, "lora") != 0)
        return wn_fail(WN_EARG, "method \"%s\": expected lora or full", method);
    if (r->full && o->adapter)
        return wn_fail(WN_EARG, "method full does not go on from an adapter");
    wn_model_opts mo = {
        .precision = o->common.precision, .adapter = o->adapter, .train_full = r->full};
    WN_TRY(wn_model_open(&r->model, o->model, &mo));
    r->params = wn_model_params(r->model);
    if (r->full) {
        if (o->dropout > 0)
            return wn_fail(WN_EARG,
                           "dropout: only LoRA's input has it so far, not full fine-tuning");
        WN_TRY(wn_model_can_save(r->model));
        return wn_model_train_full(r->model);
    }
    if (o->adapter) {
        for (size_t i = 0; i < r->params->n; i++)
            r->params->p[i].trainable = r->params->p[i].adapter;
        return WN_OK;
    }
    size_t rank = o->rank ? o->rank : 8;
    wn_lora_opts lora = {.rank = rank,
                         .alpha = o->alpha > 0 ? o->alpha : 2.0 * (double)rank,
                         .dropout = o->dropout,
                         .targets = o->targets,
                         .seed = o->common.seed};
    return wn_model_add_lora(r->model, &lora);
}

static wn_err encode_rule(wn_encode_rule *rule, const struct run *r)
{
    const wn_model_facts *f = wn_model_facts_of(r->model);
    const wn_train_opts *o = r->o;
    if (f->shape == WN_SHAPE_ENCODER)
        return wn_fail(WN_EARG, "%s: a %s encoder has no output head to train", o->model,
                       f->family);
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
    *rule = (wn_encode_rule){.shape = f->shape,
                             .max_tokens = max,
                             .max_target = o->max_target,
                             .tmpl = o->tmpl,
                             .supervise_prompt = o->loss_on_all};
    return WN_OK;
}

static wn_err open_data(struct run *r)
{
    const wn_train_opts *o = r->o;
    wn_encode_rule rule;
    WN_TRY(encode_rule(&rule, r));
    WN_TRY(wn_pool_open(&r->pool, o->data, o->map, true));
    WN_TRY(wn_feed_open(&r->feed, r->pool, r->model, &rule));
    if (o->eval) {
        WN_TRY(wn_pool_open(&r->eval_pool, o->eval, o->map, true));
        WN_TRY(wn_feed_open(&r->eval_feed, r->eval_pool, r->model, &rule));
    }
    wn_str line = {0};
    wn_encode_summary(&line, &r->feed.counts, &rule);
    if (line.len)
        wn_message("%s", line.p);
    wn_str_free(&line);
    return WN_OK;
}

/* How long, how fast: updates, schedule, optimiser. */
static wn_err plan(struct run *r)
{
    const wn_train_opts *o = r->o;
    uint64_t n = r->feed.rows;
    r->examples = o->batch ? o->batch : 8;
    r->per_epoch = (n + r->examples - 1) / r->examples;
    if (o->epochs < 0 || !isfinite(o->epochs) || o->epochs > 1e6)
        return wn_fail(WN_EARG, "epochs %g: expected 0 or more", o->epochs);
    r->steps = o->steps
                   ? o->steps
                   : (uint64_t)ceil((o->epochs > 0 ? o->epochs : 1) * (double)r->per_epoch - 1e-9);
    r->lr = o->lr != 0 ? o->lr : r->full ? 5e-5 : 1e-4;
    if (!(r->lr > 0) || !(o->clip_norm >= 0) || !(o->clip_value >= 0) || !(o->weight_decay >= 0))
        return wn_fail(
            WN_EARG, "lr, clip-norm, clip-value, weight-decay: expected numbers above or equal 0");
    WN_TRY(parse_yes(&r->shuffle, "shuffle", o->shuffle, true));
    WN_TRY(
        wn_schedule_parse(&r->schedule, o->schedule ? o->schedule : "linear", o->warmup, r->steps));
    WN_TRY(wn_optim_init(&r->optim, o->optimizer ? o->optimizer : "adamw", o->weight_decay,
                         r->params));
    WN_TRY(wn_params_make_grads(r->params));
    size_t longest =
        r->feed.longest > r->eval_feed.longest ? r->feed.longest : r->eval_feed.longest;
    size_t tokens = o->max_batch_tokens ? o->max_batch_tokens : MICRO_TOKENS;
    tokens = tokens < longest ? longest : tokens;
    if (tokens > r->feed.longest * r->examples && tokens > longest)
        tokens = r->feed.longest * r->examples > longest ? r->feed.longest * r->examples : longest;
    size_t rows = r->examples < tokens ? r->examples : tokens;
    rows = rows < 8 ? 8 : rows;
    size_t most = r->feed.most_labels > r->eval_feed.most_labels ? r->feed.most_labels
                                                                 : r->eval_feed.most_labels;
    size_t labels = most * rows < tokens ? most * rows : tokens;
    size_t need = wn_work_bytes(r->model, tokens, rows, labels, true);
    if (o->common.max_memory && wn_mem_live() + need > o->common.max_memory)
        return wn_fail(
            WN_ENOMEM, "train: needs %zu MB (batches of %zu tokens), max-memory allows %llu MB",
            (wn_mem_live() + need) >> 20, tokens, (unsigned long long)(o->common.max_memory >> 20));
    WN_TRY(wn_work_new(&r->work, r->model, tokens, rows, labels, true));
    WN_TRY(wn_feed_batch_new(&r->batch, &r->feed, tokens, rows));
    WN_NEW(r->order, n);
    WN_NEW(r->nll, rows);
    WN_NEW(r->count, rows);
    return WN_OK;
}

static wn_err make_manifest(struct run *r)
{
    const wn_train_opts *o = r->o;
    json_t *model = NULL;
    char data[WN_SHA_HEX];
    wn_common common = o->common;
    common.precision = wn_model_facts_of(r->model)->precision;
    WN_TRY(wn_manifest_new(&r->manifest, "winnow train", &common, wn_kernel_name()));
    WN_TRY(wn_model_manifest(&model, r->model));
    json_t *m = r->manifest;
    json_object_set_new(m, "model", model);
    WN_TRY(wn_pool_sha(r->pool, data));
    json_object_set_new(m, "data_sha256", json_string(data));
    json_object_set_new(m, "rows", json_integer((json_int_t)r->feed.rows));
    json_object_set_new(m, "tokens_an_epoch", json_integer((json_int_t)r->feed.tokens));
    json_object_set_new(m, "method", json_string(r->full ? "full" : "lora"));
    json_object_set_new(m, "steps", json_integer((json_int_t)r->steps));
    json_object_set_new(m, "lr", json_real(r->lr));
    json_object_set_new(m, "batch", json_integer((json_int_t)r->examples));
    json_object_set_new(m, "optimizer", json_string(o->optimizer ? o->optimizer : "adamw"));
    json_object_set_new(m, "schedule", json_string(o->schedule ? o->schedule : "linear"));
    json_object_set_new(m, "warmup", json_integer((json_int_t)r->schedule.warmup));
    json_object_set_new(m, "clip_norm", json_real(o->clip_norm));
    json_object_set_new(m, "clip_value", json_real(o->clip_value));
    json_object_set_new(m, "weight_decay", json_real(o->weight_decay));
    json_object_set_new(m, "dropout", json_real(o->dropout));
    json_object_set_new(m, "shuffle", json_boolean(r->shuffle));
    json_object_set_new(m, "rank", json_integer((json_int_t)(o->rank ? o->rank : 8)));
    json_object_set_new(m, "alpha", json_real(o->alpha));
    json_object_set_new(m, "targets", json_string(o->targets ? o->targets : "all-linear"));
    json_object_set_new(m, "max_tokens", json_integer((json_int_t)r->feed.rule.max_tokens));
    json_object_set_new(m, "max_target", json_integer((json_int_t)o->max_target));
    json_object_set_new(m, "template", json_string(o->tmpl ? o->tmpl : "none"));
    json_object_set_new(m, "loss_on", json_string(o->loss_on_all ? "all" : "target"));
    wn_str text = {0};
    wn_err e = wn_json_dump(&text, m, 0, true);
    if (!e)
        e = wn_sha_bytes(r->key, text.p, text.len);
    wn_str_free(&text);
    return e;
}

/* ---- files
 * ---------------------------------------------------------------------------------------------------
 */

static wn_err start_files(struct run *r)
{
    const char *out = r->o->common.out;
    wn_str s = {0};
    wn_str_printf(&s, "%s.partial", out);
    WN_TRY(wn_str_check(&s));
    r->partial = s.p;
    WN_TRY(wn_out_refuse(out, r->o->common.overwrite));
    WN_TRY(wn_path_join(&r->checkpoint, r->partial, "checkpoint.safetensors"));
    WN_TRY(wn_path_join(&r->log_path, r->partial, "train.jsonl"));
    if (wn_file_exists(r->checkpoint)) {
        wn_err e = wn_checkpoint_read(r->checkpoint, r->params, &r->optim, &r->at, r->key);
        if (e && !r->o->common.overwrite)
            return e;
        if (!e) {
            wn_message("%s: goes on behind update %llu of %llu", out,
                       (unsigned long long)r->at.step, (unsigned long long)r->steps);
            if (r->full)
                wn_model_refresh(r->model);
            return wn_append_open(&r->log, r->log_path, r->at.log_bytes);
        }
    }
    WN_TRY(wn_remove_tree(r->partial));
    WN_TRY(wn_mkdirs(r->partial));
    return wn_append_open(&r->log, r->log_path, 0);
}

static wn_err save_checkpoint(struct run *r)
{
    WN_TRY(wn_append_sync(&r->log));
    r->at.log_bytes = r->log.size;
    return wn_checkpoint_write(r->checkpoint, r->params, &r->optim, &r->at, r->key);
}

static wn_err finish_files(struct run *r)
{
    const char *out = r->o->common.out;
    char *manifest = NULL;
    wn_append_sync(&r->log);
    wn_append_close(&r->log);
    if (r->full)
        WN_TRY(wn_model_save(r->model, r->partial, r->o->save_dtype));
    else
        WN_TRY(wn_model_save_adapter(r->model, r->partial, r->o->model));
    json_object_set_new(r->manifest, "tokens", json_integer((json_int_t)r->at.tokens));
    json_object_set_new(r->manifest, "last_loss", json_real(r->last_loss));
    WN_TRY(wn_path_join(&manifest, r->partial, "train.json"));
    wn_err e = wn_manifest_write(manifest, r->manifest);
    wn_free(manifest);
    WN_TRY(e);
    WN_TRY(wn_remove_tree(r->checkpoint));
    WN_TRY(wn_remove_tree(out));
    return wn_rename(r->partial, out);
}

/* ---- the loop
 * -------------------------------------------------------------------------------------------------
 */

static uint64_t row_at(struct run *r, uint64_t step, size_t i)
{
    uint64_t epoch = step / r->per_epoch;
    if (epoch != r->order_epoch) {
        wn_epoch_order(r->order, r->feed.rows, r->o->common.seed, epoch, r->shuffle);
        r->order_epoch = epoch;
    }
    return r->order[step % r->per_epoch * r->examples + i];
}

static wn_err run_micro_batch(struct run *r, const wn_sink *sink, double *loss)
{
    const wn_batch *b = &r->batch.batch;
    WN_TRY(wn_model_loss_back(r->model, r->work, b, r->batch.weight, r->o->common.seed, r->at.step,
                              r->nll, r->count, sink));
    for (size_t i = 0; i < b->B; i++)
        *loss += r->nll[i] * (double)r->batch.weight[i];
    r->at.tokens += wn_feed_batch_tokens(&r->batch);
    wn_feed_batch_clear(&r->batch);
    return WN_OK;
}

/* Gradients of one update; the mean loss over its examples. */
static wn_err update_gradients(struct run *r, double *loss)
{
    wn_sink sink = wn_sink_train();
    uint64_t first = r->at.step % r->per_epoch * r->examples;
    size_t n = r->feed.rows - first < r->examples ? (size_t)(r->feed.rows - first) : r->examples;
    *loss = 0;
    wn_params_zero_grads(r->params);
    wn_feed_batch_clear(&r->batch);
    for (size_t i = 0; i < n;) {
        bool fits;
        WN_TRY(wn_feed_add(&r->batch, &r->feed, row_at(r, r->at.step, i), n, &fits));
        if (fits)
            i++;
        if (!fits || i == n)
            WN_TRY(run_micro_batch(r, &sink, loss));
    }
    return WN_OK;
}

static wn_err diverged(struct run *r, double loss, double norm)
{
    wn_str rows = {0};
    uint64_t first = r->at.step % r->per_epoch * r->examples;
    for (size_t i = 0; i < r->examples && first + i < r->feed.rows && rows.len < 300; i++)
        if (!wn_pool_row(r->pool, row_at(r, r->at.step, i), &r->feed.row))
            wn_str_printf(&rows, "%s%.*s", i ? ", " : "", (int)r->feed.row.id.len,
                          r->feed.row.id.p);
    wn_err e = wn_fail(WN_EFORMAT,
                       "train: update %llu: loss %g, gradient norm %g: expected finite numbers "
                       "(rows %s); last good checkpoint: %s",
                       (unsigned long long)r->at.step + 1, loss, norm, rows.p ? rows.p : "",
                       wn_file_exists(r->checkpoint) ? r->checkpoint : "none");
    wn_str_free(&rows);
    return e;
}

/* Mean over the eval rows of the mean loss of their target tokens. */
static wn_err evaluate(struct run *r, double *mean)
{
    uint64_t n = wn_pool_rows(r->eval_pool);
    double sum = 0;
    wn_feed_batch_clear(&r->batch);
    for (uint64_t i = 0; i < n;) {
        bool fits;
        WN_TRY(wn_feed_add(&r->batch, &r->eval_feed, i, 1, &fits));
        i += fits;
        if (fits && i < n)
            continue;
        WN_TRY(wn_model_nll(r->model, r->work, &r->batch.batch, r->nll, r->count));
        for (size_t b = 0; b < r->batch.batch.B; b++)
            sum += r->nll[b] / (double)r->count[b];
        wn_feed_batch_clear(&r->batch);
    }
    *mean = sum / (double)n;
    return WN_OK;
}

static wn_err log_step(struct run *r, double loss, double lr, double norm, double rate)
{
    wn_str s = {0};
    wn_str_printf(&s, "{\"step\":%llu,\"loss\":", (unsigned long long)r->at.step);
    wn_json_f64(&s, loss);
    wn_str_puts(&s, ",\"lr\":");
    wn_json_f64(&s, lr);
    wn_str_puts(&s, ",\"grad_norm\":");
    wn_json_f64(&s, norm);
    wn_str_printf(&s, ",\"tokens_per_sec\":%.1f}\n", rate);
    if (r->o->eval &&
        ((r->o->eval_every && r->at.step % r->o->eval_every == 0) || r->at.step == r->steps)) {
        double eval_loss;
        wn_err e = evaluate(r, &eval_loss);
        if (e) {
            wn_str_free(&s);
            return e;
        }
        wn_str_printf(&s, "{\"step\":%llu,\"eval_loss\":", (unsigned long long)r->at.step);
        wn_json_f64(&s, eval_loss);
        wn_str_puts(&s, "}\n");
    }
    wn_err e = wn_str_check(&s);
    if (!e)
        e = wn_append_write(&r->log, s.p, s.len);
    wn_str_free(&s);
    return e;
}

static wn_err loop(struct run *r)
{
    const wn_train_opts *o = r->o;
    double start = wn_seconds(), saved = start;
    uint64_t tokens0 = r->at.tokens, save_every = o->save_every ? o->save_every : SAVE_EVERY;
    r->order_epoch = UINT64_MAX;
    while (r->at.step < r->steps) {
        double loss, before = wn_seconds();
        uint64_t had = r->at.tokens;
        WN_TRY(update_gradients(r, &loss));
        double norm = wn_grad_norm(r->params),
               lr = r->lr * wn_schedule_factor(&r->schedule, r->at.step);
        if (!isfinite(loss) || !isfinite(norm))
            return diverged(r, loss, norm);
        double scale = o->clip_norm > 0 ? fmin(1, o->clip_norm / (norm + 1e-6)) : 1;
        wn_optim_step(&r->optim, r->params, lr, scale, o->clip_value);
        if (r->full)
            wn_model_refresh(r->model);
        r->at.step++;
        r->last_loss = loss;
        double now = wn_seconds();
        WN_TRY(log_step(r, loss, lr, norm, (double)(r->at.tokens - had) / (now - before + 1e-9)));
        if (r->at.step < r->steps &&
            (r->at.step % save_every == 0 || now - saved > CHECKPOINT_SEC)) {
            WN_TRY(save_checkpoint(r));
            saved = now;
        }
        char note[96];
        snprintf(note, sizeof note, "loss %.4f, %.0f tokens/s", loss,
                 (double)(r->at.tokens - tokens0) / (now - start + 1e-9));
        wn_err e = wn_progress("train", "updates", r->at.step, r->steps, note);
        if (e) {
            wn_err saved_err = save_checkpoint(r);
            return saved_err ? saved_err : e;
        }
    }
    return WN_OK;
}

static void close_all(struct run *r)
{
    wn_append_close(&r->log);
    wn_feed_batch_free(&r->batch);
    wn_feed_close(&r->feed);
    wn_feed_close(&r->eval_feed);
    wn_work_free(r->work);
    wn_optim_free(&r->optim);
    wn_pool_close(r->pool);
    wn_pool_close(r->eval_pool);
    wn_model_close(r->model);
    wn_free(r->order);
    wn_free(r->nll);
    wn_free(r->count);
    wn_free(r->partial);
    wn_free(r->checkpoint);
    wn_free(r->log_path);
    json_decref(r->manifest);
}

wn_err wn_train_job(const wn_train_opts *o)
{
    struct run r = {.o = o, .log = {.fd = -1}};
    if (!o->common.out || strcmp(o->common.out, "-") == 0)
        return wn_fail(WN_EARG, "train: --out is missing: a folder for the result");
    wn_err e = open_model(&r);
    if (!e)
        e = open_data(&r);
    if (!e)
        e = plan(&r);
    if (!e)
        e = make_manifest(&r);
    if (!e)
        e = start_files(&r);
    if (!e)
        e = loop(&r);
    if (!e)
        e = finish_files(&r);
    close_all(&r);
    return e;
}

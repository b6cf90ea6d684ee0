/* What a run is made of: the model and what is trained of it, the rows as tokens, and the plan of
 * its memory, which is allocated before the first update. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/pattern_list.h"
#include "base/report.h"
#include "train/run.h"

#define MB(bytes) ((double)(bytes) / (1 << 20))

enum { ENCODER_TOKENS = 512 };

/* ---- words -------------------------------------------------------------------------------- */

/* The place of a text in a list; NULL: the first. */
static wn_err parse_word(int *out, const char *option, const char *text, const char *const *known)
{
    wn_str all = {0};
    for (*out = 0; text && known[*out]; ++*out)
        if (strcmp(known[*out], text) == 0)
            return WN_OK;
    if (!text)
        return WN_OK;
    for (int i = 0; known[i]; i++)
        wn_str_printf(&all, "%s%s", i ? (known[i + 1] ? ", " : " or ") : "", known[i]);
    wn_err e = wn_str_check(&all);
    if (!e)
        e = wn_fail(WN_EARG, "%s \"%s\": expected %s", option, text, all.p);
    wn_str_free(&all);
    return e;
}

static wn_err parse_yes(bool *out, const char *option, const char *text, bool fallback)
{
    static const char *const words[] = {"no", "yes", NULL};
    int at;
    WN_TRY(parse_word(&at, option, text, words));
    *out = text ? at : fallback;
    return WN_OK;
}

static wn_err refuse(bool given, const char *option, const char *why)
{
    return given ? wn_fail(WN_EUSE, "%s: %s", option, why) : WN_OK;
}

/* "model" or a share; *adapter gets it where it is the adapter's. */
static wn_err parse_dropout(wn_train_run *r, double *adapter)
{
    const char *text = r->o->dropout;
    char *end;
    *adapter = r->dropout = 0;
    if (!text)
        return WN_OK;
    if (strcmp(text, "model") == 0) {
        r->dropout = -1;
        return WN_OK;
    }
    double p = strtod(text, &end);
    if (end == text || *end || !(p >= 0 && p < 1))
        return wn_fail(WN_EUSE, "dropout \"%s\": expected model, or a share from 0, below 1", text);
    *(r->method == WN_TRAIN_LORA ? adapter : &r->dropout) = p;
    return WN_OK;
}

static wn_err parse_words(wn_train_run *r)
{
    static const char *const methods[] = {"lora", "full", "ia3", NULL};
    static const char *const means[] = {"example", "token", NULL};
    static const char *const losses[] = {"lm", "t-few", NULL};
    static const char *const keeps[] = {"last", "best", "both", NULL};
    const wn_train_opts *o = r->o;
    int method, mean, loss, keep;
    WN_TRY(parse_word(&method, "method", o->method, methods));
    WN_TRY(parse_word(&mean, "loss-mean", o->loss_mean, means));
    WN_TRY(parse_word(&loss, "loss", o->loss, losses));
    WN_TRY(parse_word(&keep, "keep", o->keep, keeps));
    WN_TRY(parse_yes(&r->shuffle, "shuffle", o->shuffle, !o->order));
    r->method = (wn_train_method)method;
    r->token_mean = mean;
    r->t_few = loss;
    keep = !o->keep && o->patience ? 1 : keep;
    r->keep_best = keep >= 1;
    r->keep_last = keep != 1;
    bool lora = r->method == WN_TRAIN_LORA, full = r->method == WN_TRAIN_FULL;
    WN_TRY(refuse(r->shuffle && o->order, "shuffle yes", "order says how the rows go"));
    WN_TRY(refuse(o->batch && o->batch_tokens, "batch, batch-tokens", "expected one of them"));
    WN_TRY(refuse((o->keep || o->patience) && !o->eval, "keep, patience", "need eval"));
    WN_TRY(refuse(o->patience && !o->eval_every, "patience", "needs eval-every"));
    WN_TRY(refuse(!lora && (o->rank || o->alpha != 0 || o->rslora || o->lora_bias),
                  "rank, alpha, rslora, lora-bias", "method lora has them"));
    WN_TRY(refuse(full && o->targets, "targets", "methods lora and ia3 have them"));
    WN_TRY(refuse(r->method != WN_TRAIN_IA3 && o->feedforward, "feedforward", "method ia3 has it"));
    WN_TRY(refuse(!full && (o->freeze || o->train), "freeze, train", "method full has them"));
    WN_TRY(refuse(r->t_few && o->loss_on_all, "loss-on all", "not with loss t-few"));
    return refuse(o->adapter &&
                      (o->alpha != 0 || o->targets || o->feedforward || o->rslora || o->lora_bias),
                  "alpha, targets, feedforward, rslora, lora-bias", "the adapter says them");
}

/* ---- the model ---------------------------------------------------------------------------- */

/* Sets a member of every parameter that a list of patterns chooses. */
static wn_err choose(wn_params *ps, const char *option, const char *text,
                     void (*set)(wn_param *p, bool chosen))
{
    wn_pattern_list l;
    if (!text)
        return WN_OK;
    WN_TRY(wn_patterns_open(&l, option, text, true));
    for (size_t i = 0; i < ps->n; i++)
        set(&ps->p[i], wn_patterns_match(&l, ps->p[i].name));
    const char *unused = wn_patterns_unused(&l);
    wn_err e = unused ? wn_fail(WN_EARG, "%s \"%s\": no parameter has such a name", option, unused)
                      : WN_OK;
    wn_patterns_close(&l);
    return e;
}

static void set_train(wn_param *p, bool chosen)
{
    p->trainable = chosen;
}

static void set_freeze(wn_param *p, bool chosen)
{
    p->trainable &= !chosen;
}

static void set_no_decay(wn_param *p, bool chosen)
{
    p->decay = !chosen;
}

static wn_err train_full(wn_train_run *r)
{
    WN_TRY(wn_model_can_save(r->model));
    WN_TRY(wn_model_train_full(r->model));
    WN_TRY(choose(r->params, "train", r->o->train, set_train));
    return choose(r->params, "freeze", r->o->freeze, set_freeze);
}

static wn_err train_lora(wn_train_run *r, double dropout)
{
    const wn_train_opts *o = r->o;
    wn_lora_opts lora = {.rank = o->rank,
                         .alpha = o->alpha,
                         .dropout = dropout,
                         .rslora = o->rslora,
                         .bias = o->lora_bias,
                         .targets = o->targets,
                         .seed = o->common.seed};
    return wn_model_add_lora(r->model, &lora);
}

/* What is trained of an adapter to go on from. */
static wn_err train_adapter(wn_train_run *r)
{
    for (size_t i = 0; i < r->params->n; i++) {
        wn_param *p = &r->params->p[i];
        p->trainable = p->adapter;
        const char *factor = p->adapter ? strstr(p->name, ".lora_A.") : NULL;
        if (factor && r->o->rank && p->rows != r->o->rank)
            return wn_fail(WN_EARG, "rank %zu: the adapter's is %zu", r->o->rank, p->rows);
    }
    return WN_OK;
}

static wn_err open_model(wn_train_run *r)
{
    const wn_train_opts *o = r->o;
    double adapter_dropout;
    bool full = r->method == WN_TRAIN_FULL;
    WN_TRY(parse_dropout(r, &adapter_dropout));
    WN_TRY(refuse(full && o->adapter, "adapter", "method full does not go on from one"));
    static const char *const bases[] = {"auto", "q8", "q4", NULL};
    int base;
    WN_TRY(parse_word(&base, "base", o->base, bases));
    WN_TRY(refuse(full && base, "base", "method full changes the base itself"));
    wn_model_opts mo = {.precision = o->common.precision,
                        .adapter = o->adapter,
                        .train_full = full,
                        .base = (wn_base)base};
    WN_TRY(wn_model_open(&r->model, o->model, &mo));
    r->params = wn_model_params(r->model);
    if (r->dropout != 0)
        WN_TRY(wn_model_set_dropout(r->model, r->dropout));
    if (full)
        WN_TRY(train_full(r));
    else if (o->adapter)
        WN_TRY(train_adapter(r));
    else if (r->method == WN_TRAIN_LORA)
        WN_TRY(train_lora(r, adapter_dropout));
    else
        WN_TRY(wn_model_add_ia3(
            r->model, &(wn_ia3_opts){.targets = o->targets, .feedforward = o->feedforward}));
    WN_TRY(choose(r->params, "no-decay", o->no_decay, set_no_decay));
    return wn_params_trainable(r->params)
               ? WN_OK
               : wn_fail(WN_EARG, "train: every parameter is frozen: nothing to train");
}

/* ---- the rows ----------------------------------------------------------------------------- */

static wn_err encode_rule(wn_encode_rule *rule, const wn_train_run *r)
{
    const wn_train_opts *o = r->o;
    const wn_model_facts *f = wn_model_facts_of(r->model);
    bool encdec = f->shape == WN_SHAPE_ENCDEC;
    if (f->shape == WN_SHAPE_ENCODER)
        return wn_fail(WN_EARG, "%s: a %s encoder has no output head to train", o->model,
                       f->family);
    if (encdec && o->loss_on_all)
        return wn_fail(WN_EARG, "loss-on all: a %s model predicts no token of its prompt",
                       f->family);
    size_t max = o->max_tokens ? o->max_tokens : encdec ? ENCODER_TOKENS : f->max_positions;
    if (f->max_positions && max > f->max_positions)
        return wn_fail(WN_EARG, "max-tokens %zu: the model has %zu positions", max,
                       f->max_positions);
    *rule = (wn_encode_rule){.shape = f->shape,
                             .max_tokens = max,
                             .max_target = o->max_target,
                             .tmpl = o->tmpl,
                             .system = o->system,
                             .supervise_prompt = o->loss_on_all};
    return WN_OK;
}

/* Whether every row has choices, so that an evaluation can rank them. */
static wn_err all_have_choices(bool *all, const wn_pool *pool)
{
    wn_row row = {0};
    wn_err e = WN_OK;
    *all = true;
    for (uint64_t i = 0; !e && *all && i < wn_pool_rows(pool); i++) {
        e = wn_pool_row(pool, i, &row);
        *all = !e && row.n_choices >= 2 && wn_row_answer(&row) >= 0;
    }
    wn_row_free(&row);
    return e;
}

static wn_err open_rows(wn_train_run *r)
{
    const wn_train_opts *o = r->o;
    wn_encode_rule rule;
    wn_str line = {0};
    WN_TRY(encode_rule(&rule, r));
    WN_TRY(wn_pool_open(&r->pool, o->data, o->map, true));
    WN_TRY(wn_data_open(&r->data, r->pool, r->model, &rule, r->t_few));
    if (o->eval) {
        bool choices;
        WN_TRY(wn_pool_open(&r->eval_pool, o->eval, o->map, true));
        WN_TRY(all_have_choices(&choices, r->eval_pool));
        rule.supervise_prompt &= !choices;
        WN_TRY(wn_data_open(&r->eval_data, r->eval_pool, r->model, &rule, choices));
    }
    wn_encode_summary(&line, &r->data.counts, &r->data.rule);
    if (line.len)
        wn_message("%s", line.p);
    wn_str_free(&line);
    return wn_order_open(&r->order, &r->data, r->pool, o->order, o->common.seed, r->shuffle,
                         o->batch ? o->batch : WN_TRAIN_ROWS, o->batch_tokens);
}

wn_err wn_train_open(wn_train_run *r)
{
    WN_TRY(parse_words(r));
    WN_TRY(open_model(r));
    return open_rows(r);
}

/* ---- the plan ----------------------------------------------------------------------------- */

/* Sizes of the largest batch computed at once. */
struct sizes {
    size_t tokens, segments, labels;
};

static size_t larger(size_t a, size_t b)
{
    return a > b ? a : b;
}

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* What one data needs for batches of `tokens`, or of its longest row, of at most `rows` rows. */
static struct sizes sizes_of(const wn_data *f, size_t tokens, size_t rows)
{
    size_t longest = larger(f->most.tokens, f->most.source);
    if (!f->rows)
        return (struct sizes){0};
    tokens = smaller(larger(tokens, longest), longest * rows);
    struct sizes s = {
        .tokens = tokens,
        .segments = smaller(f->most.segments * rows, larger(tokens, (size_t)f->most.segments)),
        .labels = f->most.labels * rows};
    /* a choice of one token is a segment without tokens, its label stands at the prompt's end */
    size_t most = f->choices ? tokens + s.segments : tokens;
    s.labels = smaller(s.labels, most);
    return s;
}

static size_t bytes_of(const wn_train_run *r, const struct sizes *s, wn_work_kind kind)
{
    return wn_work_bytes(r->model, s->tokens, s->segments, s->labels, kind) +
           2 * wn_data_batch_bytes(s->tokens, s->segments);
}

static struct sizes both_sizes(const wn_train_run *r, size_t tokens)
{
    size_t rows = (size_t)wn_order_most(&r->order);
    struct sizes s = sizes_of(&r->data, tokens, rows),
                 e = sizes_of(&r->eval_data, s.tokens, larger(rows, 8));
    return (struct sizes){larger(s.tokens, e.tokens), larger(s.segments, e.segments),
                          larger(s.labels, e.labels)};
}

static wn_work_kind kind_of(const wn_train_run *r)
{
    if (r->recompute)
        return WN_WORK_RECOMPUTE;
    bool bf16 = wn_model_facts_of(r->model)->precision == WN_PRECISION_BF16;
    return bf16 ? WN_WORK_NARROW : WN_WORK_TRAIN;
}

/* Chooses whether layers are kept, and how many tokens are computed at once, within the limit. */
static wn_err plan_work(wn_train_run *r, struct sizes *s, const wn_optim_opts *optim)
{
    static const char *const words[] = {"no", "yes", "auto", NULL};
    const wn_train_opts *o = r->o;
    int mode;
    WN_TRY(parse_word(&mode, "checkpointing", o->checkpointing, words));
    size_t tokens = o->max_batch_tokens ? o->max_batch_tokens : WN_TRAIN_TOKENS;
    uint64_t limit = o->common.max_memory ? o->common.max_memory : UINT64_MAX;
    size_t fixed = wn_mem_live() + wn_optim_bytes(optim, r->params) +
                   wn_params_trainable(r->params) * sizeof(float);
    r->recompute = mode == 1;
    *s = both_sizes(r, tokens);
    size_t need = fixed + bytes_of(r, s, kind_of(r));
    if (need > limit && mode == 2) {
        r->recompute = true;
        need = fixed + bytes_of(r, s, WN_WORK_RECOMPUTE);
    }
    while (need > limit && !o->max_batch_tokens && tokens > 1) {
        tokens /= 2;
        *s = both_sizes(r, tokens);
        need = fixed + bytes_of(r, s, kind_of(r));
    }
    if (need > limit)
        return wn_fail(WN_ENOMEM,
                       "train: needs %.1f MB (%.1f of them for batches of %zu tokens), max-memory "
                       "allows %.1f MB%s",
                       MB(need), MB(need - fixed), s->tokens, MB(limit),
                       r->recompute ? "" : "; --checkpointing auto needs less");
    if (o->common.max_memory)
        wn_message("train: %.1f MB planned, layers %s, at most %zu tokens at once", MB(need),
                   r->recompute ? "computed again" : "kept", s->tokens);
    wn_mem_planned();
    return WN_OK;
}

static wn_err optim_opts(wn_optim_opts *w, const wn_train_run *r)
{
    static const char *const states[] = {"f32", "8bit", NULL};
    const wn_train_opts *o = r->o;
    bool scaled;
    int state;
    WN_TRY(parse_word(&state, "state", o->state, states));
    WN_TRY(parse_yes(&scaled, "scale-parameter", o->scale_parameter, true));
    *w = (wn_optim_opts){.kind = o->optimizer,
                         .beta1 = o->beta1,
                         .beta2 = o->beta2,
                         .eps = o->eps,
                         .weight_decay = o->weight_decay,
                         .momentum = o->momentum,
                         .nesterov = o->nesterov,
                         .eight_bit = state,
                         .relative_step = o->relative_step,
                         .warmup_init = o->warmup_init,
                         .plain_scale = !scaled,
                         .clip_threshold = o->clip_threshold,
                         .decay_rate = o->decay_rate,
                         .seed = o->common.seed};
    return refuse(o->relative_step && o->lr != 0, "lr", "relative-step chooses the step itself");
}

/* Of r->steps updates. */
static wn_err plan_rates(wn_train_run *r)
{
    static const double usual[] = {1e-4, 5e-5, 3e-3};
    const wn_train_opts *o = r->o;
    r->lr = o->lr != 0 ? o->lr : o->relative_step ? 1 : usual[r->method];
    if (!(r->lr > 0) || !(o->clip_norm >= 0) || !(o->clip_value >= 0))
        return wn_fail(WN_EUSE, "lr, clip-norm, clip-value: expected numbers above or equal 0");
    wn_schedule_opts s = {.kind = o->schedule        ? o->schedule
                                  : o->relative_step ? "constant"
                                                     : NULL,
                          .warmup = o->warmup,
                          .cut = o->slanted_cut,
                          .ratio = o->slanted_ratio};
    return wn_schedule_parse(&r->schedule, &s, r->steps);
}

static wn_err plan_updates(wn_train_run *r)
{
    const wn_train_opts *o = r->o;
    if (!(o->epochs >= 0) || o->epochs > 1e6)
        return wn_fail(WN_EUSE, "epochs %g: expected 0 or more", o->epochs);
    r->steps = o->steps ? o->steps : wn_order_updates(&r->order, o->epochs > 0 ? o->epochs : 1);
    return plan_rates(r);
}

static wn_err check_patterns(const char *option, const char *text)
{
    wn_pattern_list l;
    if (!text)
        return WN_OK;
    WN_TRY(wn_patterns_open(&l, option, text, true));
    wn_patterns_close(&l);
    return WN_OK;
}

wn_err wn_train_check(const wn_train_opts *o)
{
    wn_train_run r = {.o = o, .steps = 1000};
    wn_optim_opts w;
    double dropout;
    WN_TRY(parse_words(&r));
    WN_TRY(parse_dropout(&r, &dropout));
    WN_TRY(plan_rates(&r));
    WN_TRY(optim_opts(&w, &r));
    WN_TRY(wn_optim_check(&w));
    WN_TRY(check_patterns("targets", o->targets));
    WN_TRY(check_patterns("freeze", o->freeze));
    return check_patterns("train", o->train);
}

wn_err wn_train_plan(wn_train_run *r)
{
    wn_optim_opts w;
    struct sizes s;
    WN_TRY(plan_updates(r));
    WN_TRY(optim_opts(&w, r));
    WN_TRY(plan_work(r, &s, &w));
    WN_TRY(wn_optim_init(&r->optim, &w, r->params));
    WN_TRY(wn_params_make_grads(r->params));
    WN_TRY(wn_work_new(&r->work, r->model, s.tokens, s.segments, s.labels, kind_of(r)));
    WN_TRY(wn_data_batch_new(&r->batch, &r->data, s.tokens, s.segments));
    if (r->o->eval)
        WN_TRY(wn_data_batch_new(&r->eval_batch, &r->eval_data, s.tokens, s.segments));
    WN_TRY(wn_train_relay_new(&r->relay, r->model));
    WN_NEW(r->nll, s.segments);
    WN_NEW(r->count, s.segments);
    return WN_OK;
}

/* What is done with the model: training, gradients, evaluation. */
#include "report/price_parts.h"

#include <math.h>
#include <string.h>

/* ---- training and evaluation ---- */

static double batch_rows(const wn_train_opts *o, double tokens)
{
    return o->batch_tokens ? (double)o->batch_tokens / tokens : o->batch ? (double)o->batch : 8;
}

static double epochs_of(const wn_train_opts *o)
{
    return o->epochs > 0 ? o->epochs : 1;
}

static double updates(const wn_train_opts *o, double rows, double tokens)
{
    double batch = fmax(1, batch_rows(o, tokens));
    return o->steps ? (double)o->steps : epochs_of(o) * ceil(rows / batch);
}

/* Rows read in all updates, those read again counted again. */
static double rows_read(const wn_train_opts *o, double rows, double tokens)
{
    return o->steps ? (double)o->steps * batch_rows(o, tokens) : rows * epochs_of(o);
}

static wn_err train_pace(wn_pace *w, wn_pricing *p, const wn_train_opts *o, double prompt,
                         double target)
{
    wn_pace_job j = {.kind = WN_PACE_TRAIN,
                     .config = p->s.model,
                     .place = "sizes: model",
                     .precision = p->o->common.precision,
                     .train = o,
                     .prompt = (size_t)fmax(1, round(prompt)),
                     .target = (size_t)fmax(1, round(target))};
    WN_TRY(wn_price_tell(p, "train"));
    return wn_pace_measure(w, &j);
}

static void saved_bytes(double *disk, const wn_pace *w, const wn_train_opts *o)
{
    bool full = o->method && strcmp(o->method, "full") == 0;
    *disk = full ? 2 * w->parameters : 4 * w->trained;
}

static wn_err price_train(wn_pricing *p, size_t arm, const wn_pace *w, const wn_train_opts *o,
                          double prompt, double target)
{
    const wn_recipe_arm *a = &p->r.arm[arm];
    double seeds = (double)wn_recipe_seeds(&p->r, a), tokens = prompt + target, disk;
    wn_price_line l = {
        .stage = "train", .runs = seeds * (double)p->r.n_targets, .memory = w->bytes};
    for (size_t t = 0; t < p->r.n_targets; t++) {
        double rows = wn_price_selected(p, arm, t), n = updates(o, rows, tokens);
        double read = rows_read(o, rows, tokens);
        l.rows += seeds * read;
        l.sec += seeds * (read * w->row_sec + n * w->update_sec);
    }
    saved_bytes(&disk, w, o);
    l.disk = disk * l.runs;
    l.tokens = l.rows * tokens;
    l.flops = l.rows * w->row_flops;
    snprintf(l.name, sizeof l.name, "train %s", a->name);
    snprintf(l.rate, sizeof l.rate,
             "%.0f tokens/s, %.0f GFLOP/s at %.0f tokens a row; %.3g s an update",
             tokens / w->row_sec, w->gflops, tokens, w->update_sec);
    return wn_price_add(p, &l, WN_PRICE_BY_RUNS);
}

/* The model trained on the whole pool, and a gradient of each row: a forward and a backward pass
 * each, as a row of training has. */
static wn_err price_gradients(wn_pricing *p, const wn_pace *w)
{
    const wn_train_opts *o = &p->r.train;
    double rows = (double)p->s.pool.rows, tokens = p->s.pool.prompt + p->s.pool.target, queries = 0;
    double width = p->r.gradients.o.project ? (double)p->r.gradients.o.project : 400;
    double n = updates(o, rows, tokens);
    double read = rows_read(o, rows, tokens);
    for (size_t t = 0; t < p->r.n_targets; t++)
        queries += (double)p->s.target[t].queries.rows;
    wn_price_line l = {.stage = "train",
                       .name = "train on the whole pool",
                       .runs = 1,
                       .rows = read,
                       .tokens = read * tokens,
                       .flops = read * w->row_flops,
                       .sec = read * w->row_sec + n * w->update_sec,
                       .memory = w->bytes};
    saved_bytes(&l.disk, w, o);
    snprintf(l.rate, sizeof l.rate, "%.0f tokens/s", tokens / w->row_sec);
    WN_TRY(wn_price_add(p, &l, WN_PRICE_ONE_MACHINE));
    l = (wn_price_line){.stage = "grad",
                        .name = "gradients",
                        .runs = 1 + (double)p->r.n_targets,
                        .rows = rows + queries,
                        .tokens = (rows + queries) * tokens,
                        .flops = (rows + queries) * w->row_flops,
                        .sec = (rows + queries) * w->row_sec,
                        .disk = (rows + queries) * (4 * width + 48),
                        .memory = w->bytes};
    snprintf(l.rate, sizeof l.rate, "%.0f tokens/s, as training", tokens / w->row_sec);
    WN_TRY(wn_price_add(p, &l, WN_PRICE_BY_ROWS));
    return wn_price_joining(p, "join pieces of gradients", rows, 4 * width + 48);
}

/* Test rows of all targets that are ranked (or answered), as one of their mean shape. */
static wn_text_size mean_test(const wn_pricing *p, bool rank)
{
    wn_text_size m = {0};
    double n = 0;
    for (size_t t = 0; t < p->r.n_targets; t++) {
        const wn_text_size *s = &p->s.target[t].test;
        double rows = (double)s->rows;
        if ((s->choices >= 1) != rank)
            continue;
        n += rows;
        m.prompt += rows * s->prompt;
        m.target += rows * s->target;
        m.choices += rows * s->choices;
        m.rows += s->rows;
    }
    m.prompt /= fmax(n, 1);
    m.target /= fmax(n, 1);
    m.choices /= fmax(n, 1);
    return m;
}

/* All test rows of a kind for one model, into l. */
static wn_err price_tests(wn_pricing *p, wn_price_line *l, bool rank)
{
    wn_text_size s = mean_test(p, rank);
    double rows = (double)s.rows, tokens = s.prompt + s.target * s.choices;
    size_t max_new = p->r.eval.max_new ? p->r.eval.max_new : 128;
    wn_pace w, step;
    wn_pace_job j = {.kind = WN_PACE_RANK,
                     .config = p->s.model,
                     .place = "sizes: model",
                     .precision = p->o->common.precision,
                     .prompt = (size_t)fmax(1, round(s.prompt)),
                     .target = rank ? (size_t)fmax(1, round(s.target)) : 1,
                     .texts = rank ? (size_t)fmax(1, round(s.choices)) : 1};
    if (!s.rows)
        return WN_OK;
    WN_TRY(wn_price_tell(p, "eval"));
    WN_TRY(wn_pace_measure(&w, &j));
    l->sec += rows * w.row_sec;
    l->flops += rows * w.row_flops;
    if (!rank) {
        j.kind = WN_PACE_ANSWER;
        WN_TRY(wn_pace_measure(&step, &j));
        l->sec += rows * (double)max_new * step.row_sec;
        l->flops += rows * (double)max_new * step.row_flops;
        tokens = s.prompt + (double)max_new;
    }
    l->memory = fmax(l->memory, w.bytes);
    l->rows += rows;
    l->tokens += rows * tokens;
    return WN_OK;
}

wn_err wn_price_evals(wn_pricing *p)
{
    wn_price_line one = {.stage = "eval"};
    WN_TRY(price_tests(p, &one, true));
    WN_TRY(price_tests(p, &one, false));
    WN_TRY(wn_price_rate(p, "eval", one.tokens / one.sec, "tokens/s",
                         "the model's shape, numbers made up"));
    for (size_t a = 0; a < p->r.n_arms; a++) {
        wn_price_line l = one;
        double seeds = (double)wn_recipe_seeds(&p->r, &p->r.arm[a]);
        l.runs = seeds * (double)p->r.n_targets;
        l.rows *= seeds;
        l.tokens *= seeds;
        l.flops *= seeds;
        l.sec *= seeds;
        l.disk = l.rows * 200;
        snprintf(l.name, sizeof l.name, "eval %s", p->r.arm[a].name);
        snprintf(l.rate, sizeof l.rate, "%.0f tokens/s", one.tokens / one.sec);
        WN_TRY(wn_price_add(p, &l, WN_PRICE_BY_RUNS));
    }
    return WN_OK;
}

wn_err wn_price_trainings(wn_pricing *p)
{
    wn_pace plain = {0}, few = {0};
    double prompt = 0, target = 0, n = (double)p->r.n_targets;
    bool any = false;
    for (size_t a = 0; a < p->r.n_arms; a++)
        any = any || (!p->r.arm[a].few && !wn_arm_is_zero_shot(&p->r.arm[a]));
    for (size_t t = 0; t < p->r.n_targets; t++) {
        prompt += p->s.target[t].test.prompt / n;
        target += p->s.target[t].test.target / n;
    }
    if (any)
        WN_TRY(train_pace(&plain, p, &p->r.train, p->s.pool.prompt, p->s.pool.target));
    if (p->r.few.there)
        WN_TRY(train_pace(&few, p, &p->r.few.train, prompt, target));
    if (any)
        WN_TRY(wn_price_rate(p, "train", (p->s.pool.prompt + p->s.pool.target) / plain.row_sec,
                             "tokens/s", "the model's shape, numbers made up"));
    if (p->r.gradients.there)
        WN_TRY(price_gradients(p, &plain));
    for (size_t a = 0; a < p->r.n_arms; a++) {
        const wn_recipe_arm *arm = &p->r.arm[a];
        if (arm->few)
            WN_TRY(price_train(p, a, &few, &p->r.few.train, prompt, target));
        else if (!wn_arm_is_zero_shot(arm))
            WN_TRY(price_train(p, a, &plain, &p->r.train, p->s.pool.prompt, p->s.pool.target));
    }
    return WN_OK;
}

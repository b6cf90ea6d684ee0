/* Each part's work is counted (rows, tokens, bytes), a short measurement says what a unit of it
 * costs here (pace.h, pace_data.h), and for other machines times are scaled: as many times as fast
 * as they have cores, which is what cores can bring at most. Over several machines rows are shared
 * out for embedding and search, and whole runs for choosing, training and evaluating; the network
 * is not reckoned with. */
#include "report/price.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/par.h"
#include "base/report.h"
#include "io/file.h"
#include "io/manifest.h"
#include "kernel/kernel.h"
#include "report/pace.h"
#include "report/pace_data.h"
#include "report/sizes.h"

typedef struct price {
    const wn_plan_opts *o;
    wn_recipe r;
    wn_sizes s;
    double cores, nodes;
    double speed; /* of one machine, in units of this one */
    double core_gflops, disk_rate;
    size_t reference; /* the arm whose size those that fill match; SIZE_MAX: none */
    wn_pace_pool pool;
    wn_pace embed;
    bool vectors;
    json_t *parts, *rates;
    double sum[4]; /* hours, tokens, FLOPs, bytes of disk */
    double memory;
} price;

/* One line of the table; times are of this machine until it is added. */
typedef struct line {
    const char *stage;
    char name[128];
    double runs, rows, tokens, flops, sec; /* of all runs */
    double io_bytes;                       /* read at the disk's rate at best */
    double disk, memory;
    char rate[160]; /* what the time derives from */
} line;

typedef enum spread { ONE_MACHINE, BY_ROWS, BY_RUNS } spread;

static wn_err add(price *p, line *l, spread how)
{
    double nodes = how == ONE_MACHINE ? 1 : p->nodes;
    double share = how == BY_RUNS ? ceil(l->runs / nodes) / l->runs : 1 / nodes;
    double sec = l->sec * share / p->speed, io = l->io_bytes * share / p->disk_rate;
    sec = io > sec ? io : sec;
    json_t *o = json_pack(
        "{s:s, s:s, s:I, s:I, s:I, s:f, s:f, s:f, s:I, s:I, s:s}", "part", l->name, "stage",
        l->stage, "runs", (json_int_t)l->runs, "rows", (json_int_t)llround(l->rows), "tokens",
        (json_int_t)llround(l->tokens), "flops", l->flops, "seconds", sec, "hours", sec / 3600,
        "disk_bytes", (json_int_t)l->disk, "memory_bytes", (json_int_t)l->memory, "rate", l->rate);
    if (!o || json_array_append_new(p->parts, o) != 0)
        return wn_fail_nomem(256, "plan");
    const double more[] = {sec / 3600, l->tokens, l->flops, l->disk};
    for (int i = 0; i < 4; i++)
        p->sum[i] += more[i];
    p->memory = l->memory > p->memory ? l->memory : p->memory;
    return WN_OK;
}

static wn_err rate(price *p, const char *name, double value, const char *unit, const char *how)
{
    json_t *o =
        json_pack("{s:s, s:f, s:s, s:s}", "name", name, "value", value, "unit", unit, "from", how);
    return o && json_array_append_new(p->rates, o) == 0 ? WN_OK : wn_fail_nomem(128, "plan");
}

static wn_err tell(const char *what)
{
    wn_hush(false);
    wn_err e = wn_progress("plan", "measurements", 0, 0, what);
    wn_hush(true);
    return e;
}

/* ---- the machine ---- */

static wn_precision precision_of(const price *p)
{
    wn_precision k = p->o->common.precision;
    return k != WN_PRECISION_AUTO ? k : wn_cpu_fast_bf16() ? WN_PRECISION_BF16 : WN_PRECISION_F32;
}

static wn_err measure_machine(price *p)
{
    static const wn_mat_kind kinds[] = {WN_MAT_F32, WN_MAT_F32, WN_MAT_BF16, WN_MAT_INT8};
    WN_TRY(tell("multiply-adds"));
    double peak = wn_pace_peak(kinds[precision_of(p)]);
    if (peak <= 0)
        peak = wn_pace_peak(WN_MAT_F32);
    p->core_gflops = peak / wn_par_threads();
    p->cores = p->o->cores ? (double)p->o->cores : wn_par_threads();
    p->nodes = p->o->nodes ? (double)p->o->nodes : 1;
    p->speed = p->cores / wn_par_threads();
    if (p->o->core_rate > 0)
        p->speed *= p->o->core_rate / p->core_gflops;
    WN_TRY(tell("disk"));
    WN_TRY(wn_pace_disk(&p->disk_rate));
    WN_TRY(rate(p, "disk", p->disk_rate, "bytes/s", "256 MB read through a map, cold"));
    if (p->o->disk_rate)
        p->disk_rate = (double)p->o->disk_rate;
    return rate(p, "core", p->core_gflops, "GFLOP/s", "bare multiply-adds, one core's share");
}

/* ---- pool, embed, search ---- */

static wn_err price_pool(price *p)
{
    double rows = (double)p->s.pool.rows, bytes = rows * p->s.pool.bytes;
    WN_TRY(tell("pool build"));
    WN_TRY(wn_pace_pool_open(&p->pool, p->s.pool.bytes, p->r.dedup));
    double sec = p->pool.build_sec / (double)p->pool.bytes;
    WN_TRY(rate(p, "pool build", 1 / sec, "bytes/s", "made-up rows of the same length"));
    line l = {.stage = "pool",
              .name = "pool",
              .runs = 1,
              .rows = rows,
              .sec = sec * bytes,
              .io_bytes = bytes,
              .disk = bytes + 32 * rows,
              .memory = (64 << 20) + 80 * rows};
    snprintf(l.rate, sizeof l.rate, "%.0f MB/s of rows", 1e-6 / sec);
    return add(p, &l, ONE_MACHINE);
}

/* Of one row of a store: vector, record, id. */
static double stored_bytes(const price *p)
{
    return p->embed.width * 4 + 32 + 16;
}

static wn_err price_embed(price *p)
{
    double queries = 0, tokens = 0, rows = (double)p->s.pool.rows;
    wn_pace_job j = {.kind = WN_PACE_EMBED,
                     .config = p->s.encoder,
                     .place = "sizes: encoder",
                     .precision = p->o->common.precision,
                     .prompt = (size_t)fmax(1, round(p->s.pool_embed)),
                     .target = 1};
    WN_TRY(tell("embed"));
    WN_TRY(wn_pace_measure(&p->embed, &j));
    double token = (double)j.prompt;
    WN_TRY(rate(p, "embed", token / p->embed.row_sec, "tokens/s",
                "the encoder's shape, numbers made up"));
    line l = {.stage = "embed",
              .name = "embed pool",
              .runs = 1,
              .rows = rows,
              .tokens = rows * p->s.pool_embed,
              .flops = rows * p->embed.row_flops,
              .sec = rows * p->embed.row_sec,
              .disk = rows * stored_bytes(p),
              .memory = p->embed.bytes + (64 << 20)};
    snprintf(l.rate, sizeof l.rate, "%.0f tokens/s, %.0f GFLOP/s at %zu tokens a row",
             token / p->embed.row_sec, p->embed.gflops, j.prompt);
    WN_TRY(add(p, &l, BY_ROWS));
    for (size_t t = 0; t < p->r.n_targets; t++) {
        queries += (double)p->s.target[t].queries.rows;
        tokens += (double)p->s.target[t].queries.rows * p->s.target[t].queries.prompt;
    }
    snprintf(l.name, sizeof l.name, "embed queries");
    l.runs = (double)p->r.n_targets;
    l.rows = queries;
    l.tokens = tokens;
    l.flops = tokens / token * p->embed.row_flops;
    l.sec = tokens / token * p->embed.row_sec;
    l.disk = queries * stored_bytes(p);
    return add(p, &l, BY_ROWS);
}

static uint64_t k_of(const wn_recipe_arm *a)
{
    return a->k ? a->k : 500;
}

static double mean_queries(const price *p)
{
    double sum = 0;
    for (size_t t = 0; t < p->r.n_targets; t++)
        sum += (double)p->s.target[t].queries.rows;
    return sum / (double)p->r.n_targets;
}

static wn_err price_search(price *p, const wn_recipe_arm *a)
{
    wn_metric metric;
    wn_pace_scan s;
    double Q = fmax(1, round(mean_queries(p))), rows = (double)p->s.pool.rows;
    size_t D = (size_t)p->embed.width;
    WN_TRY(wn_metric_parse(&metric, a->distance));
    WN_TRY(tell("search"));
    WN_TRY(wn_pace_search(&s, D, (size_t)Q, (size_t)k_of(a), metric));
    WN_TRY(rate(p, "search", 1 / s.row_sec, "rows/s", "made-up vectors in memory"));
    double bytes = rows * p->embed.width * 4;
    bool cached = bytes < (double)wn_machine_memory() / 2;
    line l = {.stage = "search",
              .runs = (double)p->r.n_targets,
              .rows = rows,
              .flops = 2 * rows * Q * p->embed.width * (double)p->r.n_targets,
              .sec = (double)p->r.n_targets * (s.fixed_sec + rows * s.row_sec),
              .io_bytes = cached ? 0 : (double)p->r.n_targets * bytes,
              .memory = (192 << 20) + Q * (double)k_of(a) * 64 + rows / 8};
    snprintf(l.name, sizeof l.name, "search %s", a->name);
    snprintf(l.rate, sizeof l.rate, "%.3g rows/s of %zu numbers for %.0f queries%s", 1 / s.row_sec,
             D, Q, cached ? "" : ", at most the disk's rate");
    return add(p, &l, BY_ROWS);
}

/* ---- arms ---- */

/* Rows that an arm is trained on for one target. */
static double selected(const price *p, size_t arm, size_t target)
{
    const wn_recipe_arm *a = &p->r.arm[arm];
    double all = (double)p->s.pool.rows;
    double tokens = fmax(1, p->s.pool.prompt + p->s.pool.target);
    if (a->few)
        return p->s.shots;
    if (strcmp(a->strategy, "all") == 0)
        return all;
    if (a->fills && p->reference != SIZE_MAX && !a->own_budget)
        return selected(p, p->reference, target);
    double most = all;
    if (!a->fills) {
        double hits = (double)p->s.target[target].queries.rows * (double)k_of(a);
        most = p->s.selected ? fmin(hits, (double)p->s.selected) : hits;
    }
    if (a->budget)
        most = fmin(most, (double)a->budget);
    if (a->budget_tokens)
        most = fmin(most, (double)a->budget_tokens / tokens);
    return fmin(most, all);
}

static double all_selected(const price *p, size_t arm)
{
    double sum = 0;
    for (size_t t = 0; t < p->r.n_targets; t++)
        sum += selected(p, arm, t);
    return sum;
}

static wn_err price_select(price *p, size_t arm)
{
    const wn_recipe_arm *a = &p->r.arm[arm];
    double row, rows = (double)p->s.pool.rows, targets = (double)p->r.n_targets;
    double seeds = a->by_seed ? (double)p->r.n_seeds : 1;
    uint64_t target_rows = p->s.target[0].queries.rows + p->s.target[0].test.rows;
    WN_TRY(tell("select"));
    WN_TRY(wn_pace_select(&row, &p->pool, a->uses_store || a->uses_grads ? "random" : a->strategy,
                          a->dedup, p->r.veto, target_rows));
    double chosen = all_selected(p, arm) * seeds;
    line l = {.stage = "select",
              .runs = targets * seeds,
              .rows = chosen,
              .sec = targets * seeds * rows * row,
              .io_bytes = targets * seeds * rows * p->s.pool.bytes,
              .disk = chosen * p->s.pool.bytes,
              .memory = (128 << 20) + rows * 30};
    if (rows * p->s.pool.bytes < (double)wn_machine_memory() / 2 || !p->r.veto)
        l.io_bytes = 0;
    snprintf(l.name, sizeof l.name, "select %s", a->name);
    snprintf(l.rate, sizeof l.rate, "%.3g rows/s of the pool%s", 1 / row,
             p->r.veto ? ", contamination looked for" : "");
    return add(p, &l, BY_RUNS);
}

/* ---- training and evaluation ---- */

static double updates(const wn_train_opts *o, double rows, double tokens)
{
    double batch = o->batch_tokens ? (double)o->batch_tokens / tokens
                   : o->batch      ? (double)o->batch
                                   : 8;
    double epochs = o->epochs > 0 ? o->epochs : 1;
    return o->steps ? (double)o->steps : epochs * ceil(rows / fmax(1, batch));
}

static wn_err train_pace(wn_pace *w, const price *p, const wn_train_opts *o, double prompt,
                         double target)
{
    wn_pace_job j = {.kind = WN_PACE_TRAIN,
                     .config = p->s.model,
                     .place = "sizes: model",
                     .precision = p->o->common.precision,
                     .train = o,
                     .prompt = (size_t)fmax(1, round(prompt)),
                     .target = (size_t)fmax(1, round(target))};
    WN_TRY(tell("train"));
    return wn_pace_measure(w, &j);
}

static void saved_bytes(double *disk, const wn_pace *w, const wn_train_opts *o)
{
    bool full = o->method && strcmp(o->method, "full") == 0;
    *disk = full ? 2 * w->parameters : 4 * w->trained;
}

static wn_err price_train(price *p, size_t arm, const wn_pace *w, const wn_train_opts *o,
                          double prompt, double target)
{
    const wn_recipe_arm *a = &p->r.arm[arm];
    double seeds = (double)wn_recipe_seeds(&p->r, a), tokens = prompt + target, disk;
    line l = {.stage = "train", .runs = seeds * (double)p->r.n_targets, .memory = w->bytes};
    double batch = o->batch_tokens ? (double)o->batch_tokens / tokens
                   : o->batch      ? (double)o->batch
                                   : 8;
    for (size_t t = 0; t < p->r.n_targets; t++) {
        double rows = selected(p, arm, t), n = updates(o, rows, tokens);
        double read = o->steps ? n * batch : rows * (o->epochs > 0 ? o->epochs : 1);
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
    return add(p, &l, BY_RUNS);
}

/* The model trained on the whole pool, and a gradient of each row: a forward and a backward pass
 * each, as a row of training has. */
static wn_err price_gradients(price *p, const wn_pace *w)
{
    const wn_train_opts *o = &p->r.train;
    double rows = (double)p->s.pool.rows, tokens = p->s.pool.prompt + p->s.pool.target, queries = 0;
    double width = p->r.gradients.o.project ? (double)p->r.gradients.o.project : 400;
    double n = updates(o, rows, tokens);
    double read =
        o->steps ? n * (o->batch ? (double)o->batch : 8) : rows * (o->epochs > 0 ? o->epochs : 1);
    for (size_t t = 0; t < p->r.n_targets; t++)
        queries += (double)p->s.target[t].queries.rows;
    line l = {.stage = "train",
              .name = "train on the whole pool",
              .runs = 1,
              .rows = read,
              .tokens = read * tokens,
              .flops = read * w->row_flops,
              .sec = read * w->row_sec + n * w->update_sec,
              .memory = w->bytes};
    saved_bytes(&l.disk, w, o);
    snprintf(l.rate, sizeof l.rate, "%.0f tokens/s", tokens / w->row_sec);
    WN_TRY(add(p, &l, ONE_MACHINE));
    l = (line){.stage = "grad",
               .name = "gradients",
               .runs = 1 + (double)p->r.n_targets,
               .rows = rows + queries,
               .tokens = (rows + queries) * tokens,
               .flops = (rows + queries) * w->row_flops,
               .sec = (rows + queries) * w->row_sec,
               .disk = (rows + queries) * (4 * width + 48),
               .memory = w->bytes};
    snprintf(l.rate, sizeof l.rate, "%.0f tokens/s, as training", tokens / w->row_sec);
    return add(p, &l, BY_ROWS);
}

/* Test rows of all targets that are ranked (or answered), as one of their mean shape. */
static wn_text_size mean_test(const price *p, bool rank)
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
static wn_err price_tests(price *p, line *l, bool rank)
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
    WN_TRY(tell("eval"));
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

static wn_err price_evals(price *p)
{
    line one = {.stage = "eval"};
    WN_TRY(price_tests(p, &one, true));
    WN_TRY(price_tests(p, &one, false));
    WN_TRY(rate(p, "eval", one.tokens / one.sec, "tokens/s", "the model's shape, numbers made up"));
    for (size_t a = 0; a < p->r.n_arms; a++) {
        line l = one;
        double seeds = (double)wn_recipe_seeds(&p->r, &p->r.arm[a]);
        l.runs = seeds * (double)p->r.n_targets;
        l.rows *= seeds;
        l.tokens *= seeds;
        l.flops *= seeds;
        l.sec *= seeds;
        l.disk = l.rows * 200;
        snprintf(l.name, sizeof l.name, "eval %s", p->r.arm[a].name);
        snprintf(l.rate, sizeof l.rate, "%.0f tokens/s", one.tokens / one.sec);
        WN_TRY(add(p, &l, BY_RUNS));
    }
    return WN_OK;
}

static wn_err price_trainings(price *p)
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
        WN_TRY(rate(p, "train", (p->s.pool.prompt + p->s.pool.target) / plain.row_sec, "tokens/s",
                    "the model's shape, numbers made up"));
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

/* ---- all ---- */

static wn_err price_all(price *p)
{
    p->reference = SIZE_MAX;
    for (size_t a = p->r.n_arms; a-- > 0;) {
        p->vectors = p->vectors || p->r.arm[a].uses_store;
        if (p->r.arm[a].uses_store ||
            ((p->r.arm[a].uses_grads || p->r.arm[a].uses_text) && !p->r.arm[a].fills))
            p->reference = a;
    }
    WN_TRY(measure_machine(p));
    WN_TRY(price_pool(p));
    if (p->vectors)
        WN_TRY(price_embed(p));
    for (size_t a = 0; a < p->r.n_arms; a++)
        if (p->r.arm[a].uses_store)
            WN_TRY(price_search(p, &p->r.arm[a]));
    for (size_t a = 0; a < p->r.n_arms; a++)
        if (!p->r.arm[a].few && !wn_arm_is_zero_shot(&p->r.arm[a]))
            WN_TRY(price_select(p, a));
    WN_TRY(price_trainings(p));
    return price_evals(p);
}

static json_t *machine_of(const price *p)
{
    bool scaled = p->o->cores || p->o->nodes || p->o->core_rate > 0 || p->o->disk_rate;
    return json_pack(
        "{s:i, s:s, s:s, s:f, s:I, s:f, s:f, s:b, s:s}", "threads_measured", wn_par_threads(),
        "kernel", wn_kernel_name(), "precision", wn_precision_name(precision_of(p)), "core_gflops",
        p->core_gflops, "memory_bytes", (json_int_t)wn_machine_memory(), "cores", p->cores, "nodes",
        p->nodes, "scaled", scaled, "rule",
        scaled ? "times measured here, divided by how many times the cores; rows (embed, "
                 "search) and runs (select, train, eval) shared out over machines; no "
                 "network"
               : "times measured here");
}

static json_t *sizes_of(const price *p)
{
    const wn_sizes *s = &p->s;
    double queries = 0, test = 0;
    for (size_t t = 0; t < p->r.n_targets; t++) {
        queries += (double)s->target[t].queries.rows;
        test += (double)s->target[t].test.rows;
    }
    json_t *o = json_pack("{s:I, s:f, s:f, s:f, s:s, s:I, s:I, s:I, s:s}", "pool_rows",
                          (json_int_t)s->pool.rows, "pool_row_bytes", s->pool.bytes,
                          "pool_prompt_tokens", s->pool.prompt, "pool_target_tokens",
                          s->pool.target, "pool_from", s->pool.there ? "files" : "recipe",
                          "targets", (json_int_t)p->r.n_targets, "queries", (json_int_t)queries,
                          "test_rows", (json_int_t)test, "model_from", s->model_from);
    if (o && s->encoder)
        json_object_set_new(o, "encoder_from", json_string(s->encoder_from));
    return o;
}

static json_t *warnings_of(const price *p)
{
    json_t *list = json_array();
    const char *at = p->s.notes.len ? p->s.notes.p : "";
    for (const char *end; (end = strchr(at, '\n')); at = end + 1)
        json_array_append_new(list, json_stringn(at, (size_t)(end - at)));
    double memory = (double)wn_machine_memory();
    if (!p->o->cores && !p->o->nodes && memory > 0 && p->memory > memory)
        json_array_append_new(list,
                              json_sprintf("memory: %.1f GB are needed, this machine has %.1f GB",
                                           p->memory * 1e-9, memory * 1e-9));
    if (p->vectors && !p->s.selected)
        for (size_t a = 0; a < p->r.n_arms; a++)
            if (p->r.arm[a].uses_store && !p->r.arm[a].budget && !p->r.arm[a].budget_tokens)
                json_array_append_new(
                    list, json_sprintf("%s: the union is taken for queries * k rows, its most; "
                                       "sizes: selected says what to reckon with",
                                       p->r.arm[a].name));
    return list;
}

wn_err wn_price(json_t **doc, const wn_plan_opts *o)
{
    price p = {.o = o, .parts = json_array(), .rates = json_array()};
    *doc = NULL;
    wn_err e =
        p.parts && p.rates ? wn_recipe_open_absent(&p.r, o->recipe) : wn_fail_nomem(64, "plan");
    if (!e)
        e = wn_sizes_read(&p.s, &p.r);
    wn_hush(true);
    if (!e)
        e = price_all(&p);
    wn_hush(false);
    if (!e) {
        json_t *total = json_pack("{s:f, s:I, s:f, s:I, s:I}", "hours", p.sum[0], "tokens",
                                  (json_int_t)llround(p.sum[1]), "flops", p.sum[2], "disk_bytes",
                                  (json_int_t)p.sum[3], "memory_bytes", (json_int_t)p.memory);
        *doc = json_pack("{s:s, s:s, s:s, s:o, s:o, s:O, s:O, s:o, s:o}", "format", "winnow plan",
                         "recipe", wn_path_base(o->recipe), "title", p.r.title ? p.r.title : "",
                         "machine", machine_of(&p), "sizes", sizes_of(&p), "rates", p.rates,
                         "parts", p.parts, "total", total, "warnings", warnings_of(&p));
        e = *doc ? WN_OK : wn_fail_nomem(256, "plan");
    }
    json_decref(p.parts);
    json_decref(p.rates);
    wn_pace_pool_close(&p.pool);
    wn_sizes_free(&p.s);
    wn_recipe_close(&p.r);
    return e;
}

wn_err wn_plan_job(const wn_plan_opts *o, char **text)
{
    json_t *doc;
    wn_str s = {0};
    *text = NULL;
    WN_TRY(wn_price(&doc, o));
    wn_err e = o->json ? wn_json_dump(&s, doc, 2, false) : wn_price_text(&s, doc);
    if (!e)
        e = wn_str_check(&s);
    json_decref(doc);
    if (e)
        wn_str_free(&s);
    *text = s.p;
    return e;
}

/* From per-row scores to what may be said. Each arm has one score a test row and seed; arms are
 * compared on the same rows in the same order, which is checked by id. */
#include "report/chosen.h"
#include "report/verdict.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "eval/metric.h"
#include "eval/stats.h"
#include "pool/pool.h"

enum { PICKED_SHOWN = 20 };

/* The scores of one arm: S seeds (zero-shot has one) of n rows. */
struct arm {
    const wn_recipe_arm *recipe;
    size_t S, n;
    double **score; /* [S][n] */
};

struct maker {
    wn_run *run;
    size_t target;
    wn_metric_kind metric;
    wn_pool *test;
    struct arm *arm; /* [recipe.n_arms] */
};

static json_t *number(double v)
{
    return isfinite(v) ? json_real(v) : json_null();
}

static void set(json_t *o, const char *key, json_t *value)
{
    json_object_set_new(o, key, value);
}

/* ---- reading scores ---- */

static bool same_id(const json_t *id, const wn_row *row)
{
    if (json_is_string(id))
        return row->id.len == json_string_length(id) &&
               memcmp(row->id.p, json_string_value(id), row->id.len) == 0;
    return json_is_number(id); /* its text is not kept by the tree; the place must do */
}

static wn_err read_scores(double *score, const struct maker *m, const char *path)
{
    wn_lines *lines;
    wn_span line;
    wn_row row = {0};
    uint64_t n = wn_pool_rows(m->test), i = 0;
    wn_err err = WN_OK;
    WN_TRY(wn_lines_open(&lines, path));
    while (wn_lines_next(lines, &line, &err)) {
        json_t *v = NULL;
        err = wn_json_parse(&v, line.p, line.len, path);
        const json_t *s = json_object_get(v, "score");
        if (err == WN_OK && i < n)
            err = wn_pool_row(m->test, i, &row);
        if (err == WN_OK &&
            (i >= n || !json_is_number(s) || !same_id(json_object_get(v, "id"), &row)))
            err = wn_fail(WN_EFORMAT, "%s:%llu: expected the score of row %llu of %s", path,
                          (unsigned long long)i + 1, (unsigned long long)i + 1,
                          wn_pool_path(m->test));
        if (err == WN_OK)
            score[i++] = json_number_value(s);
        json_decref(v);
        if (err)
            break;
    }
    if (err == WN_OK && i < n)
        err = wn_fail(WN_EFORMAT, "%s: expected scores of %llu rows, found %llu", path,
                      (unsigned long long)n, (unsigned long long)i);
    wn_row_free(&row);
    wn_lines_close(lines);
    return err;
}

static wn_err read_arm(struct maker *m, size_t a)
{
    struct arm *arm = &m->arm[a];
    const wn_run *r = m->run;
    arm->recipe = &r->recipe.arm[a];
    arm->n = wn_pool_rows(m->test);
    size_t S = wn_recipe_seeds(&r->recipe, arm->recipe);
    WN_NEW(arm->score, S);
    for (size_t s = 0; s < S; s++) {
        WN_NEW(arm->score[s], arm->n);
        arm->S++;
        const wn_part *p = wn_plan_find(r, WN_PART_EVAL, m->target, a, (int)s);
        WN_TRY(read_scores(arm->score[s], m, p->out));
    }
    return WN_OK;
}

static wn_err beside(json_t **v, const wn_part *p, const char *end)
{
    wn_str path = {0};
    wn_str_printf(&path, "%s%s", p->out, end);
    wn_err err = wn_str_check(&path);
    if (err == WN_OK)
        err = wn_json_load(v, path.p);
    wn_str_free(&path);
    return err;
}

/* The metric by the evaluation's own word, since a recipe may leave it to the rows. */
static wn_err find_metric(struct maker *m)
{
    json_t *v;
    const wn_part *p = wn_plan_find(m->run, WN_PART_EVAL, m->target, 0, 0);
    WN_TRY(beside(&v, p, ".manifest.json"));
    const char *name = json_string_value(json_object_get(json_object_get(v, "options"), "metric"));
    wn_err err = name ? wn_metric_kind_parse(&m->metric, name)
                      : wn_fail(WN_EFORMAT, "%s.manifest.json: options: expected a metric", p->out);
    json_decref(v);
    return err;
}

/* ---- an arm ---- */

static double seconds_of(const struct maker *m, wn_part_kind k, size_t a, int seed)
{
    const wn_part *p = wn_plan_find(m->run, k, m->target, a, seed);
    return p ? wn_cost_of(m->run->cost, p->name) : 0;
}

static json_t *arm_seconds(const struct maker *m, size_t a)
{
    const struct arm *arm = &m->arm[a];
    double select = 0, train = 0, eval = 0;
    json_t *o = json_object();
    for (size_t s = 0; s < arm->S; s++) {
        if (s == 0 || arm->recipe->by_seed)
            select += seconds_of(m, WN_PART_SELECT, a, (int)s);
        train += seconds_of(m, WN_PART_TRAIN, a, (int)s);
        eval += seconds_of(m, WN_PART_EVAL, a, (int)s);
    }
    if (arm->recipe->uses_store)
        set(o, "embed",
            number(seconds_of(m, WN_PART_EMBED_POOL, a, 0) +
                   seconds_of(m, WN_PART_EMBED_QUERIES, a, 0)));
    if (arm->recipe->uses_grads)
        set(o, "gradients",
            number(seconds_of(m, WN_PART_BASE, a, 0) + seconds_of(m, WN_PART_GRAD_POOL, a, 0) +
                   seconds_of(m, WN_PART_GRAD_QUERIES, a, 0)));
    if (wn_plan_find(m->run, WN_PART_TRAIN, m->target, a, 0)) {
        set(o, "select", number(select));
        set(o, "train", number(train));
    }
    set(o, "eval", number(eval));
    return o;
}

/* The tasks with most picks, and how many times their share of the pool that is, where the
 * selection's manifest says so (shots have none). */
static wn_err picked_tasks(json_t *arm, const wn_selection_facts *f, const wn_part *selected)
{
    json_t *list = json_array(), *m = NULL;
    char *path;
    wn_err err = wn_chosen_path(&path, selected->out, ".manifest.json");
    if (err == WN_OK && wn_file_exists(path))
        err = wn_json_load(&m, path);
    wn_free(path);
    const json_t *shares = json_object_get(m, "shares");
    for (size_t i = 0; i < f->n_tasks && i < PICKED_SHOWN && err == WN_OK; i++) {
        json_t *o =
            json_pack("{s:s, s:I}", "task", f->task[i].task, "rows", (json_int_t)f->task[i].rows);
        json_t *of = json_array_get(shares, i); /* in the same order */
        const char *name = json_string_value(json_object_get(of, "task"));
        if (name && strcmp(name, f->task[i].task) == 0) {
            json_object_set(o, "pool_rows", json_object_get(of, "pool_rows"));
            json_object_set(o, "times", json_object_get(of, "times"));
        }
        json_array_append_new(list, o);
    }
    set(arm, "picked", list);
    json_decref(m);
    return err;
}

static double mean(const double *v, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += v[i];
    return sum / (double)n;
}

/* What a seed's selection and training were: into the seed's object; tokens and rows add up. */
static wn_err seed_facts(json_t *seed, json_t *arm, uint64_t sum[2], const struct maker *m,
                         size_t a, size_t s)
{
    const wn_run *r = m->run;
    const wn_part *selected = wn_plan_find(r, WN_PART_SELECT, m->target, a, (int)s);
    const wn_part *trained = wn_plan_find(r, WN_PART_TRAIN, m->target, a, (int)s);
    wn_selection_facts f;
    json_t *v;
    set(seed, "seed", json_integer((json_int_t)wn_recipe_seed(&r->recipe, m->arm[a].recipe, s)));
    WN_TRY(wn_selection_read(&f, selected->out, &r->recipe));
    set(seed, "rows", json_integer((json_int_t)f.rows));
    set(seed, "tokens", json_integer((json_int_t)f.tokens));
    sum[0] += f.rows;
    sum[1] += f.tokens;
    if (s == 0)
        set(arm, "tasks", json_integer((json_int_t)f.n_tasks));
    wn_err err = s == 0 ? picked_tasks(arm, &f, selected) : WN_OK;
    wn_selection_free(&f);
    WN_TRY(err);
    WN_TRY(beside(&v, trained, "/train.json"));
    if (json_is_integer(json_object_get(v, "tokens")))
        json_object_set(seed, "tokens_trained", json_object_get(v, "tokens"));
    json_decref(v);
    return WN_OK;
}

static json_t *pair(const struct maker *m, wn_interval v, bool bound)
{
    if (bound && m->metric != WN_SCORE_NLL) {
        v.low = fmax(0, v.low);
        v.high = fmin(1, v.high);
    }
    json_t *list = json_array();
    json_array_append_new(list, number(v.low));
    json_array_append_new(list, number(v.high));
    return list;
}

static wn_err make_arm(json_t *o, const struct maker *m, size_t a)
{
    const struct arm *arm = &m->arm[a];
    json_t *seeds = json_array();
    uint64_t sum[2] = {0};
    bool trained = wn_plan_find(m->run, WN_PART_TRAIN, m->target, a, 0) != NULL;
    set(o, "name", json_string(arm->recipe->name));
    set(o, "strategy", json_string(arm->recipe->strategy));
    if (arm->recipe->few)
        set(o, "starts_from", json_string(m->run->recipe.arm[arm->recipe->base].name));
    set(o, "rows", json_integer(0));
    set(o, "tokens", json_integer(0));
    set(o, "seeds", seeds);
    for (size_t s = 0; s < arm->S; s++) {
        json_t *seed = json_object();
        json_array_append_new(seeds, seed);
        set(seed, "value", number(mean(arm->score[s], arm->n)));
        if (trained)
            WN_TRY(seed_facts(seed, o, sum, m, a, s));
    }
    set(o, "rows", json_integer((json_int_t)((sum[0] + arm->S / 2) / arm->S)));
    set(o, "tokens", json_integer((json_int_t)((sum[1] + arm->S / 2) / arm->S)));
    wn_interval v = wn_bootstrap_seeds((const double *const *)arm->score, arm->S, arm->n, 0);
    set(o, "mean", number(v.mean));
    set(o, "ci95", pair(m, v, true));
    set(o, "seconds", arm_seconds(m, a));
    return WN_OK;
}

/* ---- comparisons ---- */

/* Where less is better, the higher arm is the worse one. */
static const char *say(const struct maker *m, const wn_compare *c)
{
    const char *v = wn_verdict(c);
    if (!wn_metric_lower_is_better(m->metric) || strcmp(v, "cannot tell") == 0)
        return v;
    return strcmp(v, "better") == 0 ? "worse" : "better";
}

static json_t *make_compare(const struct maker *m, size_t a, size_t b)
{
    const struct arm *x = &m->arm[a], *y = &m->arm[b];
    wn_compare c = wn_compare_arms((const double *const *)x->score, x->S,
                                   (const double *const *)y->score, y->S, x->n, 0);
    json_t *o = json_object(), *test = json_object();
    set(test, "name", json_string("paired sign-flip permutation over test rows"));
    set(test, "p", number(c.p_permutation));
    set(test, "p_mcnemar", number(c.p_mcnemar));
    set(test, "corrected", json_false());
    set(o, "arm", json_string(x->recipe->name));
    set(o, "against", json_string(y->recipe->name));
    set(o, "difference", number(c.difference.mean));
    set(o, "ci95", pair(m, c.difference, false));
    set(o, "verdict", json_string(say(m, &c)));
    set(o, "test", test);
    wn_str s = {0};
    wn_verdict_sentence(&s, m->run->recipe.target[m->target].name, wn_metric_kind_name(m->metric),
                        o);
    set(o, "sentence", json_string(s.p ? s.p : ""));
    wn_str_free(&s);
    return o;
}

/* Strategies against baselines; where a recipe has no strategy, its trained baselines against
 * zero-shot. Few-shot arms are compared among themselves. */
static json_t *make_compares(const struct maker *m)
{
    const wn_recipe *c = &m->run->recipe;
    json_t *list = json_array();
    bool any = false;
    for (size_t a = 0; a < c->n_arms; a++)
        any |= !c->arm[a].baseline;
    for (size_t a = 0; a < c->n_arms; a++)
        for (size_t b = 0; b < c->n_arms; b++) {
            bool zero = strcmp(c->arm[b].strategy, "zero-shot") == 0;
            if (c->arm[a].few != c->arm[b].few)
                continue;
            if (any ? !c->arm[a].baseline && c->arm[b].baseline : zero && a != b)
                json_array_append_new(list, make_compare(m, a, b));
        }
    return list;
}

/* ---- a target ---- */

static void free_arms(struct maker *m)
{
    for (size_t a = 0; m->arm && a < m->run->recipe.n_arms; a++) {
        for (size_t s = 0; s < m->arm[a].S; s++)
            wn_free(m->arm[a].score[s]);
        wn_free(m->arm[a].score);
    }
    wn_free(m->arm);
}

static wn_err fill_target(json_t *o, struct maker *m)
{
    const wn_recipe *c = &m->run->recipe;
    json_t *arms = json_array();
    WN_NEW(m->arm, c->n_arms);
    set(o, "arms", arms);
    for (size_t a = 0; a < c->n_arms; a++) {
        json_t *arm = json_object();
        json_array_append_new(arms, arm);
        WN_TRY(read_arm(m, a));
        WN_TRY(make_arm(arm, m, a));
    }
    set(o, "compare", make_compares(m));
    return WN_OK;
}

static wn_err make_target(json_t *o, wn_run *r, size_t t)
{
    struct maker m = {.run = r, .target = t};
    WN_TRY(find_metric(&m));
    WN_TRY(wn_pool_open(&m.test, r->target[t].test, NULL, true));
    set(o, "name", json_string(r->recipe.target[t].name));
    set(o, "metric", json_string(wn_metric_kind_name(m.metric)));
    set(o, "n", json_integer((json_int_t)wn_pool_rows(m.test)));
    set(o, "queries", json_integer((json_int_t)r->target[t].n_queries));
    wn_err err = fill_target(o, &m);
    free_arms(&m);
    wn_pool_close(m.test);
    return err;
}

static json_t *total_seconds(const wn_run *r)
{
    static const char *const stages[] = {"pool",  "embed", "grad", "select",
                                         "train", "merge", "eval"};
    json_t *o = json_object();
    double total = 0;
    for (size_t k = 0; k < sizeof stages / sizeof *stages; k++) {
        double sum = 0;
        for (size_t i = 0; i < r->n_parts; i++)
            if (strcmp(wn_stage_name(r->part[i].kind), stages[k]) == 0)
                sum += wn_cost_of(r->cost, r->part[i].name);
        set(o, stages[k], number(sum));
        total += sum;
    }
    set(o, "total", number(total));
    return o;
}

wn_err wn_verdict_make(json_t **verdict, wn_run *r)
{
    const wn_recipe *c = &r->recipe;
    json_t *targets = json_array(), *seeds = json_array();
    *verdict = json_pack("{s:s, s:s, s:s, s:s, s:o, s:o}", "format", "winnow verdict", "version",
                         WN_VERSION, "title", c->title ? c->title : "", "model", c->model, "seeds",
                         seeds, "targets", targets);
    if (!*verdict)
        return wn_fail_nomem(256, "verdict");
    if (c->encoder)
        set(*verdict, "encoder", json_string(c->encoder));
    for (size_t s = 0; s < c->n_seeds; s++)
        json_array_append_new(seeds, json_integer((json_int_t)c->seed[s]));
    wn_err err = WN_OK;
    for (size_t t = 0; t < c->n_targets && err == WN_OK; t++) {
        json_t *o = json_object();
        json_array_append_new(targets, o);
        err = make_target(o, r, t);
    }
    set(*verdict, "seconds", total_seconds(r));
    if (err) {
        json_decref(*verdict);
        *verdict = NULL;
    }
    return err;
}

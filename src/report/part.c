/* The parts of an experiment as calls of the public jobs: for each kind what it depends on (its
 * key) and what is done. The two stand side by side, since an option that is passed to a job and is
 * not in the key would let a part pass for finished that is not. */
#include <string.h>

#include "base/mem.h"
#include "io/file.h"
#include "report/plan.h"
#include "select/select.h"

static json_t *text_or_null(const char *s)
{
    return s ? json_string(s) : json_null();
}

wn_err wn_part_input(json_t *inputs, wn_run *r, const char *name, const char *path)
{
    const char *hex;
    WN_TRY(wn_run_sha(&hex, r, path));
    return json_object_set_new(inputs, name, json_string(hex)) == 0 ? WN_OK
                                                                    : wn_fail_nomem(64, "key");
}

wn_common wn_part_common(const wn_run *r, const wn_part *p)
{
    wn_common c = r->o->common;
    c.out = p->out;
    c.overwrite = false;
    c.seed = p->kind == WN_PART_BASE ? r->recipe.seed[0]
             : p->seed == WN_NO_SEED
                 ? 0
                 : wn_recipe_seed(&r->recipe, &r->recipe.arm[p->arm], (size_t)p->seed);
    return c;
}

static const char *pool_dir(const wn_run *r)
{
    return wn_plan_find(r, WN_PART_POOL, 0, 0, WN_NO_SEED)->out;
}

/* ---- pool ---- */

/* What is embedded has every row of the sources: the pool's are among them, whatever it drops. */
static void pool_reads(const char **map, const char **dedup, const wn_run *r, const wn_part *p)
{
    bool embedded = p->kind == WN_PART_POOL_EMBEDDED;
    *map = embedded ? r->recipe.embed.map : r->recipe.map;
    *dedup = embedded ? "none" : r->recipe.dedup;
}

static wn_err pool_key(json_t *options, json_t *inputs, wn_run *r, const wn_part *p)
{
    const wn_recipe *c = &r->recipe;
    const char *map, *dedup;
    pool_reads(&map, &dedup, r, p);
    json_object_set_new(options, "map", text_or_null(map));
    json_object_set_new(options, "dedup", text_or_null(dedup));
    json_object_set_new(options, "split", text_or_null(c->split));
    json_object_set_new(options, "per_task", json_integer((json_int_t)c->pool_per_task));
    if (c->tasks)
        WN_TRY(wn_part_input(inputs, r, "tasks", c->tasks));
    for (size_t i = 0; i < c->n_sources; i++) {
        char name[40];
        snprintf(name, sizeof name, "source %zu", i + 1);
        WN_TRY(wn_part_input(inputs, r, name, c->sources[i]));
    }
    if (map && wn_file_exists(map))
        WN_TRY(wn_part_input(inputs, r, "map", map));
    return WN_OK;
}

static wn_err pool_do(wn_run *r, const wn_part *p)
{
    const wn_recipe *c = &r->recipe;
    const char *map, *dedup;
    pool_reads(&map, &dedup, r, p);
    const wn_pool_build_opts o = {.common = wn_part_common(r, p),
                                  .sources = c->sources,
                                  .n_sources = c->n_sources,
                                  .map = map,
                                  .dedup = dedup,
                                  .split = c->split,
                                  .tasks = c->tasks,
                                  .per_task = c->pool_per_task};
    return wn_pool_build_job(&o);
}

/* ---- embed ---- */

static const char *embedded_rows(const wn_run *r, const wn_part *p)
{
    const wn_part *own = wn_plan_find(r, WN_PART_POOL_EMBEDDED, 0, 0, WN_NO_SEED);
    if (p->kind != WN_PART_EMBED_POOL)
        return r->target[p->target].queries;
    return own ? own->out : pool_dir(r);
}

/* Queries may have a prompt of their own (E5's "query: "); without one they are embedded as the
 * pool's rows are. */
static wn_embed_opts embed_opts(const wn_run *r, const wn_part *p)
{
    const wn_recipe_embed *e = &r->recipe.embed;
    wn_embed_opts o = e->o;
    if (p->kind == WN_PART_EMBED_QUERIES && (e->query_prompt || e->query_prompt_name)) {
        o.prompt = e->query_prompt;
        o.prompt_name = e->query_prompt_name;
    }
    return o;
}

static wn_err embed_key(json_t *options, json_t *inputs, wn_run *r, const wn_part *p)
{
    wn_embed_opts e = embed_opts(r, p);
    json_object_set_new(options, "pooling", text_or_null(e.pooling));
    json_object_set_new(options, "normalize", text_or_null(e.normalize));
    json_object_set_new(options, "text", text_or_null(e.text));
    json_object_set_new(options, "template", text_or_null(e.tmpl));
    if (e.system)
        json_object_set_new(options, "system", json_string(e.system));
    json_object_set_new(options, "prompt", text_or_null(e.prompt));
    json_object_set_new(options, "prompt_name", text_or_null(e.prompt_name));
    json_object_set_new(options, "layer", json_integer(e.layer));
    json_object_set_new(options, "max_tokens", json_integer((json_int_t)e.max_tokens));
    WN_TRY(wn_part_input(inputs, r, "encoder", r->recipe.encoder));
    return wn_part_input(inputs, r, "rows", embedded_rows(r, p));
}

static wn_err embed_do(wn_run *r, const wn_part *p)
{
    wn_embed_opts o = embed_opts(r, p);
    o.common = wn_part_common(r, p);
    o.model = r->recipe.encoder;
    o.pool = embedded_rows(r, p);
    return wn_embed_job(&o);
}

/* ---- select ---- */

static wn_err select_opts(wn_select_opts *o, wn_run *r, const wn_part *p)
{
    const wn_recipe_arm *a = &r->recipe.arm[p->arm];
    *o = a->own;
    o->common = wn_part_common(r, p);
    o->strategy = a->strategy;
    o->pool = pool_dir(r);
    o->metric = a->distance;
    o->k = (size_t)a->k;
    o->budget = a->budget;
    o->budget_tokens = a->budget_tokens;
    o->per_task = a->per_task;
    o->dedup = a->dedup;
    o->other_text = a->uses_store && r->recipe.embed.map;
    if (a->uses_grads) {
        o->store = wn_plan_find(r, WN_PART_GRAD_POOL, 0, 0, WN_NO_SEED)->out;
        o->queries = wn_plan_find(r, WN_PART_GRAD_QUERIES, p->target, 0, WN_NO_SEED)->out;
    }
    if (a->uses_store) {
        o->store = wn_plan_find(r, WN_PART_EMBED_POOL, 0, 0, WN_NO_SEED)->out;
        o->queries = wn_plan_find(r, WN_PART_EMBED_QUERIES, p->target, 0, WN_NO_SEED)->out;
    }
    if (a->uses_text)
        o->queries = r->target[p->target].queries;
    if (a->fills && r->reference != SIZE_MAX && !a->own_budget) {
        int seed = p->seed == WN_NO_SEED ? 0 : p->seed;
        const wn_part *ref = wn_plan_find(r, WN_PART_SELECT, p->target, r->reference, seed);
        wn_selection_facts f;
        WN_TRY(wn_selection_read(&f, ref->out, &r->recipe));
        bool tokens = r->recipe.arm[r->reference].budget_tokens != 0;
        o->budget = tokens ? 0 : f.rows;
        o->budget_tokens = tokens ? f.tokens : 0;
        wn_selection_free(&f);
    }
    if (strcmp(a->strategy, "all") == 0)
        o->budget = o->budget_tokens = o->per_task = 0;
    if (o->budget_tokens)
        o->model = r->recipe.model;
    return WN_OK;
}

static bool is_few(const wn_run *r, const wn_part *p)
{
    return r->recipe.arm[p->arm].few;
}

/* What only some strategies have, where it is given. */
static wn_err own_key(json_t *options, const wn_select_opts *o)
{
    const struct {
        const char *name, *text;
        double number;
    } own[] = {{"groups", o->how.groups, 0},
               {"mode", o->how.mode, 0},
               {"ridge", o->how.ridge, 0},
               {"c", NULL, o->how.c},
               {"step_size", NULL, o->how.step_size},
               {"search", o->search, 0},
               {"subsets", NULL, (double)o->subsets},
               {"share", NULL, o->share},
               {"settle", NULL, o->settle},
               {"keep", NULL, (double)o->keep},
               {"below", NULL, o->below},
               {"gumbel", o->gumbel, 0},
               {"per_token", NULL, o->per_token}};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if ((own[i].text || own[i].number != 0) &&
            json_object_set_new(options, own[i].name,
                                own[i].text ? json_string(own[i].text)
                                            : json_real(own[i].number)) != 0)
            return wn_fail_nomem(64, "key");
    return WN_OK;
}

static wn_err select_key(json_t *options, json_t *inputs, wn_run *r, const wn_part *p)
{
    wn_select_opts o;
    if (is_few(r, p))
        return wn_shots_key(options, inputs, r, p);
    WN_TRY(select_opts(&o, r, p));
    json_object_set_new(options, "strategy", text_or_null(o.strategy));
    json_object_set_new(options, "distance", text_or_null(o.metric));
    json_object_set_new(options, "k", json_integer((json_int_t)o.k));
    json_object_set_new(options, "budget", json_integer((json_int_t)o.budget));
    json_object_set_new(options, "budget_tokens", json_integer((json_int_t)o.budget_tokens));
    json_object_set_new(options, "per_task", json_integer((json_int_t)o.per_task));
    json_object_set_new(options, "dedup", text_or_null(o.dedup));
    json_object_set_new(options, "veto", json_boolean(r->recipe.veto));
    WN_TRY(own_key(options, &o));
    WN_TRY(wn_part_input(inputs, r, "pool", o.pool));
    if (o.store)
        WN_TRY(wn_part_input(inputs, r, "store", o.store));
    if (o.queries)
        WN_TRY(wn_part_input(inputs, r, "query store", o.queries));
    if (o.model)
        WN_TRY(wn_part_input(inputs, r, "model", o.model));
    if (!r->recipe.veto)
        return WN_OK;
    WN_TRY(wn_part_input(inputs, r, "queries", r->target[p->target].queries));
    return wn_part_input(inputs, r, "test", r->target[p->target].test);
}

/* Several: of one arm, which share their store. */
static wn_err select_do(wn_run *r, const wn_part *const *p, size_t n)
{
    wn_select_opts *o;
    if (is_few(r, p[0]))
        return wn_shots_do(r, p[0]);
    WN_NEW(o, n);
    const char **avoid = wn_calloc(n, 2 * sizeof *avoid);
    wn_err err = avoid ? WN_OK : WN_ENOMEM;
    for (size_t i = 0; i < n && err == WN_OK; i++) {
        const wn_run_target *t = &r->target[p[i]->target];
        avoid[2 * i] = t->queries;
        avoid[2 * i + 1] = t->test;
        err = select_opts(&o[i], r, p[i]);
        o[i].avoid = avoid + 2 * i;
        o[i].n_avoid = r->recipe.veto ? 2 : 0;
        o[i].allow_queries = !r->recipe.veto;
    }
    if (err == WN_OK)
        err = wn_select_together(o, n);
    wn_free(avoid);
    wn_free(o);
    return err;
}

bool wn_parts_together(const wn_run *r, const wn_part *a, const wn_part *b)
{
    const wn_strategy *s;
    return a->kind == WN_PART_SELECT && b->kind == WN_PART_SELECT && a->arm == b->arm &&
           a->seed == b->seed && !is_few(r, a) &&
           wn_strategy_find(&s, r->recipe.arm[a->arm].strategy) == WN_OK && s->pick_all;
}

/* ---- train ---- */

static const char *selection_of(const wn_run *r, const wn_part *p)
{
    return wn_plan_find(r, WN_PART_SELECT, p->target, p->arm, p->seed)->out;
}

static bool writes_adapter(const wn_train_opts *o)
{
    return !o->method || strcmp(o->method, "full") != 0;
}

/* The model, and the adapter on top of it, that training begins with. */
static void begins_with(const char **model, const char **adapter, const wn_run *r, const wn_part *p)
{
    const wn_part *start = wn_plan_start(r, p), *merged = NULL;
    *model = r->recipe.model;
    *adapter = NULL;
    if (start)
        merged = wn_plan_find(r, WN_PART_MERGE, p->target, start->arm, start->seed);
    if (merged)
        *model = merged->out;
    else if (start && writes_adapter(&r->recipe.train))
        *adapter = start->out;
    else if (start)
        *model = start->out;
}

static wn_err train_key(json_t *options, json_t *inputs, wn_run *r, const wn_part *p)
{
    const json_t *tree = r->recipe.tree, *few = json_object_get(tree, "few_shot");
    const json_t *training = json_object_get(is_few(r, p) ? few : tree, "training");
    const char *model, *adapter;
    begins_with(&model, &adapter, r, p);
    json_object_set_new(options, "training", training ? json_deep_copy(training) : json_object());
    if (is_few(r, p))
        json_object_set_new(options, "few-shot max_tokens",
                            json_integer((json_int_t)r->recipe.few.max_tokens));
    WN_TRY(wn_part_input(inputs, r, "model", model));
    if (adapter)
        WN_TRY(wn_part_input(inputs, r, "adapter", adapter));
    return wn_part_input(inputs, r, "data", selection_of(r, p));
}

static wn_err train_do(wn_run *r, const wn_part *p)
{
    wn_train_opts o = is_few(r, p) ? r->recipe.few.train : r->recipe.train;
    begins_with(&o.model, &o.adapter, r, p);
    o.common = wn_part_common(r, p);
    o.data = selection_of(r, p);
    return wn_train_job(&o);
}

/* ---- merge ---- */

static const char *adapter_of(const wn_run *r, const wn_part *p)
{
    return wn_plan_find(r, WN_PART_TRAIN, p->target, p->arm, p->seed)->out;
}

static wn_err merge_key(json_t *inputs, wn_run *r, const wn_part *p)
{
    WN_TRY(wn_part_input(inputs, r, "model", r->recipe.model));
    return wn_part_input(inputs, r, "adapter", adapter_of(r, p));
}

static wn_err merge_do(wn_run *r, const wn_part *p)
{
    return wn_merge_job(&(wn_merge_opts){
        .common = wn_part_common(r, p), .model = r->recipe.model, .adapter = adapter_of(r, p)});
}

/* ---- eval ---- */

/* The model and adapter that the part evaluates. */
static void evaluated(const char **model, const char **adapter, const wn_run *r, const wn_part *p)
{
    const wn_part *trained = wn_plan_find(r, WN_PART_TRAIN, p->target, p->arm, p->seed);
    begins_with(model, adapter, r, p);
    if (!trained)
        return;
    if (writes_adapter(is_few(r, p) ? &r->recipe.few.train : &r->recipe.train)) {
        *adapter = trained->out;
    } else {
        *model = trained->out;
        *adapter = NULL;
    }
}

static size_t eval_tokens(const wn_run *r, const wn_part *p)
{
    size_t few = r->recipe.few.max_tokens;
    return is_few(r, p) && few ? few : r->recipe.eval.max_tokens;
}

static wn_err eval_key(json_t *options, json_t *inputs, wn_run *r, const wn_part *p)
{
    const json_t *eval = json_object_get(r->recipe.tree, "eval");
    const char *model, *adapter;
    evaluated(&model, &adapter, r, p);
    json_object_set_new(options, "eval", eval ? json_deep_copy(eval) : json_object());
    json_object_set_new(options, "metric", text_or_null(r->recipe.target[p->target].metric));
    if (is_few(r, p))
        json_object_set_new(options, "max_tokens", json_integer((json_int_t)eval_tokens(r, p)));
    WN_TRY(wn_part_input(inputs, r, "model", model));
    if (adapter)
        WN_TRY(wn_part_input(inputs, r, "adapter", adapter));
    return wn_part_input(inputs, r, "test", r->target[p->target].test);
}

static wn_err eval_do(wn_run *r, const wn_part *p)
{
    char *json = NULL;
    wn_eval_opts o = r->recipe.eval;
    o.common = wn_part_common(r, p);
    o.metric = r->recipe.target[p->target].metric;
    o.rows = r->target[p->target].test;
    o.max_tokens = eval_tokens(r, p);
    evaluated(&o.model, &o.adapter, r, p);
    wn_err err = wn_eval_job(&o, &json);
    wn_text_free(json);
    return err;
}

/* ---- all ---- */

static wn_err fill_key(json_t *options, json_t *inputs, wn_run *r, const wn_part *p)
{
    switch (p->kind) {
    case WN_PART_POOL:
    case WN_PART_POOL_EMBEDDED:
        return pool_key(options, inputs, r, p);
    case WN_PART_EMBED_POOL:
    case WN_PART_EMBED_QUERIES:
        return embed_key(options, inputs, r, p);
    case WN_PART_BASE:
    case WN_PART_GRAD_POOL:
    case WN_PART_GRAD_QUERIES:
        return wn_grad_part_key(options, inputs, r, p);
    case WN_PART_SELECT:
        return select_key(options, inputs, r, p);
    case WN_PART_TRAIN:
        return train_key(options, inputs, r, p);
    case WN_PART_MERGE:
        return merge_key(inputs, r, p);
    case WN_PART_EVAL:
        return eval_key(options, inputs, r, p);
    }
    return WN_OK;
}

wn_err wn_part_key(json_t **key, wn_run *r, const wn_part *p)
{
    json_t *options = json_object(), *inputs = json_object();
    wn_common common = wn_part_common(r, p);
    *key = json_pack("{s:s, s:s, s:I, s:o, s:o}", "part", p->name, "version", WN_VERSION, "seed",
                     (json_int_t)common.seed, "options", options, "inputs", inputs);
    if (!*key)
        return wn_fail_nomem(256, "key");
    if (p->kind != WN_PART_POOL && p->kind != WN_PART_POOL_EMBEDDED && p->kind != WN_PART_SELECT)
        json_object_set_new(options, "precision", json_integer(common.precision));
    wn_err err = fill_key(options, inputs, r, p);
    if (err) {
        json_decref(*key);
        *key = NULL;
    }
    return err;
}

/* Outputs appear by rename, so one that is there is whole; a store is a folder from its first row
 * on and whole when its manifest is there. */
static bool is_whole(const wn_part *p)
{
    if (p->kind != WN_PART_EMBED_POOL && p->kind != WN_PART_EMBED_QUERIES &&
        p->kind != WN_PART_GRAD_POOL && p->kind != WN_PART_GRAD_QUERIES)
        return wn_file_exists(p->out) || wn_is_dir(p->out);
    char *manifest;
    if (wn_path_join(&manifest, p->out, "store.json") != WN_OK)
        return false;
    bool there = wn_file_exists(manifest);
    wn_free(manifest);
    return there;
}

static wn_err do_one(wn_run *r, const wn_part *p)
{
    switch (p->kind) {
    case WN_PART_POOL:
    case WN_PART_POOL_EMBEDDED:
        return pool_do(r, p);
    case WN_PART_EMBED_POOL:
    case WN_PART_EMBED_QUERIES:
        return embed_do(r, p);
    case WN_PART_BASE:
    case WN_PART_GRAD_POOL:
    case WN_PART_GRAD_QUERIES:
        return wn_grad_part_do(r, p);
    case WN_PART_SELECT:
        return select_do(r, &p, 1);
    case WN_PART_TRAIN:
        return train_do(r, p);
    case WN_PART_MERGE:
        return merge_do(r, p);
    case WN_PART_EVAL:
        return eval_do(r, p);
    }
    return WN_OK;
}

wn_err wn_parts_do(wn_run *r, const wn_part *const *p, size_t n)
{
    const wn_part **left;
    size_t m = 0;
    WN_NEW(left, n);
    for (size_t i = 0; i < n; i++)
        if (!is_whole(p[i])) /* else: a kill between the rename and the stamp */
            left[m++] = p[i];
    wn_err err = m == 0 ? WN_OK : m == 1 ? do_one(r, left[0]) : select_do(r, left, m);
    wn_free(left);
    return err;
}

wn_err wn_part_remove(const wn_part *p)
{
    static const char *const ends[] = {
        "", ".partial", ".manifest.json", ".hits.jsonl", ".avoided.jsonl", ".stamp.json"};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        wn_str path = {0};
        wn_str_printf(&path, "%s%s", p->out, ends[i]);
        wn_err err = wn_str_check(&path);
        if (err == WN_OK)
            err = wn_remove_tree(path.p);
        wn_str_free(&path);
        WN_TRY(err);
    }
    return WN_OK;
}

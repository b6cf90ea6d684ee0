/* A section of a recipe is a table of its keys (section.h), which is all one touches to add an
 * option. Strings stay in the YAML tree, which the recipe keeps. */
#include "report/recipe.h"

#include <string.h>

#include "base/mem.h"
#include "report/section.h"
#include "select/select.h"

static const wn_field top_fields[] = {
    WN_FIELD(wn_recipe, title, "title", WN_KEY_TEXT),
    {"pool", WN_KEY_OTHER, 0, true},
    {"targets", WN_KEY_OTHER, 0, true},
    WN_FIELD(wn_recipe, encoder, "encoder", WN_KEY_PATH),
    {"model", WN_KEY_PATH, offsetof(wn_recipe, model), true},
    {"strategies", WN_KEY_OTHER, 0, false},
    {"baselines", WN_KEY_OTHER, 0, false},
    {"budget", WN_KEY_OTHER, 0, false},
    {"budget_tokens", WN_KEY_OTHER, 0, false},
    {"k", WN_KEY_OTHER, 0, false},
    {"per_task", WN_KEY_OTHER, 0, false},
    {"distance", WN_KEY_OTHER, 0, false},
    {"dedup", WN_KEY_OTHER, 0, false},
    WN_FIELD(wn_recipe, veto, "veto", WN_KEY_FLAG),
    {"seeds", WN_KEY_OTHER, 0, false},
    {"embed", WN_KEY_OTHER, 0, false},
    {"training", WN_KEY_OTHER, 0, false},
    {"eval", WN_KEY_OTHER, 0, false},
    {"few_shot", WN_KEY_OTHER, 0, false},
    {"gradients", WN_KEY_OTHER, 0, false},
    {"sizes", WN_KEY_OTHER, 0, false}, /* `winnow plan` reads it */
    {NULL, WN_KEY_OTHER, 0, false},
};

static const wn_field pool_fields[] = {
    {"sources", WN_KEY_OTHER, 0, true},
    WN_FIELD(wn_recipe, map, "map", WN_KEY_NAME_OR_PATH),
    WN_FIELD(wn_recipe, dedup, "dedup", WN_KEY_TEXT),
    WN_FIELD(wn_recipe, split, "split", WN_KEY_TEXT),
    WN_FIELD(wn_recipe, tasks, "tasks", WN_KEY_PATH),
    WN_FIELD(wn_recipe, pool_per_task, "per_task", WN_KEY_WHOLE),
    {NULL, WN_KEY_OTHER, 0, false},
};

static const wn_field target_fields[] = {
    {"name", WN_KEY_TEXT, offsetof(wn_recipe_target, name), true},
    {"queries", WN_KEY_PATH, offsetof(wn_recipe_target, queries), true},
    {"test", WN_KEY_PATH, offsetof(wn_recipe_target, test), true},
    WN_FIELD(wn_recipe_target, map, "map", WN_KEY_NAME_OR_PATH),
    WN_FIELD(wn_recipe_target, query_map, "query_map", WN_KEY_NAME_OR_PATH),
    WN_FIELD(wn_recipe_target, metric, "metric", WN_KEY_TEXT),
    WN_FIELD(wn_recipe_target, max_queries, "max_queries", WN_KEY_WHOLE),
    WN_FIELD(wn_recipe_target, max_test, "max_test", WN_KEY_WHOLE),
    WN_FIELD(wn_recipe_target, shots, "shots", WN_KEY_PATH),
    {NULL, WN_KEY_OTHER, 0, false},
};

static const wn_field arm_fields[] = {
    {"strategy", WN_KEY_TEXT, offsetof(wn_recipe_arm, strategy), true},
    WN_FIELD(wn_recipe_arm, name, "name", WN_KEY_TEXT),
    WN_FIELD(wn_recipe_arm, k, "k", WN_KEY_WHOLE),
    WN_FIELD(wn_recipe_arm, budget, "budget", WN_KEY_WHOLE),
    WN_FIELD(wn_recipe_arm, budget_tokens, "budget_tokens", WN_KEY_WHOLE),
    WN_FIELD(wn_recipe_arm, per_task, "per_task", WN_KEY_WHOLE),
    WN_FIELD(wn_recipe_arm, distance, "distance", WN_KEY_TEXT),
    WN_FIELD(wn_recipe_arm, dedup, "dedup", WN_KEY_TEXT),
    WN_FIELD(wn_recipe_arm, own.how.groups, "groups", WN_KEY_TEXT),
    WN_FIELD(wn_recipe_arm, own.how.mode, "mode", WN_KEY_TEXT),
    WN_FIELD(wn_recipe_arm, own.how.ridge, "ridge", WN_KEY_COUNT_TEXT),
    WN_FIELD(wn_recipe_arm, own.how.c, "c", WN_KEY_REAL),
    WN_FIELD(wn_recipe_arm, own.how.step_size, "step_size", WN_KEY_REAL),
    WN_FIELD(wn_recipe_arm, own.search, "search", WN_KEY_TEXT),
    WN_FIELD(wn_recipe_arm, own.subsets, "subsets", WN_KEY_WHOLE),
    WN_FIELD(wn_recipe_arm, own.share, "share", WN_KEY_REAL),
    WN_FIELD(wn_recipe_arm, own.settle, "settle", WN_KEY_REAL),
    WN_FIELD(wn_recipe_arm, own.keep, "keep", WN_KEY_WHOLE),
    WN_FIELD(wn_recipe_arm, own.below, "below", WN_KEY_REAL),
    WN_FIELD(wn_recipe_arm, own.gumbel, "gumbel", WN_KEY_YES_NO),
    WN_FIELD(wn_recipe_arm, own.per_token, "per_token", WN_KEY_FLAG),
    {NULL, WN_KEY_OTHER, 0, false},
};

static const wn_field gradient_fields[] = {
    WN_FIELD(wn_recipe_gradients, o.params, "params", WN_KEY_TEXT),
    WN_FIELD(wn_recipe_gradients, o.quantity, "quantity", WN_KEY_TEXT),
    WN_FIELD(wn_recipe_gradients, o.projection, "projection", WN_KEY_TEXT),
    WN_FIELD(wn_recipe_gradients, o.project, "project", WN_KEY_SIZE),
    {NULL, WN_KEY_OTHER, 0, false},
};

static const wn_field embed_fields[] = {
    WN_FIELD(wn_recipe_embed, o.pooling, "pooling", WN_KEY_TEXT),
    WN_FIELD(wn_recipe_embed, o.normalize, "normalize", WN_KEY_YES_NO),
    WN_FIELD(wn_recipe_embed, o.text, "text", WN_KEY_TEXT),
    WN_FIELD(wn_recipe_embed, o.tmpl, "template", WN_KEY_TEXT),
    WN_FIELD(wn_recipe_embed, o.system, "system", WN_KEY_TEXT),
    WN_FIELD(wn_recipe_embed, o.layer, "layer", WN_KEY_NUMBER),
    WN_FIELD(wn_recipe_embed, o.max_tokens, "max_tokens", WN_KEY_SIZE),
    WN_FIELD(wn_recipe_embed, o.prompt, "prompt", WN_KEY_TEXT),
    WN_FIELD(wn_recipe_embed, o.prompt_name, "prompt_name", WN_KEY_TEXT),
    WN_FIELD(wn_recipe_embed, map, "map", WN_KEY_NAME_OR_PATH),
    WN_FIELD(wn_recipe_embed, query_prompt, "query_prompt", WN_KEY_TEXT),
    WN_FIELD(wn_recipe_embed, query_prompt_name, "query_prompt_name", WN_KEY_TEXT),
    {NULL, WN_KEY_OTHER, 0, false},
};

const wn_field wn_recipe_train_fields[] = {
    WN_FIELD(wn_train_opts, method, "method", WN_KEY_TEXT),
    WN_FIELD(wn_train_opts, epochs, "epochs", WN_KEY_REAL),
    WN_FIELD(wn_train_opts, steps, "steps", WN_KEY_WHOLE),
    WN_FIELD(wn_train_opts, lr, "lr", WN_KEY_REAL),
    WN_FIELD(wn_train_opts, batch, "batch", WN_KEY_SIZE),
    WN_FIELD(wn_train_opts, max_batch_tokens, "max_batch_tokens", WN_KEY_SIZE),
    WN_FIELD(wn_train_opts, optimizer, "optimizer", WN_KEY_TEXT),
    WN_FIELD(wn_train_opts, schedule, "schedule", WN_KEY_TEXT),
    WN_FIELD(wn_train_opts, warmup, "warmup", WN_KEY_COUNT_TEXT),
    WN_FIELD(wn_train_opts, clip_norm, "clip_norm", WN_KEY_REAL),
    WN_FIELD(wn_train_opts, clip_value, "clip_value", WN_KEY_REAL),
    WN_FIELD(wn_train_opts, weight_decay, "weight_decay", WN_KEY_REAL),
    WN_FIELD(wn_train_opts, dropout, "dropout", WN_KEY_COUNT_TEXT),
    WN_FIELD(wn_train_opts, shuffle, "shuffle", WN_KEY_YES_NO),
    WN_FIELD(wn_train_opts, rank, "rank", WN_KEY_SIZE),
    WN_FIELD(wn_train_opts, alpha, "alpha", WN_KEY_REAL),
    WN_FIELD(wn_train_opts, targets, "targets", WN_KEY_TEXT),
    WN_FIELD(wn_train_opts, feedforward, "feedforward", WN_KEY_TEXT),
    WN_FIELD(wn_train_opts, rslora, "rslora", WN_KEY_FLAG),
    WN_FIELD(wn_train_opts, lora_bias, "lora_bias", WN_KEY_TEXT),
    WN_FIELD(wn_train_opts, base, "base", WN_KEY_TEXT),
    WN_FIELD(wn_train_opts, freeze, "freeze", WN_KEY_TEXT),
    WN_FIELD(wn_train_opts, train, "train", WN_KEY_TEXT),
    WN_FIELD(wn_train_opts, batch_tokens, "batch_tokens", WN_KEY_WHOLE),
    WN_FIELD(wn_train_opts, checkpointing, "checkpointing", WN_KEY_YES_NO),
    WN_FIELD(wn_train_opts, loss, "loss", WN_KEY_TEXT),
    WN_FIELD(wn_train_opts, loss_mean, "loss_mean", WN_KEY_TEXT),
    WN_FIELD(wn_train_opts, beta1, "beta1", WN_KEY_REAL),
    WN_FIELD(wn_train_opts, beta2, "beta2", WN_KEY_REAL),
    WN_FIELD(wn_train_opts, eps, "eps", WN_KEY_REAL),
    WN_FIELD(wn_train_opts, momentum, "momentum", WN_KEY_REAL),
    WN_FIELD(wn_train_opts, nesterov, "nesterov", WN_KEY_FLAG),
    WN_FIELD(wn_train_opts, relative_step, "relative_step", WN_KEY_FLAG),
    WN_FIELD(wn_train_opts, warmup_init, "warmup_init", WN_KEY_FLAG),
    WN_FIELD(wn_train_opts, scale_parameter, "scale_parameter", WN_KEY_YES_NO),
    WN_FIELD(wn_train_opts, clip_threshold, "clip_threshold", WN_KEY_REAL),
    WN_FIELD(wn_train_opts, decay_rate, "decay_rate", WN_KEY_REAL),
    WN_FIELD(wn_train_opts, no_decay, "no_decay", WN_KEY_TEXT),
    WN_FIELD(wn_train_opts, state, "state", WN_KEY_TEXT),
    WN_FIELD(wn_train_opts, slanted_cut, "slanted_cut", WN_KEY_REAL),
    WN_FIELD(wn_train_opts, slanted_ratio, "slanted_ratio", WN_KEY_REAL),
    WN_FIELD(wn_train_opts, save_every, "save_every", WN_KEY_WHOLE),
    WN_FIELD(wn_train_opts, max_tokens, "max_tokens", WN_KEY_SIZE),
    WN_FIELD(wn_train_opts, max_target, "max_target", WN_KEY_SIZE),
    WN_FIELD(wn_train_opts, tmpl, "template", WN_KEY_TEXT),
    WN_FIELD(wn_train_opts, system, "system", WN_KEY_TEXT),
    {NULL, WN_KEY_OTHER, 0, false},
};

static const wn_field eval_fields[] = {
    WN_FIELD(wn_eval_opts, length_norm, "length_norm", WN_KEY_TEXT),
    WN_FIELD(wn_eval_opts, max_tokens, "max_tokens", WN_KEY_SIZE),
    WN_FIELD(wn_eval_opts, max_target, "max_target", WN_KEY_SIZE),
    WN_FIELD(wn_eval_opts, max_new, "max_new", WN_KEY_SIZE),
    WN_FIELD(wn_eval_opts, answer, "answer", WN_KEY_TEXT),
    WN_FIELD(wn_eval_opts, eos, "eos", WN_KEY_YES_NO),
    WN_FIELD(wn_eval_opts, calibrate, "calibrate", WN_KEY_TEXT),
    {"parse", WN_KEY_OTHER, 0, false},
    {"stop", WN_KEY_OTHER, 0, false},
    WN_FIELD(wn_eval_opts, tmpl, "template", WN_KEY_TEXT),
    WN_FIELD(wn_eval_opts, system, "system", WN_KEY_TEXT),
    {NULL, WN_KEY_OTHER, 0, false},
};

static wn_err wrong(const char *where, const char *key, const char *expected)
{
    return wn_fail(WN_EARG, "%s: %s: expected %s", where, key, expected);
}

static wn_err sub_section(void *base, wn_recipe *r, const char *key, const wn_field *fields)
{
    wn_str where = {0};
    wn_str_printf(&where, "%s: %s", r->path, key);
    wn_err err = wn_str_check(&where);
    json_t *o = json_object_get(r->tree, key);
    if (err == WN_OK)
        err = wn_section_read(base, json_is_null(o) ? NULL : o, fields, r->path, where.p);
    wn_str_free(&where);
    return err;
}

/* Names become file names. */
static wn_err check_name(const char *name, const char *where, const char *what)
{
    size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-");
    if (n == 0 || name[n] || name[0] == '.' || strlen(name) > 100)
        return wn_fail(WN_EARG, "%s: %s \"%s\": expected letters, digits, and . _ - between them",
                       where, what, name);
    return WN_OK;
}

static wn_err as_list(json_t **list, const wn_recipe *r, const char *key, json_t *v)
{
    if (!json_is_array(v) || json_array_size(v) == 0)
        return wn_fail(WN_EARG, "%s: %s: expected a list that is not empty", r->path, key);
    *list = v;
    return WN_OK;
}

/* ---- sections ---- */

static wn_err read_pool(wn_recipe *r)
{
    json_t *pool = json_object_get(r->tree, "pool"), *list = NULL;
    WN_TRY(sub_section(r, r, "pool", pool_fields));
    json_t *v = json_object_get(pool, "sources");
    if (json_is_string(v)) { /* one source may stand without brackets */
        v = json_pack("[O]", v);
        if (!v || json_object_set_new(pool, "sources", v) != 0)
            return wn_fail_nomem(64, "recipe");
    }
    WN_TRY(as_list(&list, r, "pool: sources", v));
    WN_NEW(r->sources, json_array_size(list));
    for (size_t i = 0; i < json_array_size(list); i++) {
        json_t *s = json_array_get(list, i);
        if (!json_is_string(s))
            return wrong(r->path, "pool: sources", "paths");
        WN_TRY(wn_section_path(s, r->path, "pool: sources"));
        r->sources[r->n_sources++] = json_string_value(s);
    }
    return WN_OK;
}

static wn_err read_targets(wn_recipe *r)
{
    json_t *list = NULL;
    WN_TRY(as_list(&list, r, "targets", json_object_get(r->tree, "targets")));
    WN_NEW(r->target, json_array_size(list));
    for (size_t i = 0; i < json_array_size(list); i++) {
        wn_recipe_target *t = &r->target[r->n_targets++];
        wn_str where = {0};
        wn_str_printf(&where, "%s: targets, number %zu", r->path, i + 1);
        wn_err err = wn_str_check(&where);
        json_t *o = json_array_get(list, i);
        if (err == WN_OK && !json_is_object(o))
            err = wn_fail(WN_EARG, "%s: expected a mapping with name, queries and test", where.p);
        if (err == WN_OK)
            err = wn_section_read(t, o, target_fields, r->path, where.p);
        if (err == WN_OK)
            err = check_name(t->name, where.p, "name");
        for (size_t j = 0; err == WN_OK && j < i; j++)
            if (strcmp(r->target[j].name, t->name) == 0)
                err = wn_fail(WN_EARG, "%s: the name \"%s\" is used twice", where.p, t->name);
        wn_str_free(&where);
        WN_TRY(err);
    }
    return WN_OK;
}

wn_err wn_recipe_seed_list(uint64_t **seed, size_t *n, const json_t *list, const char *where)
{
    if (!json_is_array(list) || json_array_size(list) == 0)
        return wn_fail(WN_EARG, "%s: expected a list that is not empty", where);
    WN_NEW(*seed, json_array_size(list));
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *s = json_array_get(list, i);
        if (!json_is_integer(s) || json_integer_value(s) < 0)
            return wn_fail(WN_EARG, "%s: expected whole numbers that are not negative", where);
        for (size_t j = 0; j < i; j++)
            if ((*seed)[j] == (uint64_t)json_integer_value(s))
                return wn_fail(WN_EARG, "%s: %lld is there twice", where,
                               (long long)json_integer_value(s));
        (*seed)[(*n)++] = (uint64_t)json_integer_value(s);
    }
    return WN_OK;
}

static wn_err read_seeds(wn_recipe *r)
{
    json_t *v = json_object_get(r->tree, "seeds");
    wn_str where = {0};
    if (!v) {
        v = json_pack("[i, i, i]", 0, 1, 2);
        if (!v || json_object_set_new(r->tree, "seeds", v) != 0)
            return wn_fail_nomem(64, "recipe");
    }
    wn_str_printf(&where, "%s: seeds", r->path);
    wn_err err = wn_str_check(&where);
    if (err == WN_OK)
        err = wn_recipe_seed_list(&r->seed, &r->n_seeds, v, where.p);
    wn_str_free(&where);
    return err;
}

/* ---- arms ---- */

/* The arms that others are compared with; the first three take part unless `baselines: no`. */
static const char *const baselines[] = {"zero-shot", "random", "balanced-random", "all"};
enum { STANDARD_BASELINES = 3 };

/* Named where a recipe names none of them; select's table decides. A strategy added there joins
 * here. */
#define KNOWN_STRATEGIES                                                                           \
    "zero-shot, random, balanced-random, deft, gradex-fs, gradex-re, less, dsir, bm25, all"

static bool is_baseline(const char *strategy)
{
    for (size_t i = 0; i < sizeof baselines / sizeof *baselines; i++)
        if (strcmp(strategy, baselines[i]) == 0)
            return true;
    return false;
}

static wn_err finish_arm(wn_recipe_arm *a, const char *where)
{
    const wn_strategy *s;
    if (strcmp(a->strategy, "zero-shot") != 0) {
        if (wn_strategy_find(&s, a->strategy) != WN_OK)
            return wn_fail(WN_EARG, "%s: unknown strategy \"%s\"; known are " KNOWN_STRATEGIES,
                           where, a->strategy);
        a->uses_store = s->feature == WN_FEATURE_VECTORS;
        a->uses_text = s->feature == WN_FEATURE_TEXT;
        a->uses_grads = s->feature == WN_FEATURE_GRADIENTS;
        a->by_seed = s->seeded;
        a->fills = s->fills;
    }
    a->baseline = is_baseline(a->strategy);
    if (!a->name)
        a->name = a->strategy;
    if (a->budget && a->budget_tokens)
        return wn_fail(WN_EARG, "%s: %s has budget and budget_tokens; expected one", where,
                       a->name);
    return check_name(a->name, where, "arm");
}

static wn_err add_arm(wn_recipe *r, const wn_recipe_arm *a)
{
    for (size_t i = 0; i < r->n_arms; i++)
        if (strcmp(r->arm[i].name, a->name) == 0)
            return wn_fail(WN_EARG,
                           "%s: strategies: the arm \"%s\" is there twice; give one a name",
                           r->path, a->name);
    r->arm[r->n_arms++] = *a;
    return WN_OK;
}

/* An item is a strategy's name or a mapping; what it leaves open comes from the recipe's top. */
static wn_err read_arm(wn_recipe_arm *a, wn_recipe *r, json_t *item, const wn_recipe_arm *defaults)
{
    *a = *defaults;
    if (json_is_string(item)) {
        a->strategy = json_string_value(item);
    } else {
        wn_recipe_arm own = {0};
        WN_TRY(wn_section_read(&own, item, arm_fields, r->path, "strategies"));
        a->own_budget = own.budget || own.budget_tokens;
        if (a->own_budget)
            a->budget = a->budget_tokens = 0;
        WN_TRY(wn_section_read(a, item, arm_fields, r->path, "strategies"));
    }
    return finish_arm(a, r->path);
}

static bool has_strategy(const json_t *list, const char *name)
{
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *v = json_array_get(list, i);
        if (json_is_object(v))
            v = json_object_get(v, "strategy");
        if (json_is_string(v) && strcmp(json_string_value(v), name) == 0)
            return true;
    }
    return false;
}

static wn_err read_baselines(wn_recipe *r, const json_t *list, const wn_recipe_arm *defaults)
{
    const json_t *v = json_object_get(r->tree, "baselines");
    if (v && wn_yaml_truth(v) < 0)
        return wrong(r->path, "baselines", "yes or no");
    for (size_t i = 0; i < STANDARD_BASELINES && !(v && wn_yaml_truth(v) == 0); i++) {
        if (has_strategy(list, baselines[i]))
            continue;
        wn_recipe_arm a = *defaults;
        a.strategy = baselines[i];
        WN_TRY(finish_arm(&a, r->path));
        WN_TRY(add_arm(r, &a));
    }
    return WN_OK;
}

/* Baselines that the list names stand where the list has them; those it leaves out come first. */
static wn_err read_arms(wn_recipe *r)
{
    static const char *const keys[] = {"k",        "budget",   "budget_tokens",
                                       "per_task", "distance", "dedup"};
    json_t *list = NULL, *v = json_object_get(r->tree, "strategies"), *shared = json_object();
    wn_recipe_arm defaults = {0};
    if (!v) {
        v = json_pack("[s]", "deft");
        if (!v || json_object_set_new(r->tree, "strategies", v) != 0)
            v = NULL;
    }
    for (size_t i = 0; shared && i < sizeof keys / sizeof *keys; i++)
        if (json_object_get(r->tree, keys[i]))
            json_object_set(shared, keys[i], json_object_get(r->tree, keys[i]));
    if (shared)
        json_object_set_new(shared, "strategy", json_string("deft"));
    if (!v || !shared || json_object_set_new(r->tree, "(shared)", shared) != 0)
        return wn_fail_nomem(64, "recipe");
    WN_TRY(wn_section_read(&defaults, shared, arm_fields, r->path, r->path));
    WN_TRY(as_list(&list, r, "strategies", v));
    WN_NEW(r->arm, 2 * (json_array_size(list) + STANDARD_BASELINES)); /* few-shot arms too */
    WN_TRY(read_baselines(r, list, &defaults));
    for (size_t i = 0; i < json_array_size(list); i++) {
        wn_recipe_arm a;
        WN_TRY(read_arm(&a, r, json_array_get(list, i), &defaults));
        WN_TRY(add_arm(r, &a));
    }
    return WN_OK;
}

/* The estimates of gradex-* are read off margins, which are `quantity`'s default here. */
static wn_err read_gradients(wn_recipe *r)
{
    WN_TRY(sub_section(&r->gradients, r, "gradients", gradient_fields));
    for (size_t i = 0; i < r->n_arms; i++)
        r->gradients.there = r->gradients.there || r->arm[i].uses_grads;
    if (!r->gradients.o.quantity)
        r->gradients.o.quantity = "margin";
    if (r->gradients.there && r->train.method && strcmp(r->train.method, "ia3") == 0)
        return wn_fail(WN_EARG,
                       "%s: training: method ia3: strategies on gradients need lora or full",
                       r->path);
    return WN_OK;
}

/* eval's `key`, a text or a list of texts. */
static wn_err eval_texts(const char ***out, size_t *n, const wn_recipe *r, const char *key)
{
    json_t *v = json_object_get(json_object_get(r->tree, "eval"), key);
    size_t count = json_is_array(v) ? json_array_size(v) : v && !json_is_null(v);
    if (count == 0)
        return WN_OK;
    WN_NEW(*out, count);
    for (; *n < count; (*n)++) {
        (*out)[*n] = json_string_value(json_is_array(v) ? json_array_get(v, *n) : v);
        if (!(*out)[*n])
            return wn_fail(WN_EARG, "%s: eval: %s: expected a text or a list of texts", r->path,
                           key);
    }
    return WN_OK;
}

static wn_err read_eval(wn_recipe *r)
{
    WN_TRY(sub_section(&r->eval, r, "eval", eval_fields));
    WN_TRY(eval_texts(&r->eval_parse, &r->eval.n_parse, r, "parse"));
    r->eval.parse = r->eval_parse;
    WN_TRY(eval_texts(&r->eval_stop, &r->eval.n_stop, r, "stop"));
    r->eval.stop = r->eval_stop;
    return WN_OK;
}

static wn_err read_recipe(wn_recipe *r)
{
    if (!json_is_object(r->tree))
        return wn_fail(WN_EARG, "%s: expected a mapping", r->path);
    WN_TRY(wn_section_read(r, r->tree, top_fields, r->path, r->path));
    WN_TRY(read_pool(r));
    WN_TRY(read_targets(r));
    WN_TRY(read_seeds(r));
    WN_TRY(read_arms(r));
    WN_TRY(sub_section(&r->embed, r, "embed", embed_fields));
    WN_TRY(sub_section(&r->train, r, "training", wn_recipe_train_fields));
    WN_TRY(read_eval(r));
    WN_TRY(wn_recipe_read_few(r));
    WN_TRY(read_gradients(r));
    for (size_t i = 0; i < r->n_arms; i++)
        if (r->arm[i].uses_store && !r->encoder)
            return wn_fail(WN_EARG,
                           "%s: strategy %s needs an encoder; expected the key \"encoder\"",
                           r->path, r->arm[i].strategy);
    return WN_OK;
}

static wn_err open_recipe(wn_recipe *r, const char *path, bool absent)
{
    *r = (wn_recipe){.veto = true};
    WN_TRY(wn_yaml_load(&r->tree, path));
    r->path = path;
    wn_err err = absent ? wn_section_name_unset(r->tree) : WN_OK;
    if (err == WN_OK)
        err = read_recipe(r);
    if (err)
        wn_recipe_close(r);
    return err;
}

wn_err wn_recipe_open(wn_recipe *r, const char *path)
{
    return open_recipe(r, path, false);
}

wn_err wn_recipe_open_absent(wn_recipe *r, const char *path)
{
    return open_recipe(r, path, true);
}

void wn_recipe_close(wn_recipe *r)
{
    wn_free(r->sources);
    wn_free(r->eval_parse);
    wn_free(r->eval_stop);
    wn_free(r->target);
    wn_free(r->seed);
    for (size_t i = 0; i < r->n_arms; i++)
        if (r->arm[i].few)
            wn_free((void *)(uintptr_t)r->arm[i].name);
    wn_free(r->arm);
    wn_free(r->few.seed);
    json_decref(r->tree);
    *r = (wn_recipe){0};
}

size_t wn_recipe_reference(const wn_recipe *r)
{
    for (size_t i = 0; i < r->n_arms; i++) {
        const wn_recipe_arm *a = &r->arm[i];
        if (a->uses_store || ((a->uses_grads || a->uses_text) && !a->fills))
            return i;
    }
    return SIZE_MAX;
}

bool wn_recipe_uses_vectors(const wn_recipe *r)
{
    for (size_t i = 0; i < r->n_arms; i++)
        if (r->arm[i].uses_store)
            return true;
    return false;
}

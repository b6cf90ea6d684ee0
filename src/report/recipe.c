/* A section of a recipe is a table of its keys: the table reads it, says what is known when a key
 * is not, and is all one touches to add an option. Strings stay in the YAML tree, which the recipe
 * keeps; expanded paths are put back into it. */
#include "report/recipe.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/file.h"
#include "select/select.h"

enum kind {
    TEXT,
    PATH,         /* relative to the recipe, ${NAME} allowed */
    NAME_OR_PATH, /* a path if it looks like one */
    REAL,         /* double, >= 0 */
    WHOLE,        /* uint64_t */
    SIZE,         /* size_t */
    NUMBER,       /* int, >= 0 */
    FLAG,         /* bool */
    YES_NO,       /* a string "yes" or "no", written as YAML likes */
    COUNT_TEXT,   /* a string, or a whole number taken as one */
    OTHER         /* read elsewhere */
};

struct field {
    const char *key;
    enum kind kind;
    size_t offset;
    bool required;
};

#define FIELD(type, member, key, kind)                                                             \
    {                                                                                              \
        key, kind, offsetof(type, member), false                                                   \
    }

static const struct field top_fields[] = {
    FIELD(wn_recipe, title, "title", TEXT),
    {"pool", OTHER, 0, true},
    {"targets", OTHER, 0, true},
    FIELD(wn_recipe, encoder, "encoder", PATH),
    {"model", PATH, offsetof(wn_recipe, model), true},
    {"strategies", OTHER, 0, false},
    {"baselines", OTHER, 0, false},
    {"budget", OTHER, 0, false},
    {"budget_tokens", OTHER, 0, false},
    {"k", OTHER, 0, false},
    {"per_task", OTHER, 0, false},
    {"distance", OTHER, 0, false},
    {"dedup", OTHER, 0, false},
    FIELD(wn_recipe, veto, "veto", FLAG),
    {"seeds", OTHER, 0, false},
    {"embed", OTHER, 0, false},
    {"training", OTHER, 0, false},
    {"eval", OTHER, 0, false},
    {NULL, OTHER, 0, false},
};

static const struct field pool_fields[] = {
    {"sources", OTHER, 0, true},
    FIELD(wn_recipe, map, "map", NAME_OR_PATH),
    FIELD(wn_recipe, dedup, "dedup", TEXT),
    {NULL, OTHER, 0, false},
};

static const struct field target_fields[] = {
    {"name", TEXT, offsetof(wn_recipe_target, name), true},
    {"queries", PATH, offsetof(wn_recipe_target, queries), true},
    {"test", PATH, offsetof(wn_recipe_target, test), true},
    FIELD(wn_recipe_target, map, "map", NAME_OR_PATH),
    FIELD(wn_recipe_target, metric, "metric", TEXT),
    FIELD(wn_recipe_target, max_queries, "max_queries", WHOLE),
    FIELD(wn_recipe_target, max_test, "max_test", WHOLE),
    {NULL, OTHER, 0, false},
};

static const struct field arm_fields[] = {
    {"strategy", TEXT, offsetof(wn_recipe_arm, strategy), true},
    FIELD(wn_recipe_arm, name, "name", TEXT),
    FIELD(wn_recipe_arm, k, "k", WHOLE),
    FIELD(wn_recipe_arm, budget, "budget", WHOLE),
    FIELD(wn_recipe_arm, budget_tokens, "budget_tokens", WHOLE),
    FIELD(wn_recipe_arm, per_task, "per_task", WHOLE),
    FIELD(wn_recipe_arm, distance, "distance", TEXT),
    FIELD(wn_recipe_arm, dedup, "dedup", TEXT),
    {NULL, OTHER, 0, false},
};

static const struct field embed_fields[] = {
    FIELD(wn_embed_opts, pooling, "pooling", TEXT),
    FIELD(wn_embed_opts, normalize, "normalize", YES_NO),
    FIELD(wn_embed_opts, text, "text", TEXT),
    FIELD(wn_embed_opts, tmpl, "template", TEXT),
    FIELD(wn_embed_opts, layer, "layer", NUMBER),
    FIELD(wn_embed_opts, max_tokens, "max_tokens", SIZE),
    {NULL, OTHER, 0, false},
};

static const struct field train_fields[] = {
    FIELD(wn_train_opts, method, "method", TEXT),
    FIELD(wn_train_opts, epochs, "epochs", REAL),
    FIELD(wn_train_opts, steps, "steps", WHOLE),
    FIELD(wn_train_opts, lr, "lr", REAL),
    FIELD(wn_train_opts, batch, "batch", SIZE),
    FIELD(wn_train_opts, max_batch_tokens, "max_batch_tokens", SIZE),
    FIELD(wn_train_opts, optimizer, "optimizer", TEXT),
    FIELD(wn_train_opts, schedule, "schedule", TEXT),
    FIELD(wn_train_opts, warmup, "warmup", COUNT_TEXT),
    FIELD(wn_train_opts, clip_norm, "clip_norm", REAL),
    FIELD(wn_train_opts, clip_value, "clip_value", REAL),
    FIELD(wn_train_opts, weight_decay, "weight_decay", REAL),
    FIELD(wn_train_opts, dropout, "dropout", REAL),
    FIELD(wn_train_opts, shuffle, "shuffle", YES_NO),
    FIELD(wn_train_opts, rank, "rank", SIZE),
    FIELD(wn_train_opts, alpha, "alpha", REAL),
    FIELD(wn_train_opts, targets, "targets", TEXT),
    FIELD(wn_train_opts, save_every, "save_every", WHOLE),
    FIELD(wn_train_opts, max_tokens, "max_tokens", SIZE),
    FIELD(wn_train_opts, max_target, "max_target", SIZE),
    FIELD(wn_train_opts, tmpl, "template", TEXT),
    {NULL, OTHER, 0, false},
};

static const struct field eval_fields[] = {
    FIELD(wn_eval_opts, length_norm, "length_norm", TEXT),
    FIELD(wn_eval_opts, max_tokens, "max_tokens", SIZE),
    FIELD(wn_eval_opts, max_target, "max_target", SIZE),
    FIELD(wn_eval_opts, max_new, "max_new", SIZE),
    FIELD(wn_eval_opts, tmpl, "template", TEXT),
    {NULL, OTHER, 0, false},
};

/* ---- paths ---- */

/* ${NAME} from the environment; a name that is not set is an error. */
static wn_err expand(wn_str *out, const char *text, const char *where, const char *key)
{
    while (*text) {
        const char *open = strstr(text, "${"), *close = open ? strchr(open, '}') : NULL;
        if (!close) {
            wn_str_puts(out, text);
            break;
        }
        wn_str_add(out, text, (size_t)(open - text));
        char *name = wn_strndup(open + 2, (size_t)(close - open - 2));
        if (!name)
            return WN_ENOMEM;
        const char *value = getenv(name);
        wn_err err = value ? WN_OK
                           : wn_fail(WN_EARG, "%s: %s: the environment has no %s; expected a path",
                                     where, key, name);
        wn_free(name);
        WN_TRY(err);
        wn_str_puts(out, value);
        text = close + 1;
    }
    return wn_str_check(out);
}

static bool looks_like_path(const char *s)
{
    const char *dot = strrchr(s, '.');
    return strchr(s, '/') || strchr(s, '$') ||
           (dot && (strcmp(dot, ".yaml") == 0 || strcmp(dot, ".yml") == 0));
}

/* Replaces the string of the tree by the path it means. */
static wn_err resolve(json_t *string, const char *recipe, const char *key)
{
    wn_str text = {0}, full = {0};
    wn_err err = expand(&text, json_string_value(string), recipe, key);
    if (err == WN_OK && text.len == 0)
        err = wn_fail(WN_EARG, "%s: %s: expected a path, found none", recipe, key);
    if (err == WN_OK) {
        const char *slash = strrchr(recipe, '/');
        if (text.p[0] != '/' && slash)
            wn_str_add(&full, recipe, (size_t)(slash - recipe) + 1);
        wn_str_puts(&full, text.p);
        err = wn_str_check(&full);
    }
    if (err == WN_OK && json_string_setn(string, full.p, full.len) != 0)
        err = wn_fail(WN_EARG, "%s: %s: the path is not UTF-8", recipe, key);
    wn_str_free(&text);
    wn_str_free(&full);
    return err;
}

/* ---- tables ---- */

static wn_err check_keys(const json_t *o, const struct field *fields, const char *where)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)o, key, value)
    {
        const struct field *f = fields;
        while (f->key && strcmp(f->key, key) != 0)
            f++;
        if (f->key)
            continue;
        wn_str known = {0};
        for (f = fields; f->key; f++)
            wn_str_printf(&known, "%s%s", f == fields ? "" : ", ", f->key);
        wn_err err = wn_str_check(&known);
        if (err == WN_OK)
            err = wn_fail(WN_EARG, "%s: unknown key \"%s\"; known are %s", where, key, known.p);
        wn_str_free(&known);
        return err;
    }
    return WN_OK;
}

static wn_err wrong(const char *where, const char *key, const char *expected)
{
    return wn_fail(WN_EARG, "%s: %s: expected %s", where, key, expected);
}

/* YAML 1.2 reads yes and no as texts, true and false as truth values; people write either. -1:
 * neither. */
static int truth(const json_t *v)
{
    const char *s = json_string_value(v);
    if (json_is_boolean(v))
        return json_is_true(v);
    return !s ? -1 : strcmp(s, "yes") == 0 ? 1 : strcmp(s, "no") == 0 ? 0 : -1;
}

static wn_err read_text(void *to, json_t *o, json_t *v, const struct field *f, const char *recipe,
                        const char *where)
{
    if (f->kind == YES_NO && truth(v) >= 0) {
        json_object_set_new(o, f->key, json_string(truth(v) ? "yes" : "no"));
    } else if (f->kind == COUNT_TEXT && json_is_integer(v)) {
        char number[32];
        snprintf(number, sizeof number, "%lld", (long long)json_integer_value(v));
        json_object_set_new(o, f->key, json_string(number));
    } else if (!json_is_string(v) || f->kind == YES_NO) {
        return wrong(where, f->key, f->kind == YES_NO ? "yes or no" : "a text");
    }
    v = json_object_get(o, f->key);
    if (!v)
        return WN_ENOMEM;
    if (strlen(json_string_value(v)) != json_string_length(v))
        return wrong(where, f->key, "a text without zero bytes");
    if (f->kind == PATH || (f->kind == NAME_OR_PATH && looks_like_path(json_string_value(v))))
        WN_TRY(resolve(v, recipe, f->key));
    *(const char **)to = json_string_value(v);
    return WN_OK;
}

static wn_err read_number(void *to, const json_t *v, const struct field *f, const char *where)
{
    if (f->kind == REAL) {
        if (!json_is_number(v) || json_number_value(v) < 0)
            return wrong(where, f->key, "a number that is not negative");
        *(double *)to = json_number_value(v);
        return WN_OK;
    }
    if (!json_is_integer(v) || json_integer_value(v) < 0 ||
        (f->kind == NUMBER && json_integer_value(v) > 1000000))
        return wrong(where, f->key, "a whole number that is not negative");
    if (f->kind == WHOLE)
        *(uint64_t *)to = (uint64_t)json_integer_value(v);
    else if (f->kind == SIZE)
        *(size_t *)to = (size_t)json_integer_value(v);
    else
        *(int *)to = (int)json_integer_value(v);
    return WN_OK;
}

/* o: the section, NULL where the recipe has none; a null member counts as absent. */
static wn_err read_section(void *base, json_t *o, const struct field *fields, const char *recipe,
                           const char *where)
{
    if (o && !json_is_object(o))
        return wn_fail(WN_EARG, "%s: expected a mapping", where);
    if (o)
        WN_TRY(check_keys(o, fields, where));
    for (const struct field *f = fields; f->key; f++) {
        json_t *v = json_object_get(o, f->key);
        void *to = (char *)base + f->offset;
        if (!v || json_is_null(v)) {
            if (f->required)
                return wn_fail(WN_EARG, "%s: missing key \"%s\"", where, f->key);
            continue;
        }
        if (f->kind == FLAG) {
            if (truth(v) < 0)
                return wrong(where, f->key, "yes or no");
            *(bool *)to = truth(v);
        } else if (f->kind == REAL || f->kind == WHOLE || f->kind == SIZE || f->kind == NUMBER) {
            WN_TRY(read_number(to, v, f, where));
        } else if (f->kind != OTHER) {
            WN_TRY(read_text(to, o, v, f, recipe, where));
        }
    }
    return WN_OK;
}

static wn_err sub_section(void *base, wn_recipe *r, const char *key, const struct field *fields)
{
    wn_str where = {0};
    wn_str_printf(&where, "%s: %s", r->path, key);
    wn_err err = wn_str_check(&where);
    json_t *o = json_object_get(r->tree, key);
    if (err == WN_OK)
        err = read_section(base, json_is_null(o) ? NULL : o, fields, r->path, where.p);
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
        WN_TRY(resolve(s, r->path, "pool: sources"));
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
            err = read_section(t, o, target_fields, r->path, where.p);
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

static wn_err read_seeds(wn_recipe *r)
{
    json_t *v = json_object_get(r->tree, "seeds"), *list = NULL;
    if (!v) {
        v = json_pack("[i, i, i]", 0, 1, 2);
        if (!v || json_object_set_new(r->tree, "seeds", v) != 0)
            return wn_fail_nomem(64, "recipe");
    }
    WN_TRY(as_list(&list, r, "seeds", v));
    WN_NEW(r->seed, json_array_size(list));
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *s = json_array_get(list, i);
        if (!json_is_integer(s) || json_integer_value(s) < 0)
            return wrong(r->path, "seeds", "whole numbers that are not negative");
        for (size_t j = 0; j < i; j++)
            if (r->seed[j] == (uint64_t)json_integer_value(s))
                return wn_fail(WN_EARG, "%s: seeds: %lld is there twice", r->path,
                               (long long)json_integer_value(s));
        r->seed[r->n_seeds++] = (uint64_t)json_integer_value(s);
    }
    return WN_OK;
}

/* ---- arms ---- */

/* The arms that others are compared with; the first three take part unless `baselines: no`. */
static const char *const baselines[] = {"zero-shot", "random", "balanced-random", "all"};
enum { STANDARD_BASELINES = 3 };

/* Named where a recipe names none of them; select's table decides. A strategy added there joins
 * here. */
#define KNOWN_STRATEGIES "zero-shot, random, balanced-random, deft, all"

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
        a->by_seed = s->fills;
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
        WN_TRY(read_section(&own, item, arm_fields, r->path, "strategies"));
        a->own_budget = own.budget || own.budget_tokens;
        if (a->own_budget)
            a->budget = a->budget_tokens = 0;
        WN_TRY(read_section(a, item, arm_fields, r->path, "strategies"));
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
    if (v && truth(v) < 0)
        return wrong(r->path, "baselines", "yes or no");
    for (size_t i = 0; i < STANDARD_BASELINES && !(v && truth(v) == 0); i++) {
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
    WN_TRY(read_section(&defaults, shared, arm_fields, r->path, r->path));
    WN_TRY(as_list(&list, r, "strategies", v));
    WN_NEW(r->arm, json_array_size(list) + 3);
    WN_TRY(read_baselines(r, list, &defaults));
    for (size_t i = 0; i < json_array_size(list); i++) {
        wn_recipe_arm a;
        WN_TRY(read_arm(&a, r, json_array_get(list, i), &defaults));
        WN_TRY(add_arm(r, &a));
    }
    return WN_OK;
}

static wn_err read_recipe(wn_recipe *r)
{
    if (!json_is_object(r->tree))
        return wn_fail(WN_EARG, "%s: expected a mapping", r->path);
    WN_TRY(read_section(r, r->tree, top_fields, r->path, r->path));
    WN_TRY(read_pool(r));
    WN_TRY(read_targets(r));
    WN_TRY(read_seeds(r));
    WN_TRY(read_arms(r));
    WN_TRY(sub_section(&r->embed, r, "embed", embed_fields));
    WN_TRY(sub_section(&r->train, r, "training", train_fields));
    WN_TRY(sub_section(&r->eval, r, "eval", eval_fields));
    for (size_t i = 0; i < r->n_arms; i++)
        if (r->arm[i].uses_store && !r->encoder)
            return wn_fail(WN_EARG,
                           "%s: strategy %s needs an encoder; expected the key \"encoder\"",
                           r->path, r->arm[i].strategy);
    return WN_OK;
}

wn_err wn_recipe_open(wn_recipe *r, const char *path)
{
    *r = (wn_recipe){.veto = true};
    WN_TRY(wn_yaml_load(&r->tree, path));
    r->path = path;
    wn_err err = read_recipe(r);
    if (err)
        wn_recipe_close(r);
    return err;
}

void wn_recipe_close(wn_recipe *r)
{
    wn_free(r->sources);
    wn_free(r->target);
    wn_free(r->arm);
    wn_free(r->seed);
    json_decref(r->tree);
    *r = (wn_recipe){0};
}

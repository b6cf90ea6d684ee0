/* The few-shot stage of a recipe: each arm's model, trained further on some labelled rows of its
 * target (Ivison et al. 2022, arXiv 2212.00196, section 4.3: IA3 as in T-Few). It becomes arms of
 * its own, NAME+few-shot, whose selection is the shots. What a recipe leaves open is as published:
 * IA3, 1000 updates of 8 rows, Adafactor at 3e-3, 60 updates of warm-up, then linear, the
 * gradient's norm clipped at 1. */
#include <string.h>

#include "base/mem.h"
#include "report/recipe.h"
#include "report/section.h"

static const wn_field few_fields[] = {
    WN_FIELD(wn_recipe_few, rows, "rows", WN_KEY_WHOLE),
    WN_FIELD(wn_recipe_few, max_tokens, "max_tokens", WN_KEY_SIZE),
    {"seeds", WN_KEY_OTHER, 0, false},
    {"arms", WN_KEY_OTHER, 0, false},
    {"training", WN_KEY_OTHER, 0, false},
    {NULL, WN_KEY_OTHER, 0, false},
};

size_t wn_recipe_seeds(const wn_recipe *r, const wn_recipe_arm *a)
{
    return a->few ? r->few.n_seeds : wn_arm_is_zero_shot(a) ? 1 : r->n_seeds;
}

uint64_t wn_recipe_seed(const wn_recipe *r, const wn_recipe_arm *a, size_t s)
{
    return a->few ? r->few.seed[s] : r->seed[s];
}

bool wn_arm_is_zero_shot(const wn_recipe_arm *a)
{
    return !a->few && strcmp(a->strategy, "zero-shot") == 0;
}

static wn_err add(wn_recipe *r, size_t base)
{
    wn_str name = {0};
    wn_str_printf(&name, "%s+few-shot", r->arm[base].name);
    WN_TRY(wn_str_check(&name));
    r->arm[r->n_arms++] = (wn_recipe_arm){.name = name.p,
                                          .strategy = r->arm[base].strategy,
                                          .baseline = r->arm[base].baseline,
                                          .by_seed = true,
                                          .few = true,
                                          .base = base};
    return WN_OK;
}

static wn_err add_named(wn_recipe *r, const json_t *list, const char *where, size_t n)
{
    if (!json_is_array(list) || json_array_size(list) == 0)
        return wn_fail(WN_EARG, "%s: arms: expected a list that is not empty", where);
    for (size_t i = 0; i < json_array_size(list); i++) {
        const char *name = json_string_value(json_array_get(list, i));
        size_t a = 0;
        while (name && a < n && strcmp(r->arm[a].name, name) != 0)
            a++;
        if (!name || a == n)
            return wn_fail(WN_EARG, "%s: arms: expected names of this recipe's arms, found \"%s\"",
                           where, name ? name : "?");
        for (size_t b = n; b < r->n_arms; b++)
            if (r->arm[b].base == a)
                return wn_fail(WN_EARG, "%s: arms: \"%s\" is there twice", where, name);
        WN_TRY(add(r, a));
    }
    return WN_OK;
}

/* A recipe that says how long is not also told 1000 updates. */
static void published(wn_train_opts *t, const json_t *training)
{
    const char *method = json_string_value(json_object_get(training, "method"));
    bool ia3 = !method || strcmp(method, "ia3") == 0;
    *t = (wn_train_opts){.method = "ia3", .batch = 8, .clip_norm = 1, .warmup = "60"};
    if (!json_object_get(training, "epochs"))
        t->steps = 1000;
    else
        t->warmup = "6%";
    if (ia3) {
        t->optimizer = "adafactor";
        t->lr = 3e-3;
    }
}

static wn_err read_section(wn_recipe *r, json_t *few, const char *where)
{
    json_t *training = json_object_get(few, "training"), *seeds = json_object_get(few, "seeds");
    wn_str at = {0};
    WN_TRY(wn_section_read(&r->few, few, few_fields, r->path, where));
    published(&r->few.train, training);
    wn_str_printf(&at, "%s: training", where);
    wn_err e = wn_str_check(&at);
    if (!e)
        e = wn_section_read(&r->few.train, training, wn_recipe_train_fields, r->path, at.p);
    wn_str_clear(&at);
    wn_str_printf(&at, "%s: seeds", where);
    if (!e)
        e = wn_str_check(&at);
    if (!e)
        e = wn_recipe_seed_list(&r->few.seed, &r->few.n_seeds,
                                seeds ? seeds : json_object_get(r->tree, "seeds"), at.p);
    wn_str_free(&at);
    return e;
}

wn_err wn_recipe_read_few(wn_recipe *r)
{
    json_t *few = json_object_get(r->tree, "few_shot"), *arms = json_object_get(few, "arms");
    wn_str where = {0};
    size_t n = r->n_arms;
    if (!few || json_is_null(few))
        return WN_OK;
    wn_str_printf(&where, "%s: few_shot", r->path);
    wn_err e = wn_str_check(&where);
    if (!e)
        e = read_section(r, few, where.p);
    for (size_t t = 0; !e && t < r->n_targets; t++)
        if (!r->target[t].shots)
            e = wn_fail(WN_EARG, "%s: target %s has no shots; expected the key \"shots\"", where.p,
                        r->target[t].name);
    if (!e && arms)
        e = add_named(r, arms, where.p, n);
    for (size_t a = 0; !e && !arms && a < n; a++)
        e = add(r, a);
    r->few.there = !e;
    if (!e && r->few.max_tokens)
        r->few.train.max_tokens = r->few.max_tokens;
    wn_str_free(&where);
    return e;
}

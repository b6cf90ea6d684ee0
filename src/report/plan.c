#include "report/plan.h"

#include <string.h>

#include "base/mem.h"
#include "report/stamp.h"

const char *wn_stage_name(wn_part_kind k)
{
    static const char *const name[] = {"pool", "pool",   "embed", "embed", "train", "grad",
                                       "grad", "select", "train", "merge", "eval"};
    return name[k];
}

static wn_err add(wn_run *r, wn_part p, wn_str *name, wn_str *out)
{
    wn_err err = wn_str_check(name);
    if (err == WN_OK)
        err = wn_str_check(out);
    if (err == WN_OK && !WN_GROW(r->part, r->n_parts, r->parts_cap))
        err = WN_ENOMEM;
    if (err) {
        wn_str_free(name);
        wn_str_free(out);
        return err;
    }
    p.name = name->p;
    p.out = out->p;
    r->part[r->n_parts++] = p;
    return WN_OK;
}

static wn_err add_plain(wn_run *r, wn_part_kind k, const char *name, const char *file)
{
    wn_str n = {0}, out = {0};
    wn_str_puts(&n, name);
    wn_str_printf(&out, "%s/%s", r->dir, file);
    return add(r, (wn_part){.kind = k, .seed = WN_NO_SEED}, &n, &out);
}

/* A target's queries as vectors or as gradients. */
static wn_err add_queries(wn_run *r, size_t t, wn_part_kind k)
{
    wn_str n = {0}, out = {0};
    const char *target = r->recipe.target[t].name;
    bool vectors = k == WN_PART_EMBED_QUERIES;
    wn_str_printf(&n, "%s queries of %s", vectors ? "embed" : "gradients of", target);
    wn_str_printf(&out, "%s/stores/%s-%s", r->dir, vectors ? "queries" : "gradients", target);
    return add(
        r, (wn_part){.kind = k, .target = t, .seed = WN_NO_SEED, .work = r->target[t].n_queries},
        &n, &out);
}

/* One of select, train, merge, eval: DIR/targets/TARGET/STAGE/ARM[-SEED][.jsonl]. */
static wn_err add_arm(wn_run *r, wn_part_kind k, size_t t, size_t a, int seed)
{
    wn_str n = {0}, out = {0};
    const char *target = r->recipe.target[t].name, *arm = r->recipe.arm[a].name;
    const char *stage = wn_stage_name(k);
    wn_str_printf(&n, "%s %s", stage, arm);
    wn_str_printf(&out, "%s/targets/%s/%s/%s", r->dir, target, stage, arm);
    if (seed != WN_NO_SEED) {
        uint64_t s = wn_recipe_seed(&r->recipe, &r->recipe.arm[a], (size_t)seed);
        wn_str_printf(&n, " seed %llu", (unsigned long long)s);
        wn_str_printf(&out, "-%llu", (unsigned long long)s);
    }
    wn_str_printf(&n, " %s %s", k == WN_PART_SELECT ? "for" : "on", target);
    wn_str_puts(&out, k == WN_PART_TRAIN || k == WN_PART_MERGE ? "" : ".jsonl");
    return add(r,
               (wn_part){.kind = k,
                         .target = t,
                         .arm = a,
                         .seed = seed,
                         .work = k == WN_PART_EVAL ? r->target[t].n_test : 0},
               &n, &out);
}

static wn_err add_selections(wn_run *r, size_t t, size_t a)
{
    const wn_recipe_arm *arm = &r->recipe.arm[a];
    if (wn_arm_is_zero_shot(arm))
        return WN_OK;
    if (!arm->by_seed)
        return add_arm(r, WN_PART_SELECT, t, a, WN_NO_SEED);
    for (size_t s = 0; s < wn_recipe_seeds(&r->recipe, arm); s++)
        WN_TRY(add_arm(r, WN_PART_SELECT, t, a, (int)s));
    return WN_OK;
}

static const char *method_of(const wn_train_opts *o)
{
    return o->method ? o->method : "lora";
}

/* An adapter of another method cannot be trained on: it is merged first, once for each model. */
static wn_err add_start(wn_run *r, size_t t, size_t a, int seed)
{
    const wn_recipe *c = &r->recipe;
    const wn_part *start =
        wn_plan_start(r, &(wn_part){.kind = WN_PART_TRAIN, .target = t, .arm = a, .seed = seed});
    const char *before = method_of(&c->train), *after = method_of(&c->few.train);
    if (!start || strcmp(before, "full") == 0 || strcmp(before, after) == 0 ||
        wn_plan_find(r, WN_PART_MERGE, t, start->arm, start->seed))
        return WN_OK;
    return add_arm(r, WN_PART_MERGE, t, start->arm, start->seed);
}

/* The reference's selection comes before those that match its size. */
static wn_err add_target(wn_run *r, size_t t)
{
    const wn_recipe *c = &r->recipe;
    if (r->reference != SIZE_MAX)
        WN_TRY(add_selections(r, t, r->reference));
    for (size_t a = 0; a < c->n_arms; a++)
        if (a != r->reference)
            WN_TRY(add_selections(r, t, a));
    for (size_t a = 0; a < c->n_arms; a++) {
        if (wn_arm_is_zero_shot(&c->arm[a])) {
            WN_TRY(add_arm(r, WN_PART_EVAL, t, a, WN_NO_SEED));
            continue;
        }
        for (size_t s = 0; s < wn_recipe_seeds(c, &c->arm[a]); s++) {
            WN_TRY(add_start(r, t, a, (int)s));
            WN_TRY(add_arm(r, WN_PART_TRAIN, t, a, (int)s));
            WN_TRY(add_arm(r, WN_PART_EVAL, t, a, (int)s));
        }
    }
    return WN_OK;
}

static wn_err check_budgets(const wn_run *r)
{
    for (size_t a = 0; a < r->recipe.n_arms; a++) {
        const wn_recipe_arm *arm = &r->recipe.arm[a];
        if (arm->fills && r->reference == SIZE_MAX && !arm->budget && !arm->budget_tokens &&
            !arm->per_task)
            return wn_fail(WN_EARG,
                           "%s: %s has no budget, and there is no strategy whose size it "
                           "could match; expected budget or budget_tokens",
                           r->recipe.path, arm->name);
    }
    return WN_OK;
}

wn_err wn_plan_make(wn_run *r)
{
    bool vectors = wn_recipe_uses_vectors(&r->recipe);
    r->reference = wn_recipe_reference(&r->recipe);
    WN_TRY(check_budgets(r));
    WN_TRY(add_plain(r, WN_PART_POOL, "pool", "pool"));
    if (vectors && r->recipe.embed.map)
        WN_TRY(add_plain(r, WN_PART_POOL_EMBEDDED, "pool as it is embedded", "pool-embedded"));
    if (vectors)
        WN_TRY(add_plain(r, WN_PART_EMBED_POOL, "embed pool", "stores/pool"));
    if (r->recipe.gradients.there) {
        WN_TRY(add_plain(r, WN_PART_BASE, "train on the whole pool", "base"));
        WN_TRY(add_plain(r, WN_PART_GRAD_POOL, "gradients of the pool", "stores/gradients"));
    }
    for (size_t t = 0; t < r->recipe.n_targets; t++) { /* first: they are searched for together */
        if (vectors)
            WN_TRY(add_queries(r, t, WN_PART_EMBED_QUERIES));
        if (r->recipe.gradients.there)
            WN_TRY(add_queries(r, t, WN_PART_GRAD_QUERIES));
    }
    for (size_t t = 0; t < r->recipe.n_targets; t++)
        WN_TRY(add_target(r, t));
    return WN_OK;
}

void wn_plan_free(wn_run *r)
{
    for (size_t i = 0; i < r->n_parts; i++) {
        wn_free(r->part[i].name);
        wn_free(r->part[i].out);
    }
    wn_free(r->part);
    for (size_t i = 0; i < r->n_memo; i++)
        wn_free(r->memo[i].path);
    wn_free(r->memo);
    r->part = NULL;
    r->memo = NULL;
    r->n_parts = r->n_memo = r->parts_cap = r->memo_cap = 0;
}

const wn_part *wn_plan_find(const wn_run *r, wn_part_kind k, size_t target, size_t arm, int seed)
{
    for (size_t i = 0; i < r->n_parts; i++) {
        const wn_part *p = &r->part[i];
        bool any_target = k == WN_PART_POOL || k == WN_PART_POOL_EMBEDDED ||
                          k == WN_PART_EMBED_POOL || k == WN_PART_BASE || k == WN_PART_GRAD_POOL;
        bool any_arm = any_target || k == WN_PART_EMBED_QUERIES || k == WN_PART_GRAD_QUERIES;
        if (p->kind == k && (any_target || p->target == target) && (any_arm || p->arm == arm) &&
            (p->seed == WN_NO_SEED || p->seed == seed))
            return p;
    }
    return NULL;
}

const wn_part *wn_plan_start(const wn_run *r, const wn_part *p)
{
    const wn_recipe_arm *a = &r->recipe.arm[p->arm];
    if (!a->few || p->seed == WN_NO_SEED)
        return NULL;
    int seed = p->seed % (int)r->recipe.n_seeds;
    return wn_plan_find(r, WN_PART_TRAIN, p->target, a->base, seed);
}

wn_err wn_plan_shots(wn_str *path, const wn_run *r, size_t target, size_t s)
{
    const char *text = r->recipe.target[target].shots, *at;
    while ((at = strstr(text, "{seed}"))) {
        wn_str_add(path, text, (size_t)(at - text));
        wn_str_printf(path, "%llu", (unsigned long long)r->recipe.few.seed[s]);
        text = at + strlen("{seed}");
    }
    wn_str_puts(path, text);
    return wn_str_check(path);
}

wn_err wn_run_sha(const char **hex, wn_run *r, const char *path)
{
    for (size_t i = 0; i < r->n_memo; i++)
        if (strcmp(r->memo[i].path, path) == 0) {
            *hex = r->memo[i].hex;
            return WN_OK;
        }
    wn_sha_memo m = {0};
    WN_TRY(wn_tree_sha(m.hex, path));
    if (!WN_GROW(r->memo, r->n_memo, r->memo_cap))
        return WN_ENOMEM;
    m.path = wn_strdup(path);
    if (!m.path)
        return WN_ENOMEM;
    r->memo[r->n_memo++] = m;
    *hex = r->memo[r->n_memo - 1].hex;
    return WN_OK;
}

void wn_run_forget_sha(wn_run *r, const char *path)
{
    for (size_t i = 0; i < r->n_memo; i++)
        if (strcmp(r->memo[i].path, path) == 0) {
            wn_free(r->memo[i].path);
            r->memo[i] = r->memo[--r->n_memo];
            return;
        }
}

/* `winnow what-if`: what leaving groups out, or adding them, would do to the target by GradEx's
 * estimate; the interval is of the difference, both sets refitted on the same resampled rows. */
#include <string.h>

#include "base/interval.h"
#include "base/mem.h"
#include "io/file.h"
#include "io/json.h"
#include "select/surrogate.h"

enum { RESAMPLES = 200 };

struct job {
    const wn_what_if_opts *o;
    wn_store *store, *target;
    wn_pool *pool;
    wn_surrogate s;
    wn_subsets sets; /* before, after */
    double estimate[2], low[2], high[2];
    wn_logit_fact fact[2];
    double *all; /* [B, 2] */
    size_t B;
};

/* Names separated by commas; a name that has commas itself is found as it is. */
static wn_err take(uint8_t *member, const wn_groups *g, const char *names, const char *option,
                   uint8_t value)
{
    size_t len = strlen(names);
    uint32_t t = wn_groups_find(g, names, len);
    for (size_t at = 0; t == UINT32_MAX && at < len;) {
        size_t n = strcspn(names + at, ",");
        uint32_t one = wn_groups_find(g, names + at, n);
        if (one == UINT32_MAX)
            return wn_fail(WN_EARG, "%s: no group \"%.*s\" in the store (it has %u: %s, ...)",
                           option, (int)n, names + at, g->T, g->name[0]);
        member[one] = value;
        at += n + 1;
    }
    if (t != UINT32_MAX)
        member[t] = value;
    return WN_OK;
}

/* Before: --base, else all that --with does not add. After: with the additions, without the rest.
 */
static wn_err make_sets(struct job *j)
{
    const wn_what_if_opts *o = j->o;
    const wn_groups *g = &j->s.groups;
    for (int i = 0; i < 2; i++)
        if (!wn_subsets_add(&j->sets, g->T))
            return WN_ENOMEM;
    uint8_t *before = j->sets.member, *after = before + g->T;
    memset(before, !o->base, g->T);
    if (o->base)
        WN_TRY(take(before, g, o->base, "--base", 1));
    else if (o->with)
        WN_TRY(take(before, g, o->with, "--with", 0));
    memcpy(after, before, g->T);
    if (o->with)
        WN_TRY(take(after, g, o->with, "--with", 1));
    if (o->without)
        WN_TRY(take(after, g, o->without, "--without", 0));
    if (memcmp(before, after, g->T) == 0)
        return wn_fail(WN_EARG, "what-if: nothing changes: what is added is there already, what is "
                                "left out is not");
    return WN_OK;
}

static wn_err open_inputs(struct job *j)
{
    const wn_what_if_opts *o = j->o;
    if (!o->store || !o->target)
        return wn_fail(WN_EUSE, "what-if: %s is required", o->store ? "--target" : "--store");
    if (!o->with && !o->without)
        return wn_fail(WN_EUSE, "what-if: expected --with or --without");
    WN_TRY(wn_store_open(&j->store, o->store));
    WN_TRY(wn_store_open(&j->target, o->target));
    if (o->pool) {
        WN_TRY(wn_pool_open(&j->pool, o->pool, o->map, false));
        wn_pool_say_rejected(j->pool);
    }
    WN_TRY(wn_surrogate_open(&j->s, j->store, j->target, j->pool, NULL, &o->how, o->common.seed));
    return make_sets(j);
}

static wn_err estimate(struct job *j)
{
    j->B = j->o->bootstrap ? (size_t)j->o->bootstrap : RESAMPLES;
    WN_NEW(j->all, 2 * j->B);
    WN_TRY(wn_surrogate_estimate(j->estimate, j->fact, NULL, &j->s, j->sets.member, 2));
    return wn_surrogate_bootstrap(j->low, j->high, j->all, &j->s, j->sets.member, 2, j->B,
                                  j->o->common.seed);
}

/* ---- output ---- */

static json_t *side(const struct job *j, int i)
{
    const wn_groups *g = &j->s.groups;
    json_t *names = json_array();
    for (uint32_t t = 0; t < g->T; t++)
        if (j->sets.member[(size_t)i * g->T + t])
            json_array_append_new(names, json_string(g->name[t]));
    return json_pack("{s:o, s:f, s:[f, f], s:f}", "subset", names, "estimate", j->estimate[i],
                     "ci95", j->low[i], j->high[i], "rows", j->fact[i].rows);
}

static json_t *change(const struct job *j)
{
    double *d = wn_calloc(j->B, sizeof *d);
    if (!d)
        return NULL;
    for (size_t b = 0; b < j->B; b++)
        d[b] = j->all[2 * b + 1] - j->all[2 * b];
    double low, high;
    wn_interval95(&low, &high, d, j->B);
    wn_free(d);
    return json_pack("{s:f, s:[f, f], s:s}", "value", j->estimate[1] - j->estimate[0], "ci95", low,
                     high, "verdict",
                     high < 0  ? "better"
                     : low > 0 ? "worse"
                               : "cannot tell");
}

/* What verification found of estimates like these: the summary of an `estimate --verify`. */
static wn_err add_measured(json_t *out, const struct job *j)
{
    json_t *m;
    if (!j->o->verified)
        return WN_OK;
    WN_TRY(wn_json_load(&m, j->o->verified));
    json_t *v = json_object_get(m, "verify"), *inputs = json_object_get(m, "inputs");
    const char *store = json_string_value(json_object_get(inputs, "store")),
               *target = json_string_value(json_object_get(inputs, "target"));
    wn_err err = WN_OK;
    if (!json_is_object(v))
        err = wn_fail(WN_EARG, "%s: expected the manifest of an estimate with --verify",
                      j->o->verified);
    else if (!store || !target || strcmp(store, wn_store_sha(j->store)) != 0 ||
             strcmp(target, wn_store_sha(j->target)) != 0)
        err = wn_fail(WN_EARG, "%s: %s: expected the estimates of these stores, found others",
                      j->o->verified,
                      store && strcmp(store, wn_store_sha(j->store)) == 0 ? "target" : "store");
    if (err == WN_OK)
        json_object_set(out, "measured", v);
    json_decref(m);
    return err;
}

static wn_err write_text(char **json, const struct job *j)
{
    wn_str s = {0};
    json_t *out =
        json_pack("{s:f, s:o, s:o, s:o, s:o}", "start", j->s.begin, "before", side(j, 0), "after",
                  side(j, 1), "change", change(j), "how", wn_surrogate_about(&j->s, &j->o->how));
    wn_err err = out ? add_measured(out, j) : wn_fail_nomem(256, "what-if");
    if (err == WN_OK)
        err = wn_json_dump(&s, out, 2, false);
    json_decref(out);
    if (err == WN_OK)
        err = wn_str_check(&s);
    if (err != WN_OK) {
        wn_str_free(&s);
        return err;
    }
    *json = wn_strndup(s.p, s.len);
    wn_str_free(&s);
    return *json ? WN_OK : WN_ENOMEM;
}

wn_err wn_what_if_job(const wn_what_if_opts *o, char **json)
{
    struct job j = {.o = o};
    *json = NULL;
    wn_err err = open_inputs(&j);
    if (err == WN_OK)
        err = estimate(&j);
    if (err == WN_OK)
        err = write_text(json, &j);
    wn_surrogate_close(&j.s);
    wn_subsets_free(&j.sets);
    wn_pool_close(j.pool);
    wn_store_close(j.store);
    wn_store_close(j.target);
    wn_free(j.all);
    return err;
}

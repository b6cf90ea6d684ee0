/* What gradients need: a model trained on the whole pool, and the gradients of pool and queries
 * there (Li et al. 2024, arXiv 2409.19458: the multitask start). The whole pool is trained on once
 * for all targets, with the first seed. */
#include <string.h>

#include "report/plan.h"

static const char *out_of(const wn_run *r, wn_part_kind k)
{
    return wn_plan_find(r, k, 0, 0, WN_NO_SEED)->out;
}

static bool is_full(const wn_run *r)
{
    return r->recipe.train.method && strcmp(r->recipe.train.method, "full") == 0;
}

static wn_grad_opts grad_opts(const wn_run *r, const wn_part *p)
{
    const wn_train_opts *t = &r->recipe.train;
    const char *base = out_of(r, WN_PART_BASE);
    wn_grad_opts o = r->recipe.gradients.o;
    o.common = wn_part_common(r, p);
    o.model = is_full(r) ? base : r->recipe.model;
    o.adapter = is_full(r) ? NULL : base;
    o.pool = p->kind == WN_PART_GRAD_POOL ? out_of(r, WN_PART_POOL) : r->target[p->target].queries;
    o.tmpl = t->tmpl;
    o.system = t->system;
    o.max_tokens = t->max_tokens;
    o.max_target = t->max_target;
    o.loss_on_all = t->loss_on_all;
    return o;
}

static json_t *section(const wn_run *r, const char *name)
{
    const json_t *o = json_object_get(r->recipe.tree, name);
    return o ? json_deep_copy(o) : json_object();
}

wn_err wn_grad_part_key(json_t *options, json_t *inputs, wn_run *r, const wn_part *p)
{
    wn_grad_opts o = grad_opts(r, p);
    json_object_set_new(options, "training", section(r, "training"));
    if (p->kind == WN_PART_BASE) {
        json_object_set_new(options, "first seed", json_integer((json_int_t)r->recipe.seed[0]));
        WN_TRY(wn_part_input(inputs, r, "model", r->recipe.model));
        return wn_part_input(inputs, r, "data", out_of(r, WN_PART_POOL));
    }
    json_object_set_new(options, "gradients", section(r, "gradients"));
    WN_TRY(wn_part_input(inputs, r, "model", o.model));
    if (o.adapter)
        WN_TRY(wn_part_input(inputs, r, "adapter", o.adapter));
    return wn_part_input(inputs, r, "rows", o.pool);
}

wn_err wn_grad_part_do(wn_run *r, const wn_part *p)
{
    if (p->kind == WN_PART_BASE) {
        wn_train_opts o = r->recipe.train;
        o.common = wn_part_common(r, p);
        o.model = r->recipe.model;
        o.data = out_of(r, WN_PART_POOL);
        return wn_train_job(&o);
    }
    wn_grad_opts o = grad_opts(r, p);
    return wn_grad_job(&o);
}

#include "train/optim.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "kernel/kernel.h"
#include "train/rules.h"

static const char *const names[] = {"adamw", "adam", "adafactor", "sgd", "lion"};

/* ---- options -------------------------------------------------------------------------------
 */

static wn_err refuse(bool given, const char *option, const char *kind)
{
    return given ? wn_fail(WN_EUSE, "%s: optimizer %s does not have it", option, kind) : WN_OK;
}

static wn_err only_own(const wn_optim_opts *o, wn_optim_kind kind)
{
    const char *name = names[kind];
    bool factor = kind == WN_OPTIM_ADAFACTOR, sgd = kind == WN_OPTIM_SGD;
    WN_TRY(refuse(sgd && (o->beta1 != 0 || o->eps != 0), "beta1, eps", name));
    WN_TRY(refuse((sgd || factor) && o->beta2 != 0, "beta2", name));
    WN_TRY(refuse(kind == WN_OPTIM_LION && o->eps != 0, "eps", name));
    WN_TRY(refuse(!sgd && (o->momentum != 0 || o->nesterov), "momentum, nesterov", name));
    WN_TRY(refuse((sgd || factor) && o->eight_bit, "state 8bit", name));
    WN_TRY(refuse(!factor && (o->relative_step || o->warmup_init || o->plain_scale),
                  "relative-step, warmup-init, scale-parameter", name));
    WN_TRY(refuse(!factor && (o->clip_threshold != 0 || o->decay_rate != 0),
                  "clip-threshold, decay-rate", name));
    if (o->warmup_init && !o->relative_step)
        return wn_fail(WN_EUSE, "warmup-init: needs relative-step");
    if (o->nesterov && o->momentum == 0)
        return wn_fail(WN_EUSE, "nesterov: needs momentum");
    return WN_OK;
}

static void or_else(double *v, double fallback)
{
    *v = *v != 0 ? *v : fallback;
}

static wn_err settle(wn_optim_opts *o, wn_optim_kind *kind, const wn_optim_opts *given)
{
    int found = given->kind ? -1 : 0;
    for (int i = 0; given->kind && i < (int)(sizeof names / sizeof *names); i++)
        found = strcmp(given->kind, names[i]) == 0 ? i : found;
    if (found < 0)
        return wn_fail(WN_EUSE, "optimizer \"%s\": expected adamw, adam, adafactor, sgd or lion",
                       given->kind);
    *kind = (wn_optim_kind)found;
    *o = *given;
    o->kind = names[found];
    WN_TRY(only_own(o, *kind));
    if (!(o->beta1 >= 0 && o->beta1 < 1) || !(o->beta2 >= 0 && o->beta2 < 1) ||
        !(o->momentum >= 0 && o->momentum < 1))
        return wn_fail(WN_EUSE, "beta1, beta2, momentum: expected 0 or more, below 1");
    if (!(o->weight_decay >= 0) || !(o->eps >= 0) || !(o->clip_threshold >= 0) ||
        !(o->decay_rate >= 0))
        return wn_fail(WN_EUSE, "weight-decay, eps, clip-threshold, decay-rate: expected numbers "
                                "above or equal 0");
    if (*kind != WN_OPTIM_ADAFACTOR && *kind != WN_OPTIM_SGD)
        or_else(&o->beta1, 0.9);
    if (*kind != WN_OPTIM_ADAFACTOR && *kind != WN_OPTIM_SGD)
        or_else(&o->beta2, *kind == WN_OPTIM_LION ? 0.99 : 0.999);
    or_else(&o->eps, *kind == WN_OPTIM_ADAFACTOR ? 1e-30 : 1e-8);
    or_else(&o->clip_threshold, 1);
    or_else(&o->decay_rate, 0.8);
    return WN_OK;
}

wn_err wn_optim_check(const wn_optim_opts *opts)
{
    wn_optim_opts o;
    wn_optim_kind kind;
    return settle(&o, &kind, opts);
}

/* ---- memory --------------------------------------------------------------------------------
 */

static size_t elements(const wn_param *p)
{
    return p->rows * p->cols;
}

/* How many pieces or rows and columns the largest parameter has: the scratch of Adafactor. */
static void scratch_sizes(const wn_params *ps, size_t *part, size_t *factor)
{
    *part = *factor = 1;
    for (size_t i = 0; i < ps->n; i++) {
        const wn_param *p = &ps->p[i];
        size_t pieces = elements(p) / WN_RULE_PIECE + 2, sides = p->rows + p->cols;
        if (!p->trainable)
            continue;
        *part = pieces > *part ? pieces : *part;
        *factor = wn_factored(p) && sides > *factor ? sides : *factor;
    }
}

static wn_err moment_new(wn_moment *m, size_t n, bool eight_bit)
{
    if (!eight_bit) {
        WN_NEW(m->f, n);
        return WN_OK;
    }
    WN_NEW(m->code, n);
    WN_NEW(m->scale, wn_blocks(n));
    return WN_OK;
}

static wn_err state_new(wn_optim_state *s, const wn_optim *o, const wn_param *p)
{
    size_t n = elements(p);
    bool eight = o->o.eight_bit, factor = o->kind == WN_OPTIM_ADAFACTOR;
    if (o->kind == WN_OPTIM_SGD ? o->o.momentum > 0 : !factor || o->o.beta1 > 0)
        WN_TRY(moment_new(&s->m, n, eight));
    if (factor && wn_factored(p)) {
        WN_NEW(s->row, p->rows);
        WN_NEW(s->col, p->cols);
    } else if (o->kind != WN_OPTIM_SGD && o->kind != WN_OPTIM_LION) {
        WN_TRY(moment_new(&s->v, n, eight));
    }
    return WN_OK;
}

wn_err wn_optim_init(wn_optim *o, const wn_optim_opts *opts, const wn_params *ps)
{
    size_t part, factor;
    *o = (wn_optim){.n = ps->n};
    WN_TRY(settle(&o->o, &o->kind, opts));
    WN_NEW(o->state, ps->n);
    for (size_t i = 0; i < ps->n; i++)
        if (ps->p[i].trainable)
            WN_TRY(state_new(&o->state[i], o, &ps->p[i]));
    if (o->kind != WN_OPTIM_ADAFACTOR)
        return WN_OK;
    scratch_sizes(ps, &part, &factor);
    WN_NEW(o->part, part);
    WN_NEW(o->factor, factor);
    return WN_OK;
}

size_t wn_optim_bytes(const wn_optim_opts *opts, const wn_params *ps)
{
    size_t part, factor, bytes = 0;
    wn_optim o = {0};
    if (settle(&o.o, &o.kind, opts) != WN_OK)
        return 0;
    bool adafactor = o.kind == WN_OPTIM_ADAFACTOR,
         has_v = o.kind != WN_OPTIM_SGD && o.kind != WN_OPTIM_LION;
    bool has_m = o.kind == WN_OPTIM_SGD ? o.o.momentum > 0 : !adafactor || o.o.beta1 > 0;
    for (size_t i = 0; i < ps->n; i++) {
        const wn_param *p = &ps->p[i];
        size_t n = elements(p),
               one = o.o.eight_bit ? n + wn_blocks(n) * sizeof(float) : n * sizeof(float);
        if (!p->trainable)
            continue;
        bytes += has_m ? one : 0;
        if (adafactor && wn_factored(p))
            bytes += (p->rows + p->cols) * sizeof(float);
        else
            bytes += has_v ? one : 0;
    }
    scratch_sizes(ps, &part, &factor);
    return bytes + (adafactor ? part * sizeof(double) + factor * sizeof(float) : 0);
}

static void moment_free(wn_moment *m)
{
    wn_free(m->f);
    wn_free(m->code);
    wn_free(m->scale);
}

void wn_optim_free(wn_optim *o)
{
    for (size_t i = 0; o->state && i < o->n; i++) {
        moment_free(&o->state[i].m);
        moment_free(&o->state[i].v);
        wn_free(o->state[i].row);
        wn_free(o->state[i].col);
    }
    wn_free(o->state);
    wn_free(o->part);
    wn_free(o->factor);
    *o = (wn_optim){0};
}

size_t wn_optim_slots(wn_optim_slot slot[WN_OPTIM_SLOTS], const wn_optim *o, const wn_param *p,
                      size_t i)
{
    const wn_optim_state *s = &o->state[i];
    size_t n = elements(p), blocks = wn_blocks(n), k = 0;
    const wn_optim_slot all[] = {
        {"m", false, s->m.f, n},         {"v", false, s->v.f, n},
        {"row", false, s->row, p->rows}, {"col", false, s->col, p->cols},
        {"m8", true, s->m.code, n},      {"m8s", false, s->m.scale, blocks},
        {"v8", true, s->v.code, n},      {"v8s", false, s->v.scale, blocks},
    };
    for (size_t a = 0; a < sizeof all / sizeof *all; a++)
        if (all[a].data)
            slot[k++] = all[a];
    return k;
}

/* ---- a step --------------------------------------------------------------------------------
 */

void wn_optim_step(wn_optim *o, wn_params *ps, double lr, double scale, double clip_value)
{
    o->t++;
    for (size_t i = 0; i < ps->n; i++) {
        wn_param *p = &ps->p[i];
        if (!p->trainable)
            continue;
        wn_rule r = {.o = o,
                     .p = p,
                     .s = &o->state[i],
                     .index = i,
                     .lr = (float)lr,
                     .decay = p->decay ? (float)o->o.weight_decay : 0,
                     .scale = (float)scale,
                     .clip = (float)clip_value,
                     .c1 = 1 - pow(o->o.beta1, (double)o->t),
                     .c2 = 1 - pow(o->o.beta2, (double)o->t)};
        if (o->kind == WN_OPTIM_ADAFACTOR)
            wn_rule_adafactor(&r);
        else
            wn_rule_elements(&r);
    }
}

double wn_grad_norm(const wn_params *ps)
{
    double sum = 0;
    for (size_t i = 0; i < ps->n; i++)
        if (ps->p[i].trainable)
            sum += wn_sum_squares(ps->p[i].grad, elements(&ps->p[i]));
    return sqrt(sum);
}

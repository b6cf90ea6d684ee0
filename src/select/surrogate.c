#include "select/surrogate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/interval.h"
#include "base/mem.h"
#include "base/report.h"
#include "base/rng.h"
#include "kernel/kernel.h"
#include "search/search.h"
#include "select/task_step.h"

enum { FOLDS = 5 };
#define RIDGE      0.01
#define C          1e-4
#define COIN_SHARE 0.7 /* of the signs that are +1, as the authors draw them */

size_t wn_surrogate_width(const wn_surrogate *s)
{
    return wn_logit_width(&s->rows);
}

static bool is_mode(const wn_surrogate_opts *o, const char *mode)
{
    return strcmp(o->mode ? o->mode : "clean", mode) == 0;
}

/* ---- checks ---- */

static wn_err check_opts(const wn_surrogate_opts *o)
{
    bool ref = is_mode(o, "ref");
    if (!ref && !is_mode(o, "clean") && !is_mode(o, "step"))
        return wn_fail(WN_EARG, "--mode: expected clean, ref or step, found %s", o->mode);
    if (!ref && (o->c != 0 || o->coin || o->intercept || o->first != 0))
        return wn_fail(WN_EUSE, "--c, --coin, --intercept, --first: only in --mode ref");
    if (!is_mode(o, "clean") && o->ridge)
        return wn_fail(WN_EUSE, "--ridge: only in --mode clean");
    if (!is_mode(o, "step") && o->step_size != 0)
        return wn_fail(WN_EUSE, "--step-size: only in --mode step");
    if (!(o->c >= 0) || !(o->step_size >= 0) || !isfinite(o->c) || !isfinite(o->step_size))
        return wn_fail(WN_EARG, "--c, --step-size: expected numbers above 0");
    if (!(o->first >= 0 && o->first <= 1))
        return wn_fail(WN_EARG, "--first: expected a share from 0 to 1, found %g", o->first);
    if (o->intercept && strcmp(o->intercept, "yes") != 0 && strcmp(o->intercept, "no") != 0)
        return wn_fail(WN_EARG, "--intercept: expected yes or no, found %s", o->intercept);
    return WN_OK;
}

static wn_err check_quantity(const wn_store *s)
{
    const json_t *m = wn_store_manifest(s), *q = json_object_get(m, "quantity");
    if (!q)
        q = json_object_get(json_object_get(m, "options"), "quantity");
    if (json_is_string(q) && strncmp(json_string_value(q), "margin", 6) != 0)
        return wn_fail(WN_EARG, "%s: quantity: expected gradients of a margin, found %s",
                       wn_store_path(s), json_string_value(q));
    return WN_OK;
}

static wn_err check_row(const wn_store *s, uint64_t row, bool margin)
{
    wn_span id = wn_store_id(s, row);
    if (!wn_all_finite(wn_store_vector(s, row), wn_store_dim(s)))
        return wn_fail(WN_EFORMAT, "%s: row %.*s: its gradient holds NaN or infinity",
                       wn_store_path(s), (int)id.len, id.p);
    if (margin && !isfinite(wn_store_margin(s, row)))
        return wn_fail(WN_EFORMAT, "%s: row %.*s: margin: expected a finite number, found %s",
                       wn_store_path(s), (int)id.len, id.p,
                       isnan(wn_store_margin(s, row)) ? "none" : "infinity");
    return WN_OK;
}

static wn_err margins(double **out, const wn_store *s, const uint64_t *at, uint64_t N, bool wanted)
{
    *out = NULL;
    if (wanted)
        WN_NEW(*out, N + 1);
    for (uint64_t i = 0; i < N; i++) {
        WN_TRY(check_row(s, at[i], wanted));
        if (wanted)
            (*out)[i] = wn_store_margin(s, at[i]);
    }
    return WN_OK;
}

/* ---- rows ---- */

static int by_position(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* The first share of each group's rows in the store's order, which is what the authors' scripts
 * fit. */
static wn_err cut_rows(wn_surrogate *s, double share)
{
    wn_groups *g = &s->groups;
    uint64_t n = 0, *order;
    WN_NEW(order, g->N + 1);
    for (uint32_t t = 0; t < g->T; t++) {
        uint64_t rows = g->start[t + 1] - g->start[t], begin = n;
        uint64_t most = (uint64_t)floor(share * (double)rows + 1e-9);
        memcpy(order, g->at + g->start[t], rows * sizeof *order);
        qsort(order, rows, sizeof *order, by_position);
        for (uint64_t i = g->start[t]; i < g->start[t + 1]; i++)
            if (most && g->at[i] <= order[most - 1])
                g->at[n++] = g->at[i];
        g->start[t] = begin;
    }
    g->start[g->T] = g->N = n;
    wn_free(order);
    return n ? WN_OK
             : wn_fail(WN_EARG, "--first %g: leaves no row of %s", share, wn_store_path(s->store));
}

static uint64_t id_hash(const wn_store *s, uint64_t row)
{
    wn_span id = wn_store_id(s, row);
    uint64_t h = 14695981039346656037u; /* FNV-1a */
    for (size_t i = 0; i < id.len; i++)
        h = (h ^ (unsigned char)id.p[i]) * 1099511628211u;
    return h;
}

/* The intercept's feature: ones, or a sign a row, drawn for its id. */
static wn_err make_extra(wn_surrogate *s, bool coin, uint64_t seed)
{
    WN_NEW(s->extra, s->groups.N + 1);
    for (uint64_t i = 0; i < s->groups.N; i++)
        s->extra[i] = !coin || wn_rng_uniform(seed, WN_STREAM_COIN,
                                              id_hash(s->store, s->groups.at[i])) < COIN_SHARE
                          ? 1
                          : -1;
    return WN_OK;
}

static wn_err make_rows(wn_surrogate *s, const wn_surrogate_opts *o, uint64_t seed)
{
    bool ref = is_mode(o, "ref");
    if (o->first != 0 && o->first < 1)
        WN_TRY(cut_rows(s, o->first));
    const wn_groups *g = &s->groups;
    WN_TRY(margins(&s->offset, s->store, g->at, g->N, !ref));
    if (ref && (o->intercept ? strcmp(o->intercept, "yes") == 0 : o->coin))
        WN_TRY(make_extra(s, o->coin, seed));
    s->rows = (wn_logit_data){.x = wn_store_vector(s->store, 0),
                              .d = wn_store_dim(s->store),
                              .N = g->N,
                              .at = g->at,
                              .offset = s->offset,
                              .extra = s->extra,
                              .start = g->start,
                              .T = g->T};
    return WN_OK;
}

/* The target's rows are one group, by id. */
static wn_err make_aim(wn_surrogate *s)
{
    wn_groups g;
    WN_TRY(wn_groups_make(&g, s->target, "all", NULL, NULL, 0));
    s->aim_at = g.at;
    s->aim_start = g.start;
    g.at = g.start = NULL;
    uint64_t N = g.N;
    wn_groups_free(&g);
    WN_TRY(margins(&s->aim_offset, s->target, s->aim_at, N, true));
    s->aim = (wn_logit_data){.x = wn_store_vector(s->target, 0),
                             .d = wn_store_dim(s->target),
                             .N = N,
                             .at = s->aim_at,
                             .offset = s->aim_offset,
                             .start = s->aim_start,
                             .T = 1};
    return WN_OK;
}

/* ---- ridge ---- */

/* Held-out loss of all rows together, FOLDS-fold, folds by id. */
static wn_err held_out(double *loss, wn_surrogate *s, double ridge, uint64_t seed)
{
    const wn_logit_data *d = &s->rows;
    const wn_logit_rule rule = {.mean = true, .l2 = 2 * ridge};
    wn_logit *l;
    double *in = wn_calloc(d->N + 1, sizeof *in), *out = wn_calloc(d->N + 1, sizeof *out);
    double *w = wn_calloc(d->d + 1, sizeof *w);
    uint8_t *all = wn_calloc(d->T + 1, 1);
    wn_err err = in && out && w && all ? wn_logit_new(&l, d, &rule) : WN_ENOMEM;
    if (err == WN_OK) {
        memset(all, 1, d->T);
        *loss = 0;
        for (int fold = 0; fold < FOLDS && err == WN_OK; fold++) {
            double rows = 0, one = 0;
            for (uint64_t i = 0; i < d->N; i++) {
                uint64_t r = wn_rng_u64(seed, WN_STREAM_FOLD, id_hash(s->store, d->at[i])) % FOLDS;
                in[i] = r != (uint64_t)fold;
                rows += out[i] = r == (uint64_t)fold;
            }
            if (rows == 0 || rows == (double)d->N)
                continue;
            err = wn_logit_fit(w, NULL, l, all, 1, in, fold > 0);
            if (err == WN_OK)
                err = wn_logit_loss(&one, d, w, d->d, 1, out);
            *loss += one * rows;
        }
        *loss /= (double)d->N;
        wn_logit_free(l);
    }
    wn_free(in);
    wn_free(out);
    wn_free(w);
    wn_free(all);
    return err;
}

/* The best of a grid of half decades; ties to the larger. */
static wn_err cross_validate(wn_surrogate *s, uint64_t seed)
{
    static const double grid[] = {10, 3, 1, 0.3, 0.1, 0.03, 0.01, 3e-3, 1e-3, 3e-4, 1e-4};
    enum { N = sizeof grid / sizeof *grid };
    double best = INFINITY, loss;
    for (size_t i = 0; i < N; i++) {
        WN_TRY(held_out(&loss, s, grid[i], seed));
        if (loss < best * (1 - 1e-9)) {
            best = loss;
            s->ridge = grid[i];
        }
        WN_TRY(wn_progress("ridge", "values", i + 1, N, NULL));
    }
    wn_message("ridge %g: held-out loss %.6g, the smallest of %d values", s->ridge, best, N);
    return WN_OK;
}

static wn_err make_rule(wn_surrogate *s, const wn_surrogate_opts *o, uint64_t seed)
{
    if (is_mode(o, "ref")) {
        s->rule = (wn_logit_rule){.c = o->c != 0 ? o->c : C, .l2 = 1};
        return WN_OK;
    }
    s->ridge = RIDGE;
    if (o->ridge && strcmp(o->ridge, "cv") == 0) {
        WN_TRY(cross_validate(s, seed));
    } else if (o->ridge) {
        char *end;
        s->ridge = strtod(o->ridge, &end);
        if (*end || end == o->ridge || !(s->ridge > 0) || !isfinite(s->ridge))
            return wn_fail(WN_EUSE, "--ridge: expected a number above 0 or cv, found %s", o->ridge);
    }
    s->rule = (wn_logit_rule){.mean = true, .l2 = 2 * s->ridge};
    return WN_OK;
}

/* ---- all of it ---- */

static wn_err prepare(wn_surrogate *s, wn_pool *pool, const uint64_t *skip,
                      const wn_surrogate_opts *o, uint64_t seed)
{
    WN_TRY(check_opts(o));
    WN_TRY(wn_store_match(s->store, s->target));
    WN_TRY(wn_store_verify_all(s->store));
    WN_TRY(wn_store_verify_all(s->target));
    WN_TRY(check_quantity(s->store));
    WN_TRY(check_quantity(s->target));
    if (!is_mode(o, "step") && wn_store_dim(s->store) > WN_LOGIT_DIM_MAX)
        return wn_fail(WN_EARG,
                       "%s: dim %zu: expected at most %d for a regression; project to fewer, or "
                       "--mode step",
                       wn_store_path(s->store), wn_store_dim(s->store), WN_LOGIT_DIM_MAX);
    WN_TRY(wn_groups_make(&s->groups, s->store, o->groups, pool, skip, seed));
    WN_TRY(make_rows(s, o, seed));
    WN_TRY(make_aim(s));
    double *zero;
    WN_NEW(zero, s->rows.d + 1);
    wn_err err = wn_logit_loss(&s->begin, &s->aim, zero, s->rows.d, 1, NULL);
    wn_free(zero);
    WN_TRY(err);
    if (is_mode(o, "step")) {
        s->step = o->step_size != 0 ? o->step_size : 1;
        return wn_task_steps(&s->step_margin, &s->rows, &s->aim);
    }
    WN_TRY(make_rule(s, o, seed));
    return wn_logit_new(&s->logit, &s->rows, &s->rule);
}

wn_err wn_surrogate_open(wn_surrogate *s, const wn_store *store, const wn_store *target,
                         wn_pool *pool, const uint64_t *skip, const wn_surrogate_opts *o,
                         uint64_t seed)
{
    *s = (wn_surrogate){.store = store, .target = target};
    wn_err err = prepare(s, pool, skip, o, seed);
    if (err != WN_OK)
        wn_surrogate_close(s);
    return err;
}

void wn_surrogate_close(wn_surrogate *s)
{
    wn_logit_free(s->logit);
    wn_groups_free(&s->groups);
    wn_free(s->offset);
    wn_free(s->extra);
    wn_free(s->aim_offset);
    wn_free(s->aim_at);
    wn_free(s->aim_start);
    wn_free(s->step_margin);
    *s = (wn_surrogate){0};
}

wn_err wn_surrogate_estimate(double *estimate, wn_logit_fact *fact, double *w, wn_surrogate *s,
                             const uint8_t *member, size_t M)
{
    for (size_t m = 0; !s->logit && w && m < M; m++)
        wn_task_step_direction(w + m * s->rows.d, &s->rows, s->step, member + m * s->groups.T);
    if (!s->logit)
        return wn_task_step_estimate(estimate, fact, s->step_margin, &s->rows, &s->aim, s->step,
                                     member, M, NULL);
    size_t D = wn_surrogate_width(s);
    double *own = NULL;
    if (!w)
        WN_NEW(own, M * D + 1);
    w = w ? w : own;
    wn_err err = wn_logit_fit(w, fact, s->logit, member, M, NULL, false);
    if (err == WN_OK)
        err = wn_logit_loss(estimate, &s->aim, w, D, M, NULL);
    wn_free(own);
    return err;
}

/* ---- bootstrap ---- */

/* How often each row is drawn: as many draws as a group has rows. */
static void draw_counts(double *weight, const wn_logit_data *d, uint64_t seed, uint64_t resample)
{
    wn_rng rng = {seed, WN_STREAM_BOOTSTRAP, resample << 34};
    memset(weight, 0, d->N * sizeof *weight);
    for (uint32_t t = 0; t < d->T; t++) {
        uint64_t n = d->start[t + 1] - d->start[t];
        for (uint64_t i = 0; i < n; i++)
            weight[d->start[t] + wn_rng_below(&rng, n)]++;
    }
}

struct resample {
    double *w, *again, *weight, *aim, *all, *column;
};

static wn_err resample_all(struct resample *r, wn_surrogate *s, const uint8_t *member, size_t M,
                           size_t B, uint64_t seed)
{
    size_t D = wn_surrogate_width(s);
    if (s->logit)
        WN_TRY(wn_logit_fit(r->w, NULL, s->logit, member, M, NULL, false));
    for (size_t b = 0; b < B; b++) {
        draw_counts(r->aim, &s->aim, seed, 2 * b);
        if (s->logit) {
            draw_counts(r->weight, &s->rows, seed, 2 * b + 1);
            memcpy(r->again, r->w, M * D * sizeof *r->w);
            WN_TRY(wn_logit_fit(r->again, NULL, s->logit, member, M, r->weight, true));
            WN_TRY(wn_logit_loss(r->all + b * M, &s->aim, r->again, D, M, r->aim));
        } else {
            WN_TRY(wn_task_step_estimate(r->all + b * M, NULL, s->step_margin, &s->rows, &s->aim,
                                         s->step, member, M, r->aim));
        }
        WN_TRY(wn_progress("bootstrap", "resamples", b + 1, B, NULL));
    }
    return WN_OK;
}

wn_err wn_surrogate_bootstrap(double *low, double *high, double *all, wn_surrogate *s,
                              const uint8_t *member, size_t M, size_t B, uint64_t seed)
{
    size_t D = wn_surrogate_width(s), wide = s->logit ? M * D + 1 : 1;
    struct resample r = {.w = wn_calloc(wide, sizeof(double)),
                         .again = wn_calloc(wide, sizeof(double)),
                         .weight = wn_calloc(s->rows.N + 1, sizeof(double)),
                         .aim = wn_calloc(s->aim.N + 1, sizeof(double)),
                         .all = wn_calloc(B * M + 1, sizeof(double)),
                         .column = wn_calloc(B + 1, sizeof(double))};
    wn_err err = r.w && r.again && r.weight && r.aim && r.all && r.column
                     ? resample_all(&r, s, member, M, B, seed)
                     : WN_ENOMEM;
    for (size_t j = 0; j < M && err == WN_OK; j++) {
        for (size_t b = 0; b < B; b++)
            r.column[b] = r.all[b * M + j];
        wn_interval95(&low[j], &high[j], r.column, B);
    }
    if (all && err == WN_OK)
        memcpy(all, r.all, B * M * sizeof *all);
    wn_free(r.w);
    wn_free(r.again);
    wn_free(r.weight);
    wn_free(r.aim);
    wn_free(r.all);
    wn_free(r.column);
    return err;
}

json_t *wn_surrogate_about(const wn_surrogate *s, const wn_surrogate_opts *o)
{
    json_t *m =
        json_pack("{s:s, s:s, s:I, s:I, s:I, s:f}", "mode", o->mode ? o->mode : "clean", "groups",
                  o->groups ? o->groups : "task", "group_count", (json_int_t)s->groups.T, "rows",
                  (json_int_t)s->rows.N, "target_rows", (json_int_t)s->aim.N, "start", s->begin);
    if (is_mode(o, "clean"))
        json_object_set_new(m, "ridge", json_real(s->ridge));
    if (is_mode(o, "step"))
        json_object_set_new(m, "step_size", json_real(s->step));
    if (!is_mode(o, "ref"))
        return m;
    json_object_set_new(m, "c", json_real(s->rule.c));
    json_object_set_new(m, "coin", json_boolean(o->coin));
    json_object_set_new(m, "intercept", json_boolean(s->extra != NULL));
    json_object_set_new(m, "first", json_real(o->first != 0 ? o->first : 1));
    return m;
}

/* less: the rows whose gradients point where the target's do (Xia et al. 2024, arXiv 2402.04333,
 * section 4; score and rule as their code has them):
 *
 *   score(z) = max over target tasks j of mean over queries q in j of sum over checkpoints t of
 *              weight_t * cos(x_t(z), x_t(q))
 *
 * --metric ip takes inner products, the plain mean-gradient score. Weights (their average learning
 * rates) are normalised to sum 1. What the features are is the stores' business: Adam's steps of
 * rows against queries' plain gradients of the loss are LESS, gradients of a margin on both sides
 * GradEx's baseline. Since gradients
 * only meet queries as sums over them, a row costs one inner product a task and checkpoint. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/par.h"
#include "kernel/kernel.h"
#include "select/dense64.h"
#include "select/select.h"

enum { PIECE = 256 };

/* One checkpoint. */
struct point {
    wn_store *store, *queries;
    bool borrowed;
    double weight;
    uint64_t *row; /* [N] of the candidates; NULL: the same */
    double *aim;   /* [J, d] mean of the target tasks' (unit) gradients */
};

struct less {
    const wn_candidates *c;
    struct point *point;
    size_t n, J; /* checkpoints, target tasks */
    bool cosine;
    double *norm;  /* [threads, n] of the row at hand at each checkpoint; 1 without cosine */
    double *score; /* [N] */
};

/* ---- further checkpoints: STORE,QUERIES[,WEIGHT] ---- */

static wn_err split(char *part[3], char *text, const char *given)
{
    part[0] = text;
    part[1] = strchr(text, ',');
    part[2] = part[1] ? strchr(part[1] + 1, ',') : NULL;
    if (!part[1])
        return wn_fail(WN_EUSE, "--checkpoint: expected STORE,QUERIES[,WEIGHT], found %s", given);
    for (int i = 1; i < 3; i++)
        if (part[i])
            *part[i]++ = '\0';
    return WN_OK;
}

static wn_err open_point(struct point *p, const char *given)
{
    char *part[3], *text = wn_strdup(given), *end;
    wn_err err = text ? split(part, text, given) : WN_ENOMEM;
    p->weight = 1;
    if (err == WN_OK && part[2]) {
        p->weight = strtod(part[2], &end);
        if (*end || end == part[2] || !(p->weight > 0) || !isfinite(p->weight))
            err = wn_fail(WN_EUSE, "--checkpoint: %s: weight: expected a number above 0", given);
    }
    if (err == WN_OK)
        err = wn_store_open(&p->store, part[0]);
    if (err == WN_OK)
        err = wn_store_open(&p->queries, part[1]);
    if (err == WN_OK)
        err = wn_store_match_steps(p->store, p->queries);
    if (err == WN_OK)
        err = wn_store_verify_all(p->store);
    if (err == WN_OK)
        err = wn_store_verify_all(p->queries);
    wn_free(text);
    return err;
}

/* ---- the same rows in every checkpoint's store ---- */

struct named {
    wn_span id;
    uint64_t row;
};

static int by_id(const void *a, const void *b)
{
    const struct named *x = a, *y = b;
    size_t n = x->id.len < y->id.len ? x->id.len : y->id.len;
    int c = memcmp(x->id.p, y->id.p, n);
    if (c || x->id.len != y->id.len)
        return c ? c : x->id.len < y->id.len ? -1 : 1;
    return x->row < y->row ? -1 : x->row > y->row;
}

static wn_err sorted_ids(struct named **out, const wn_store *s)
{
    uint64_t N = wn_store_rows(s);
    WN_NEW(*out, N + 1);
    for (uint64_t i = 0; i < N; i++)
        (*out)[i] = (struct named){wn_store_id(s, i), i};
    qsort(*out, N, sizeof **out, by_id);
    return WN_OK;
}

static wn_err match_rows(uint64_t *row, const wn_store *first, const wn_store *other)
{
    struct named *a = NULL, *b = NULL;
    uint64_t N = wn_store_rows(first);
    wn_err err = sorted_ids(&a, first);
    if (err == WN_OK)
        err = sorted_ids(&b, other);
    if (err == WN_OK && wn_store_rows(other) != N)
        err = wn_fail(WN_EARG, "%s: expected the %llu rows of %s, found %llu", wn_store_path(other),
                      (unsigned long long)N, wn_store_path(first),
                      (unsigned long long)wn_store_rows(other));
    for (uint64_t i = 0; i < N && err == WN_OK; i++) {
        if (a[i].id.len != b[i].id.len || memcmp(a[i].id.p, b[i].id.p, a[i].id.len) != 0)
            err = wn_fail(WN_EARG, "%s: no row %.*s, which %s has", wn_store_path(other),
                          (int)a[i].id.len, a[i].id.p, wn_store_path(first));
        row[a[i].row] = b[i].row;
    }
    wn_free(a);
    wn_free(b);
    return err;
}

static wn_err match_point(struct less *l, struct point *p)
{
    const wn_store *first = l->c->store;
    if (p->borrowed)
        return WN_OK;
    WN_NEW(p->row, l->c->N + 1);
    WN_TRY(match_rows(p->row, first, p->store));
    uint64_t *unused;
    WN_NEW(unused, wn_store_rows(l->c->queries) + 1);
    wn_err err = match_rows(unused, l->c->queries, p->queries);
    wn_free(unused);
    return err;
}

/* ---- the target's gradients ---- */

static wn_err check_finite(const wn_store *s, uint64_t row)
{
    wn_span id = wn_store_id(s, row);
    return wn_all_finite(wn_store_vector(s, row), wn_store_dim(s))
               ? WN_OK
               : wn_fail(WN_EFORMAT, "%s: row %.*s: its gradient holds NaN or infinity",
                         wn_store_path(s), (int)id.len, id.p);
}

/* Queries in order of id, so that their order in the store does not matter. */
static wn_err average(struct less *l, struct point *p)
{
    const wn_store *q = p->queries;
    size_t d = wn_store_dim(q);
    struct named *id;
    WN_NEW(p->aim, l->J * d);
    double *count = wn_calloc(l->J, sizeof *count);
    wn_err err = sorted_ids(&id, q);
    if (err == WN_OK && !count)
        err = WN_ENOMEM;
    for (uint64_t i = 0; i < wn_store_rows(q) && err == WN_OK; i++) {
        const float *x = wn_store_vector(q, id[i].row);
        size_t j = wn_store_task_number(q, id[i].row);
        double norm = l->cosine ? sqrt(wn_dot64(x, x, d)) : 1;
        err = check_finite(q, id[i].row);
        count[j]++;
        for (size_t k = 0; norm > 0 && k < d; k++)
            p->aim[j * d + k] += x[k] / norm;
    }
    for (size_t j = 0; j < l->J && err == WN_OK; j++)
        for (size_t k = 0; count[j] > 0 && k < d; k++)
            p->aim[j * d + k] /= count[j];
    wn_free(id);
    wn_free(count);
    return err;
}

/* ---- scores ---- */

static double inner(const double *aim, const float *x, size_t d)
{
    double sum[4] = {0};
    size_t k = 0;
    for (; k + 4 <= d; k += 4)
        for (size_t i = 0; i < 4; i++)
            sum[i] += aim[k + i] * x[k + i];
    for (; k < d; k++)
        sum[0] += aim[k] * x[k];
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

static const float *row_at(const struct point *p, uint64_t i, uint64_t *row)
{
    *row = p->row ? p->row[i] : i;
    return wn_store_vector(p->store, *row);
}

static wn_err norms(double *norm, const struct less *l, uint64_t i)
{
    uint64_t row;
    for (size_t t = 0; t < l->n; t++) {
        const struct point *p = &l->point[t];
        size_t d = wn_store_dim(p->store);
        const float *x = row_at(p, i, &row);
        WN_TRY(check_finite(p->store, row));
        norm[t] = l->cosine ? sqrt(wn_dot64(x, x, d)) : 1;
    }
    return WN_OK;
}

static wn_err piece(void *ctx, size_t at, int thread)
{
    struct less *l = ctx;
    double *norm = l->norm + (size_t)thread * l->n;
    uint64_t row;
    for (uint64_t i = at * PIECE; i < (at + 1) * PIECE && i < l->c->N; i++) {
        double best = -INFINITY;
        if (wn_bit(l->c->skip, i))
            continue;
        WN_TRY(norms(norm, l, i));
        for (size_t j = 0; j < l->J; j++) {
            double sum = 0;
            for (size_t t = 0; t < l->n; t++) {
                const struct point *p = &l->point[t];
                size_t d = wn_store_dim(p->store);
                const float *x = row_at(p, i, &row);
                sum += norm[t] > 0 ? p->weight * inner(p->aim + j * d, x, d) / norm[t] : 0;
            }
            best = sum > best ? sum : best;
        }
        l->score[i] = best;
    }
    return WN_OK;
}

static wn_err prepare(struct less *l, const wn_select_opts *o)
{
    double total = 0;
    const char *metric = o->metric ? o->metric : "cosine";
    l->cosine = strcmp(metric, "cosine") == 0;
    if (!l->cosine && strcmp(metric, "ip") != 0)
        return wn_fail(WN_EUSE, "--metric: less takes cosine or ip, found %s", metric);
    WN_TRY(wn_store_verify_all(l->c->store));
    WN_NEW(l->point, o->n_checkpoints + 1);
    l->point[0] = (struct point){.store = l->c->store,
                                 .queries = l->c->queries,
                                 .borrowed = true,
                                 .weight = o->weight != 0 ? o->weight : 1};
    l->J = wn_store_tasks(l->c->queries);
    for (l->n = 1; l->n <= o->n_checkpoints; l->n++)
        WN_TRY(open_point(&l->point[l->n], o->checkpoints[l->n - 1]));
    for (size_t t = 0; t < l->n; t++) {
        WN_TRY(match_point(l, &l->point[t]));
        if (wn_store_tasks(l->point[t].queries) != l->J)
            return wn_fail(WN_EARG, "%s: expected the %zu tasks of %s, found %u",
                           wn_store_path(l->point[t].queries), l->J, wn_store_path(l->c->queries),
                           wn_store_tasks(l->point[t].queries));
        total += l->point[t].weight;
    }
    for (size_t t = 0; t < l->n; t++) {
        l->point[t].weight /= total;
        WN_TRY(average(l, &l->point[t]));
    }
    WN_NEW(l->norm, (size_t)wn_par_threads() * l->n);
    return WN_OK;
}

wn_err wn_pick_less(wn_picks *out, const wn_candidates *c, const wn_select_opts *o)
{
    struct less l = {.c = c};
    l.score = wn_calloc(c->N + 1, sizeof *l.score);
    wn_err err = l.score ? prepare(&l, o) : WN_ENOMEM;
    if (err == WN_OK)
        err = wn_par_for((size_t)((c->N + PIECE - 1) / PIECE), piece, &l);
    if (err == WN_OK)
        err = wn_take_best(out, c, o, l.score);
    for (size_t t = 0; l.point && t <= o->n_checkpoints; t++) {
        struct point *p = &l.point[t];
        wn_free(p->row);
        wn_free(p->aim);
        if (p->borrowed)
            continue;
        wn_store_close(p->store);
        wn_store_close(p->queries);
    }
    wn_free(l.point);
    wn_free(l.norm);
    wn_free(l.score);
    return err;
}

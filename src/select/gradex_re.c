/* gradex-re: the random ensemble. A group's score is the mean estimate of the random subsets it is
 * in; the groups of the smallest scores are kept. How many: --keep, or those below --below, or as
 * many as give the smallest estimate together.
 *
 * Subsets are drawn until the ranking has settled: scores from the even subsets and from the odd
 * ones are two measurements of the same thing, r their correlation, and 2r / (1 + r) the
 * reliability of both together (Spearman 1910; Brown 1910). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/report.h"
#include "select/gradex.h"

enum { BATCH = 96, LEAST = 4 };
#define SETTLED 0.98

struct ensemble {
    wn_surrogate s;
    uint32_t T;
    size_t M;       /* subsets so far */
    double *sum[2]; /* [T] estimates of the even and odd subsets that have the group */
    double *square; /* [T] */
    uint64_t *n[2]; /* [T] */
    double *score;  /* [T] */
    double *high;   /* [T] upper ends of the scores' 95 % intervals */
    double reliability;
    uint8_t *kept; /* [T] */
    uint32_t n_kept;
    double estimate; /* of what is kept */
    bool settled;
};

static wn_err add_subsets(struct ensemble *e, size_t n, double share, uint64_t seed)
{
    wn_subsets d = {0};
    double *estimate = wn_calloc(n, sizeof *estimate);
    wn_err err = estimate ? wn_subsets_draw(&d, &e->s.groups, n, share, seed, e->M) : WN_ENOMEM;
    if (err == WN_OK)
        err = wn_surrogate_estimate(estimate, NULL, NULL, &e->s, d.member, n);
    for (size_t m = 0; m < n && err == WN_OK; m++)
        for (uint32_t t = 0; t < e->T; t++) {
            if (!d.member[m * e->T + t])
                continue;
            e->sum[(e->M + m) % 2][t] += estimate[m];
            e->square[t] += (estimate[m] - e->s.begin) * (estimate[m] - e->s.begin);
            e->n[(e->M + m) % 2][t]++;
        }
    e->M += n;
    wn_free(estimate);
    wn_subsets_free(&d);
    return err;
}

/* Scores, intervals, reliability. NaN where a group was in no subset (of either half). */
static void measure(struct ensemble *e)
{
    double x = 0, y = 0, xx = 0, yy = 0, xy = 0, n = 0;
    bool all = true;
    for (uint32_t t = 0; t < e->T; t++) {
        double k = (double)(e->n[0][t] + e->n[1][t]), sum = e->sum[0][t] + e->sum[1][t];
        double shifted = sum / k - e->s.begin;
        e->score[t] = sum / k;
        e->high[t] = e->score[t] +
                     1.96 * sqrt(fmax(0, e->square[t] / k - shifted * shifted) / fmax(1, k - 1));
        double a = e->sum[0][t] / (double)e->n[0][t], b = e->sum[1][t] / (double)e->n[1][t];
        all = all && isfinite(a) && isfinite(b);
        x += a, y += b, xx += a * a, yy += b * b, xy += a * b, n++;
    }
    double r = (xy / n - x / n * (y / n)) /
               sqrt(fmax(0, xx / n - x / n * (x / n)) * fmax(0, yy / n - y / n * (y / n)));
    e->reliability = all && r > 0 ? 2 * r / (1 + r) : 0;
}

static wn_err draw(struct ensemble *e, const wn_select_opts *o)
{
    size_t most = o->subsets ? (size_t)o->subsets : e->T * 10 < 200 ? 200 : e->T * 10;
    double settle = o->settle != 0 ? o->settle : SETTLED;
    while (e->M < most && !e->settled) {
        size_t n = most - e->M < BATCH ? most - e->M : BATCH;
        char text[64];
        WN_TRY(add_subsets(e, n, o->share != 0 ? o->share : 0.5, o->common.seed));
        measure(e);
        e->settled = e->M >= LEAST * BATCH && settle < 1 && e->reliability >= settle;
        snprintf(text, sizeof text, "reliability %.3f", e->reliability);
        WN_TRY(wn_progress("gradex-re", "subsets", e->settled ? most : e->M, most, text));
    }
    if (!e->settled && settle < 1)
        wn_message("gradex-re: after %zu subsets the ranking's reliability is %.3f (%.2f would "
                   "be settled)",
                   e->M, e->reliability, settle);
    return WN_OK;
}

/* ---- how many ---- */

struct ranked {
    double score;
    uint32_t t;
};

static int by_score(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    if (x->score != y->score)
        return x->score < y->score ? -1 : 1;
    return x->t < y->t ? -1 : x->t > y->t;
}

/* As many of the best as have the smallest estimate together; ties to fewer. */
static wn_err best_front(uint32_t *k, struct ensemble *e, const struct ranked *r, uint32_t n)
{
    uint8_t *member = wn_calloc(n, e->T);
    double *estimate = wn_calloc(n, sizeof *estimate);
    wn_err err = member && estimate ? WN_OK : WN_ENOMEM;
    for (uint32_t i = 0; i < n && err == WN_OK; i++)
        for (uint32_t j = 0; j <= i; j++)
            member[(size_t)i * e->T + r[j].t] = 1;
    if (err == WN_OK)
        err = wn_surrogate_estimate(estimate, NULL, NULL, &e->s, member, n);
    *k = 1;
    for (uint32_t i = 1; i < n && err == WN_OK; i++)
        if (estimate[i] < estimate[*k - 1])
            *k = i + 1;
    wn_free(member);
    wn_free(estimate);
    return err;
}

static wn_err keep(struct ensemble *e, const wn_select_opts *o)
{
    struct ranked *r;
    uint32_t n = 0, k = 0;
    WN_NEW(r, e->T);
    for (uint32_t t = 0; t < e->T; t++)
        if (isfinite(e->score[t]))
            r[n++] = (struct ranked){e->score[t], t};
    qsort(r, n, sizeof *r, by_score);
    wn_err err = WN_OK;
    if (o->keep)
        k = o->keep < n ? (uint32_t)o->keep : n;
    else if (o->below != 0)
        while (k < n && r[k].score < o->below)
            k++;
    else
        err = best_front(&k, e, r, n);
    if (err == WN_OK && !k)
        err = wn_fail(WN_EARG, "--below %g: no group's score is below it; the smallest is %.6g",
                      o->below, n ? r[0].score : NAN);
    for (uint32_t i = 0; i < k; i++)
        e->kept[r[i].t] = 1;
    e->n_kept = k;
    wn_free(r);
    return err == WN_OK ? wn_surrogate_estimate(&e->estimate, NULL, NULL, &e->s, e->kept, 1) : err;
}

/* ---- all of it ---- */

static wn_err run(struct ensemble *e, const wn_select_opts *o)
{
    e->T = e->s.groups.T;
    if (!(o->share >= 0 && o->share <= 1) || !(o->settle >= 0 && o->settle <= 1))
        return wn_fail(WN_EARG, "--share, --settle: expected shares from 0 to 1");
    if (o->keep && o->below != 0)
        return wn_fail(WN_EUSE, "--keep and --below: expected one of them");
    for (int half = 0; half < 2; half++) {
        WN_NEW(e->sum[half], e->T);
        WN_NEW(e->n[half], e->T);
    }
    WN_NEW(e->square, e->T);
    WN_NEW(e->score, e->T);
    WN_NEW(e->high, e->T);
    WN_NEW(e->kept, e->T);
    WN_TRY(draw(e, o));
    return keep(e, o);
}

static json_t *about_of(const struct ensemble *e, const wn_select_opts *o)
{
    json_t *m = wn_surrogate_about(&e->s, &o->how), *table, *row, *ci;
    size_t i;
    json_object_set_new(m, "subsets", json_integer((json_int_t)e->M));
    json_object_set_new(m, "share", json_real(o->share != 0 ? o->share : 0.5));
    json_object_set_new(m, "reliability", json_real(e->reliability));
    json_object_set_new(m, "settled", json_boolean(e->settled));
    json_object_set_new(m, "kept", json_integer(e->n_kept));
    json_object_set_new(m, "estimate", json_real(e->estimate));
    table = wn_gradex_table(&e->s, e->kept, e->score);
    json_array_foreach(table, i, row)
    {
        const char *name = json_string_value(json_object_get(row, "name"));
        uint32_t t = wn_groups_find(&e->s.groups, name, strlen(name));
        if (!isfinite(e->score[t]))
            continue;
        ci = json_pack("[f, f]", 2 * e->score[t] - e->high[t], e->high[t]);
        json_object_set_new(row, "ci95", ci);
    }
    json_object_set_new(m, "table", table);
    return m;
}

wn_err wn_pick_gradex_re(wn_picks *out, const wn_candidates *c, const wn_select_opts *o)
{
    struct ensemble e = {0};
    wn_err err = wn_gradex_open(&e.s, c, o);
    if (err == WN_OK)
        err = run(&e, o);
    if (err == WN_OK)
        err = wn_gradex_take(out, c, o, &e.s, e.kept, e.score, about_of(&e, o));
    for (int half = 0; half < 2; half++) {
        wn_free(e.sum[half]);
        wn_free(e.n[half]);
    }
    wn_free(e.square);
    wn_free(e.score);
    wn_free(e.high);
    wn_free(e.kept);
    wn_surrogate_close(&e.s);
    return err;
}

/* Attention as its formula reads: one query after the other, all sums in double. Slow, and what the
 * tiled kernel in attention.c is checked with; WN_KERNEL=ref runs it. */
#include "kernel/attention_drop.h"
#include "kernel/table.h"
#include "base/err.h"

#include <math.h>
#include <string.h>

/* Half of the buckets hold exact distances, the rest grow logarithmically up to max_distance;
 * bidirectional tables give each sign half of the buckets. float32 as in the reference code, so
 * that borders fall alike. */
int wn_t5_bucket(long rel, bool bidirectional, int buckets, int max_distance)
{
    int at = 0;
    if (bidirectional) {
        buckets /= 2;
        at = rel > 0 ? buckets : 0;
        rel = rel < 0 ? -rel : rel;
    } else {
        rel = rel < 0 ? -rel : 0;
    }
    int exact = buckets / 2;
    if (rel < exact)
        return at + (int)rel;
    float r = logf((float)rel / (float)exact) / (float)log((double)max_distance / exact);
    int far = exact + (int)(r * (float)(buckets - exact));
    return at + (far < buckets ? far : buckets - 1);
}

typedef struct view {
    const wn_attn *a;
    const float *q, *k;
    size_t h, kh, n_pre, pre,
        own;    /* head, its key head, prefix length and the ranges' first rows */
    size_t pos; /* position of the query */
    const float *query;
} view;

static size_t key_row(const view *w, size_t j)
{
    return j < w->n_pre ? w->pre + j : w->own + j - w->n_pre;
}

/* Score of key position j; *gain: its derivative with respect to the dot product. */
static double score(const view *w, size_t j, double *gain)
{
    const wn_attn *a = w->a;
    const float *key = w->k + key_row(w, j) * a->ldk + w->kh * a->d;
    double s = 0;
    for (size_t i = 0; i < a->d; i++)
        s += (double)w->query[i] * key[i];
    s *= a->scale;
    *gain = a->scale;
    if (a->softcap > 0) {
        double t = tanh(s / a->softcap);
        s = a->softcap * t;
        *gain *= 1 - t * t;
    }
    long rel = (long)j - (long)w->pos;
    if (a->slope)
        s += (double)a->slope[w->h] * (double)rel;
    if (a->bias)
        s += a->bias[(size_t)wn_t5_bucket(rel, a->bidirectional, a->buckets, a->max_distance) *
                         a->H +
                     w->h];
    return s;
}

/* What a probability is multiplied with. */
static double mask(const view *w, size_t s, size_t i, size_t j)
{
    float x[4] = {1, 1, 1, 1};
    const wn_attn_drop *d = w->a->drop;
    if (d)
        wn_drop_probabilities(x, 4, d, wn_drop_example(d, s), w->h, i, j / 4 * 4);
    return (double)x[j % 4];
}

/* Key positions [*lo, *hi) that query i of segment s sees. */
static void look(view *w, size_t s, size_t i, size_t *lo, size_t *hi)
{
    const wn_attn *a = w->a;
    size_t n_own = a->own[2 * s + 1] - a->own[2 * s];
    w->pre = a->pre[2 * s];
    w->n_pre = a->pre[2 * s + 1] - a->pre[2 * s];
    w->own = a->own[2 * s];
    w->pos = w->n_pre + i;
    *hi = w->n_pre + (a->causal && i + 1 < n_own ? i + 1 : n_own);
    *lo = a->window && w->pos + 1 > a->window ? w->pos + 1 - a->window : 0;
    if (a->window && !a->causal && *hi > w->pos + a->window)
        *hi = w->pos + a->window;
    if (*lo > *hi)
        *lo = *hi;
}

static void forward_one(float *o, float *lse, const view *w, const float *v, size_t s, size_t t,
                        size_t lo, size_t hi)
{
    const wn_attn *a = w->a;
    double top = -INFINITY, sum = 0, gain, acc[WN_HEAD_MAX] = {0};
    for (size_t j = lo; j < hi; j++)
        top = fmax(top, score(w, j, &gain));
    for (size_t j = lo; j < hi; j++) {
        double p = exp(score(w, j, &gain) - top);
        const float *value = v + key_row(w, j) * a->ldv + w->kh * a->dv;
        sum += p;
        p *= mask(w, s, t - a->q0[s], j);
        for (size_t i = 0; i < a->dv; i++)
            acc[i] += p * value[i];
    }
    for (size_t i = 0; i < a->dv; i++)
        o[i] = hi > lo ? (float)(acc[i] / sum) : 0;
    if (lse)
        *lse = hi > lo ? (float)(top + log(sum)) : -INFINITY;
}

void wn_attention_ref(float *o, float *lse, const float *q, const float *k, const float *v,
                      const wn_attn *a)
{
    WN_ASSERT(a->d <= WN_HEAD_MAX && a->dv <= WN_HEAD_MAX && a->H % a->G == 0);
    for (size_t s = 0; s < a->S; s++) {
        for (size_t t = a->q0[s]; t < a->q0[s + 1]; t++) {
            for (size_t h = 0; h < a->H; h++) {
                view w = {.a = a, .q = q, .k = k, .h = h, .kh = h / (a->H / a->G)};
                size_t lo, hi;
                look(&w, s, t - a->q0[s], &lo, &hi);
                w.query = q + t * a->ldq + h * a->d;
                forward_one(o + t * a->ldo + h * a->dv, lse ? lse + t * a->H + h : NULL, &w, v, s,
                            t, lo, hi);
            }
        }
    }
}

static void zero_rows(float *x, size_t ld, size_t width, const uint32_t range[2])
{
    for (size_t r = range[0]; r < range[1]; r++)
        memset(x + r * ld, 0, width * sizeof *x);
}

void wn_attention_back_ref(float *dq, float *dk, float *dv, float *dbias, const float *do_,
                           const float *o, const float *lse, const float *q, const float *k,
                           const float *v, const wn_attn *a)
{
    WN_ASSERT(a->d <= WN_HEAD_MAX && a->dv <= WN_HEAD_MAX && a->H % a->G == 0);
    for (size_t s = 0; s < a->S; s++) {
        zero_rows(dk, a->ldk, a->G * a->d, a->pre + 2 * s);
        zero_rows(dk, a->ldk, a->G * a->d, a->own + 2 * s);
        zero_rows(dv, a->ldv, a->G * a->dv, a->pre + 2 * s);
        zero_rows(dv, a->ldv, a->G * a->dv, a->own + 2 * s);
    }
    for (size_t s = 0; s < a->S; s++) {
        for (size_t t = a->q0[s]; t < a->q0[s + 1]; t++) {
            for (size_t h = 0; h < a->H; h++) {
                view w = {.a = a, .q = q, .k = k, .h = h, .kh = h / (a->H / a->G)};
                size_t lo, hi;
                look(&w, s, t - a->q0[s], &lo, &hi);
                w.query = q + t * a->ldq + h * a->d;
                const float *g = do_ + t * a->ldo + h * a->dv, *out = o + t * a->ldo + h * a->dv;
                double delta = 0, gain, acc[WN_HEAD_MAX] = {0};
                for (size_t i = 0; i < a->dv; i++)
                    delta += (double)g[i] * out[i];
                for (size_t j = lo; j < hi; j++) {
                    double p = exp(score(&w, j, &gain) - lse[t * a->H + h]), dp = 0;
                    size_t row = key_row(&w, j);
                    const float *value = v + row * a->ldv + w.kh * a->dv;
                    const float *key = k + row * a->ldk + w.kh * a->d;
                    float *gk = dk + row * a->ldk + w.kh * a->d;
                    float *gv = dv + row * a->ldv + w.kh * a->dv;
                    double kept = mask(&w, s, t - a->q0[s], j);
                    for (size_t i = 0; i < a->dv; i++) {
                        dp += (double)g[i] * value[i];
                        gv[i] = (float)(gv[i] + p * kept * g[i]);
                    }
                    dp *= kept;
                    double ds = p * (dp - delta);
                    if (dbias && a->bias)
                        dbias[(size_t)wn_t5_bucket((long)j - (long)w.pos, a->bidirectional,
                                                   a->buckets, a->max_distance) *
                                  a->H +
                              h] += (float)ds;
                    for (size_t i = 0; i < a->d; i++) {
                        acc[i] += ds * gain * key[i];
                        gk[i] = (float)(gk[i] + ds * gain * w.query[i]);
                    }
                }
                for (size_t i = 0; i < a->d; i++)
                    dq[t * a->ldq + h * a->d + i] = (float)acc[i];
            }
        }
    }
}

#include "feature/pooling.h"

#include <math.h>
#include <string.h>

#include "kernel/kernel.h"

/* sum over tokens of weight * state, divided. Weights are positions in the whole text, counted from
 * 1, whether or not a prompt is left out. */
static void mean(float *v, const float *h, size_t first, size_t n, size_t D, wn_pooling kind)
{
    bool weighted = kind == WN_POOL_WEIGHTED;
    double all = 0;
    for (size_t t = first; t < n; t++)
        all += weighted ? (double)(t + 1) : 1;
    if (kind == WN_POOL_MEAN_SQRT)
        all = sqrt(all);
    enum { COLUMNS = 256 };
    for (size_t c = 0; c < D; c += COLUMNS) {
        double sum[COLUMNS] = {0};
        size_t some = D - c < COLUMNS ? D - c : COLUMNS;
        for (size_t t = first; t < n; t++)
            wn_add64(sum, weighted ? (double)(t + 1) : 1.0, h + t * D + c, some);
        for (size_t d = 0; d < some; d++)
            v[c + d] = (float)(sum[d] / all);
    }
}

static void pool(float *v, const float *h, size_t first, size_t n, size_t D, wn_pooling kind)
{
    switch (kind) {
    case WN_POOL_CLS:
        memcpy(v, h + first * D, D * sizeof(float));
        break;
    case WN_POOL_LAST:
        memcpy(v, h + (n - 1) * D, D * sizeof(float));
        break;
    case WN_POOL_MAX:
        memcpy(v, h + first * D, D * sizeof(float));
        for (size_t t = first + 1; t < n; t++)
            for (size_t d = 0; d < D; d++)
                v[d] = h[t * D + d] > v[d] ? h[t * D + d] : v[d];
        break;
    default:
        mean(v, h, first, n, D, kind);
    }
}

static void normalize(float *v, size_t n)
{
    wn_scale(v, (float)(1 / fmax(sqrt(wn_dot64(v, v, n)), 1e-12)), n);
}

void wn_vector_make(float *v, float *scratch, const float *h, size_t n, const wn_vector_rule *r)
{
    size_t width = r->n_pooling * r->D;
    for (size_t i = 0; i < r->n_pooling; i++)
        pool(v + i * r->D, h, r->skip, n, r->D, r->pooling[i]);
    for (size_t i = 0; i < r->n_part; i++) {
        const wn_sentence_part *p = &r->part[i];
        if (p->kind == WN_PART_NORMALIZE) {
            normalize(v, width);
            continue;
        }
        wn_sentence_apply(scratch, v, p);
        width = p->out;
        memcpy(v, scratch, width * sizeof(float));
    }
    if (r->normalize)
        normalize(v, width);
}

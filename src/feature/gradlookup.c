/* Look-up tables in the gradient sink. Without other uses only the rows that occur in the batch
 * have a gradient: each is projected by itself for the examples that have it. With a tied output
 * matrix, with Adam's moments (which are not zero where the gradient is) and for raw gradients the
 * whole table is gone through in tiles. */
#include <stdlib.h>
#include <string.h>

#include "base/par.h"
#include "feature/gradparts.h"

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

void wn_grad_hold(wn_grad_sink *s, size_t slot, const float *dx, const int32_t *id, size_t D,
                  const wn_seg *seg)
{
    WN_ASSERT(s->n_uses < s->max_uses && D == s->o.width && seg->first == 0);
    size_t T = seg->off[seg->B];
    WN_ASSERT(T <= s->o.max_tokens);
    wn_grad_use *u = &s->use[s->n_uses++];
    u->slot = slot;
    u->B = seg->B;
    memcpy(u->dx, dx, T * D * sizeof *dx);
    memcpy(u->off, seg->off, (seg->B + 1) * sizeof *seg->off);
    for (size_t t = 0; t < T; t++)
        u->key[t] = (uint64_t)(uint32_t)id[t] << 32 | t;
    for (size_t b = 0; b < seg->B; b++)
        qsort(u->key + seg->off[b], seg->off[b + 1] - seg->off[b], sizeof *u->key, by_value);
}

/* The first of example b's keys whose row is `row` or a later one. */
static size_t first_key(const wn_grad_use *u, size_t b, size_t row)
{
    size_t lo = u->off[b], hi = u->off[b + 1];
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (u->key[mid] >> 32 < row)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

void wn_grad_use_rows(const wn_grad_sink *s, size_t slot, size_t b, size_t n0, size_t n, size_t k0,
                      size_t cols, float *G)
{
    for (size_t i = 0; i < s->n_uses; i++) {
        const wn_grad_use *u = &s->use[i];
        if (u->slot != slot || b >= u->B)
            continue;
        for (size_t k = first_key(u, b, n0); k < u->off[b + 1] && u->key[k] >> 32 < n0 + n; k++)
            wn_add(G + (u->key[k] >> 32) * cols - n0 * cols,
                   u->dx + (uint32_t)u->key[k] * s->o.width + k0, cols);
    }
}

/* ---- rows that occur ---- */

struct row_job {
    wn_grad_sink *s;
    size_t slot;
    const size_t *start; /* [pieces + 1] in s->row */
};

/* One row of the table for the examples that have it; results of the others stay zero. */
static void project_row(void *ctx, size_t i, int thread)
{
    const struct row_job *j = ctx;
    wn_grad_sink *s = j->s;
    size_t D = s->o.width, d = s->d, row = (size_t)(s->row[j->start[i]] >> 32);
    float *G = wn_grad_tile_of(s, thread), *part = s->part + i * s->B * d;
    memset(part, 0, s->B * d * sizeof *part);
    for (size_t k = j->start[i]; k < j->start[i + 1]; k++) {
        size_t b = (uint32_t)s->row[k];
        memset(G, 0, D * sizeof *G);
        wn_grad_use_rows(s, j->slot, b, row, 1, 0, D, G);
        wn_signs_add(part + b * d, d, G, D, 1, D, &s->o.projection->signs,
                     s->o.chosen->at[j->slot] + (uint64_t)row * D);
    }
}

static void project_rows(wn_grad_sink *s, size_t slot)
{
    size_t n = 0, start[WN_GRAD_WAVE + 1], pieces = 0;
    for (size_t i = 0; i < s->n_uses; i++) {
        const wn_grad_use *u = &s->use[i];
        for (size_t b = 0; u->slot == slot && b < u->B; b++)
            for (size_t t = u->off[b]; t < u->off[b + 1]; t++)
                if (t == u->off[b] || u->key[t] >> 32 != u->key[t - 1] >> 32)
                    s->row[n++] = u->key[t] >> 32 << 32 | b;
    }
    qsort(s->row, n, sizeof *s->row, by_value);
    size_t kept = 0; /* an example may have the row in two uses */
    for (size_t i = 0; i < n; i++)
        if (!i || s->row[i] != s->row[i - 1])
            s->row[kept++] = s->row[i];
    for (size_t i = 0; i < kept; i++) {
        if (!i || s->row[i] >> 32 != s->row[i - 1] >> 32)
            start[pieces++] = i;
        bool last = i + 1 == kept || s->row[i + 1] >> 32 != s->row[i] >> 32;
        if (!last || (pieces < s->wave && i + 1 < kept))
            continue;
        start[pieces] = i + 1;
        wn_par_do(pieces, project_row, &(struct row_job){s, slot, start});
        wn_grad_add_wave(s, pieces);
        pieces = 0;
    }
}

void wn_grad_lookups_finish(wn_grad_sink *s)
{
    for (size_t i = 0; i < s->o.chosen->n; i++) {
        const wn_param *p = s->o.chosen->param[i];
        if (p->use != WN_PARAM_LOOKUP ||
            (s->o.projection && wn_projection_factored(s->o.projection, p)))
            continue;
        bool tied = s->output_slot == i;
        if (tied || s->o.m || s->raw)
            wn_grad_matrix_run(s, i, tied ? &s->output : NULL, true);
        else
            project_rows(s, i);
    }
}

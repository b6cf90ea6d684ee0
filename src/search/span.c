/* What passes the codes, scored from the stored numbers. */
#include <math.h>
#include <string.h>

#include "kernel/kernel.h"
#include "search/exact.h"

enum {
    DENSE = 4, /* where a row in so many is scored, all are read */
    TOGETHER = 64
};

/* |x|; *norm: negative if not taken yet. */
static double length(const struct scan *s, const float *x, double *norm)
{
    if (*norm < 0)
        *norm = sqrt(wn_exact_dot(x, x, s->D));
    return *norm;
}

/* Scores n hits, at most TOGETHER. */
static void score_some(const struct scan *s, double *score, struct scan_span *p,
                       const wn_scan_hit *hit, size_t n)
{
    wn_scan_pair pair[TOGETHER];
    for (size_t i = 0; i < n; i++)
        pair[i] = (wn_scan_pair){s->rows + (p->first + hit[i].row) * s->D,
                                 s->query + hit[i].query * s->D};
    if (s->metric == WN_METRIC_L2)
        wn_exact_distances2(score, pair, n, s->D);
    else
        wn_exact_dots(score, pair, n, s->D);
    for (size_t i = 0; i < n; i++) {
        if (s->metric == WN_METRIC_L2) {
            score[i] = -score[i];
        } else if (s->metric == WN_METRIC_COSINE) {
            double size = length(s, pair[i].x, &p->norm[hit[i].row]) * s->state[hit[i].query].norm;
            score[i] = size > 0 ? score[i] / size : 0;
        }
    }
}

static void offer(struct scan *s, struct scan_thread *t, struct scan_span *p, size_t n)
{
    double score[TOGETHER];
    for (size_t from = 0; from < n; from += TOGETHER) {
        size_t m = n - from < TOGETHER ? n - from : TOGETHER;
        score_some(s, score, p, p->hit + from, m);
        for (size_t i = 0; i < m; i++) {
            const wn_scan_hit h = p->hit[from + i];
            if (score[i] >= s->guess[h.query])
                wn_scan_found(s, t, (struct found){score[i], p->first + h.row, h.query});
        }
    }
}

void wn_span_hits(struct scan_span *p, const struct scan *s, size_t hits, uint64_t first,
                  size_t rows, const uint64_t *sum)
{
    uint64_t seen[WN_CODE_ROWS / 64] = {0};
    p->n = p->asked = 0;
    p->first = first;
    p->sum = sum;
    for (size_t i = 0; i < hits; i++) {
        const wn_scan_hit h = p->hit[i];
        if (h.row >= rows || h.query >= s->Q || wn_bit(s->want[h.query].skip, first + h.row))
            continue;
        p->hit[p->n++] = h;
        if (wn_bit(seen, h.row))
            continue;
        wn_bit_set(seen, h.row);
        p->norm[h.row] = -1;
        p->row[p->asked++] = h.row;
    }
    if (!s->file || !s->of->large || !s->of->store)
        return;
    if (p->asked > rows / DENSE)
        wn_store_ahead(s->of->store, wn_scan_row(s, first), rows);
    for (size_t i = 0; i < p->asked && p->asked <= rows / DENSE; i++)
        wn_store_ahead(s->of->store, wn_scan_row(s, first + p->row[i]), 1);
}

/* That a row's numbers are those its code was made of: it was not read with its codes, and its
 * block, of which little else is needed, would cost hundreds of times as much to compare. */
static wn_err check_row(const struct scan *s, uint64_t row, uint64_t expected)
{
    uint64_t found = wn_row_sum(s->rows + row * s->D, s->D);
    if (expected == found)
        return WN_OK;
    if (s->of->store)
        WN_TRY(wn_store_verify(s->of->store, wn_scan_row(s, row), 1));
    return wn_fail(
        WN_EFORMAT,
        "row %llu: expected checksum %016llx, as when its codes were made, found %016llx",
        (unsigned long long)wn_scan_row(s, row), (unsigned long long)expected,
        (unsigned long long)found);
}

wn_err wn_span_score(struct scan *s, struct scan_thread *t, struct scan_span *p)
{
    size_t n = p->n;
    p->n = 0;
    for (size_t i = 0; n && p->sum && i < p->asked; i++)
        WN_TRY(check_row(s, p->first + p->row[i], p->sum[p->row[i]]));
    offer(s, t, p, n);
    return WN_OK;
}

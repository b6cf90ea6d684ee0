/* What passes the codes, scored from the stored numbers. */
#include <math.h>
#include <string.h>

#include "kernel/kernel.h"
#include "search/exact.h"

enum { DENSE = 4 }; /* where a row in so many is scored, all are read */

/* In the order of candidates: larger is better. norm: |x|, negative if not taken yet. */
static double exact_score(const struct scan *s, size_t q, const float *x, double *norm)
{
    const float *y = s->query + q * s->D;
    if (s->metric == WN_METRIC_L2)
        return -wn_exact_distance2(x, y, s->D);
    double d = wn_exact_dot(x, y, s->D);
    if (s->metric == WN_METRIC_IP)
        return d;
    if (*norm < 0)
        *norm = sqrt(wn_exact_dot(x, x, s->D));
    double n = *norm * s->state[q].norm;
    return n > 0 ? d / n : 0;
}

/* What the score cannot exceed, by the error of float32 sums; NaN or +infinity where they may
 * overflow. */
static double most_score(const struct scan *s, size_t q, const float *x, double *norm)
{
    const float *y = s->query + q * s->D;
    double tiny = (double)s->D * 0x1p-125;
    if (s->metric == WN_METRIC_L2) {
        double d = wn_scan_distance2(x, y, s->D);
        return isfinite(d) ? tiny - d * (1 - s->gamma) : INFINITY;
    }
    if (*norm < 0)
        *norm = sqrt(wn_exact_dot(x, x, s->D));
    double size = *norm * s->state[q].norm, at = wn_scan_dot(x, y, s->D);
    double error = size < 0x1p126 ? size * s->gamma + tiny : INFINITY;
    if (s->metric == WN_METRIC_COSINE && size > 0) {
        at /= size;
        error = error / size + fabs(at) * 0x1p-40;
    }
    return at + error;
}

/* Float32 first: of the pairs that pass the codes it rules out a third, at half the cost. */
static void offer(struct scan *s, struct scan_thread *t, size_t q, uint64_t row, double *norm)
{
    const float *x = s->rows + row * s->D;
    if (most_score(s, q, x, norm) < s->guess[q])
        return;
    double score = exact_score(s, q, x, norm);
    if (score >= s->guess[q])
        wn_scan_found(s, t, (struct found){score, row, q});
}

void wn_span_hits(struct scan_span *p, const struct scan *s, size_t hits, uint64_t first,
                  size_t rows, const uint64_t *sum)
{
    uint64_t seen[WN_SPAN_ROWS / 64] = {0};
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
        wn_store_ahead(s->of->store, first, rows);
    for (size_t i = 0; i < p->asked && p->asked <= rows / DENSE; i++)
        wn_store_ahead(s->of->store, first + p->row[i], 1);
}

/* That a row's numbers are those its code was made of: it was not read with its codes, and its
 * block, of which little else is needed, would cost hundreds of times as much to compare. */
static wn_err check_row(const struct scan *s, uint64_t row, uint64_t expected)
{
    uint64_t found = wn_row_sum(s->rows + row * s->D, s->D);
    if (expected == found)
        return WN_OK;
    if (s->of->store)
        WN_TRY(wn_store_verify(s->of->store, row, 1));
    return wn_fail(
        WN_EFORMAT,
        "row %llu: expected checksum %016llx, as when its codes were made, found %016llx",
        (unsigned long long)row, (unsigned long long)expected, (unsigned long long)found);
}

wn_err wn_span_score(struct scan *s, struct scan_thread *t, struct scan_span *p)
{
    size_t n = p->n;
    p->n = 0;
    for (size_t i = 0; n && p->sum && i < p->asked; i++)
        WN_TRY(check_row(s, p->first + p->row[i], p->sum[p->row[i]]));
    for (size_t i = 0; i < n; i++)
        offer(s, t, p->hit[i].query, p->first + p->hit[i].row, &p->norm[p->hit[i].row]);
    return WN_OK;
}

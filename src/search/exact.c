/* The scan. The store is read once, tile by tile; for each tile one float32 matrix product gives
 * the inner products with all queries, and each query's candidates go to its own buffer (topk.h),
 * so no two threads share one and nothing depends on which thread did what.
 *
 * The bound. Summing D products in float32 in any order, fused or not, gives
 *     |fl(x.q) - x.q| <= g |x| |q| + D 2^-125,   g = D u / (1 - D u),   u = 2^-24
 * (Higham 2002, section 3.1, with Cauchy-Schwarz; the second term covers underflow, flushed to zero
 * or not) as long as nothing overflows, which |x| |q| < 2^126 excludes; rows beyond that are scored
 * in float64 at once. With nx = |x|^2 in float64 the score, larger is better and up to a constant
 * of the query, is s * fl(x.q) + p     ip: s = 1, p = 0    l2: s = 2, p = -nx    cosine: s = 1/|x|,
 * p = 0 and it is off by at most e = s (g |x| |q| + D 2^-125) + h (nx + |q|^2; 2 |q| for the
 * cosine), where the last term covers all roundings in float64, those of the exact score included:
 * h = (D + 16) 2^-51, several times what the same bound asks for. A row whose s * fl + p + e is
 * below the k-th best s * fl + p - e is out, whatever its exact score. */
#include "search/search.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/par.h"
#include "base/report.h"
#include "kernel/kernel.h"
#include "search/topk.h"

enum {
    TILE_FLOATS = 1 << 20, /* products held at once: 4 MB stay near the cores */
    TILE_MIN = 64,
    TILE_MAX = 4096,
    NORM_ROWS = 256, /* rows a piece of work when norms are taken */
    QUERY_BLOCK = 8192
};

/* Of each row of the tile: score = s * product + p, error = qn * r + w + (the query's own share).
 */
struct tile {
    uint64_t first, n;
    double *norm2, *s, *p, *r, *w;
    float *product; /* [query block, n] */
};

struct scan {
    const float *rows, *query;
    const uint64_t *skip;
    uint64_t N;
    size_t Q, D, k, tile_rows;
    wn_metric metric;
    double gamma, tiny, h;
    double *qn2, *qn; /* |q|^2, |q| */
    wn_topk *top;
    wn_cand *cand;
    size_t q0, q1; /* the block of queries being offered */
    struct tile t;
    int64_t *out_row;
    double *out_score;
};

static const char *const metric_name[] = {"l2", "ip", "cosine"};

wn_err wn_metric_parse(wn_metric *m, const char *name)
{
    *m = WN_METRIC_L2;
    if (!name)
        return WN_OK;
    for (int i = 0; i < 3; i++) {
        if (strcmp(name, metric_name[i]) == 0) {
            *m = (wn_metric)i;
            return WN_OK;
        }
    }
    return wn_fail(WN_EARG, "--metric: expected l2, ip or cosine, found %s", name);
}

const char *wn_metric_name(wn_metric m)
{
    return metric_name[m];
}

/* ---- float64: eight partial sums in a fixed order, the same on every machine ---- */

enum { LANES = 8 };

static double sum_lanes(const double a[LANES])
{
    return ((a[0] + a[4]) + (a[2] + a[6])) + ((a[1] + a[5]) + (a[3] + a[7]));
}

static double dot(const float *x, const float *y, size_t D)
{
    double a[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= D; i += LANES)
        for (size_t j = 0; j < LANES; j++)
            a[j] += (double)x[i + j] * (double)y[i + j];
    for (size_t j = 0; i < D; i++, j++)
        a[j] += (double)x[i] * (double)y[i];
    return sum_lanes(a);
}

static double distance2(const float *x, const float *y, size_t D)
{
    double a[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= D; i += LANES) {
        for (size_t j = 0; j < LANES; j++) {
            double d = (double)x[i + j] - (double)y[i + j];
            a[j] += d * d;
        }
    }
    for (size_t j = 0; i < D; i++, j++) {
        double d = (double)x[i] - (double)y[i];
        a[j] += d * d;
    }
    return sum_lanes(a);
}

/* What the answer shows and is ordered by. */
static double final_score(const struct scan *s, size_t q, uint64_t row)
{
    const float *x = s->rows + row * s->D, *y = s->query + q * s->D;
    if (s->metric == WN_METRIC_L2)
        return distance2(x, y, s->D);
    double d = dot(x, y, s->D);
    if (s->metric == WN_METRIC_IP)
        return d;
    double n = sqrt(dot(x, x, s->D)) * s->qn[q];
    return n > 0 ? d / n : 0;
}

struct one_query {
    const struct scan *s;
    size_t q;
};

/* In the order of candidates: larger is better, the query's constant put back. */
static double exact(void *ctx, uint64_t row)
{
    const struct one_query *o = ctx;
    double v = final_score(o->s, o->q, row);
    return o->s->metric == WN_METRIC_L2 ? -v : v;
}

/* ---- norms; a sum of squares of float32 numbers in float64 is finite if and only if all of them
 * are ---- */

static wn_err row_facts(void *ctx, size_t piece, int thread)
{
    (void)thread;
    struct scan *s = ctx;
    struct tile *t = &s->t;
    uint64_t end = (piece + 1) * NORM_ROWS < t->n ? (piece + 1) * NORM_ROWS : t->n;
    for (uint64_t i = piece * NORM_ROWS; i < end; i++) {
        const float *x = s->rows + (t->first + i) * s->D;
        double n2 = dot(x, x, s->D), n = sqrt(n2);
        if (!isfinite(n2))
            return wn_fail(WN_EFORMAT, "row %llu holds NaN or infinity",
                           (unsigned long long)(t->first + i));
        t->norm2[i] = n2;
        t->s[i] = s->metric == WN_METRIC_L2 ? 2 : 1;
        t->p[i] = s->metric == WN_METRIC_L2 ? -n2 : 0;
        if (s->metric == WN_METRIC_COSINE)
            t->s[i] = n > 0 ? 1 / n : 0;
        t->r[i] = t->s[i] * s->gamma * n;
        t->w[i] = t->s[i] * s->tiny + (s->metric == WN_METRIC_COSINE ? 0 : s->h * n2);
    }
    return WN_OK;
}

static wn_err query_facts(struct scan *s)
{
    for (size_t q = 0; q < s->Q; q++) {
        const float *y = s->query + q * s->D;
        s->qn2[q] = dot(y, y, s->D);
        s->qn[q] = sqrt(s->qn2[q]);
        if (!isfinite(s->qn2[q]))
            return wn_fail(WN_EFORMAT, "query %zu holds NaN or infinity", q);
    }
    return WN_OK;
}

/* ---- offering a tile to the queries ---- */

/* Products of this row and query could overflow float32. */
static bool too_large(const struct scan *s, uint64_t i, size_t q)
{
    return sqrt(s->t.norm2[i]) * s->qn[q] >= 0x1p126;
}

static void offer(void *ctx, size_t piece, int thread)
{
    (void)thread;
    struct scan *s = ctx;
    struct tile *t = &s->t;
    size_t q = s->q0 + piece;
    const float *product = t->product + piece * t->n;
    wn_topk *top = &s->top[q];
    struct one_query one = {s, q};
    double qn = s->qn[q];
    double own = s->metric == WN_METRIC_COSINE ? 2 * s->h * qn : s->h * s->qn2[q];
    /* exact scores and bounds must be on one scale: l2 has -|q|^2, the cosine 1/|q| */
    double shift = s->metric == WN_METRIC_L2 ? -s->qn2[q] : 0;
    double unit = s->metric == WN_METRIC_COSINE ? (qn > 0 ? 1 / qn : 0) : 1;
    for (uint64_t i = 0; i < t->n; i++) {
        double score = (t->s[i] * (double)product[i] + t->p[i] + shift) * unit;
        double e = (qn * t->r[i] + t->w[i] + own) * unit;
        if (score + e < top->floor || wn_bit(s->skip, t->first + i))
            continue;
        wn_cand c = {score - e, score + e, t->first + i};
        if (too_large(s, i, q) || !isfinite(c.lo) || !isfinite(c.hi))
            c.lo = c.hi = exact(&one, c.row);
        wn_topk_push(top, c, exact, &one);
    }
}

/* The rare tile in which a product may overflow: a wrong -inf must not pass as a low score. */
static bool may_overflow(const struct scan *s)
{
    double most_x = 0, most_q = 0;
    for (uint64_t i = 0; i < s->t.n; i++)
        most_x = fmax(most_x, s->t.norm2[i]);
    for (size_t q = s->q0; q < s->q1; q++)
        most_q = fmax(most_q, s->qn[q]);
    return sqrt(most_x) * most_q >= 0x1p126;
}

static void mark_overflow(struct scan *s)
{
    for (size_t q = s->q0; q < s->q1; q++)
        for (uint64_t i = 0; i < s->t.n; i++)
            if (too_large(s, i, q))
                s->t.product[(q - s->q0) * s->t.n + i] = NAN;
}

static wn_err scan_tile(struct scan *s)
{
    struct tile *t = &s->t;
    WN_TRY(wn_par_for((t->n + NORM_ROWS - 1) / NORM_ROWS, row_facts, s));
    for (s->q0 = 0; s->q0 < s->Q; s->q0 = s->q1) {
        s->q1 = s->q0 + QUERY_BLOCK < s->Q ? s->q0 + QUERY_BLOCK : s->Q;
        wn_gemm(false, true, s->q1 - s->q0, t->n, s->D, 1, s->query + s->q0 * s->D, s->D,
                s->rows + t->first * s->D, s->D, false, t->product, t->n);
        if (may_overflow(s))
            mark_overflow(s);
        wn_par_do(s->q1 - s->q0, offer, s);
    }
    return WN_OK;
}

static void finish(void *ctx, size_t q, int thread)
{
    (void)thread;
    struct scan *s = ctx;
    struct one_query one = {s, q};
    wn_topk *top = &s->top[q];
    if (top->k)
        wn_topk_finish(top, exact, &one);
    for (size_t i = 0; i < s->k; i++) {
        bool there = i < top->n;
        double v = there ? top->item[i].lo : NAN;
        s->out_row[q * s->k + i] = there ? (int64_t)top->item[i].row : WN_NO_ROW;
        s->out_score[q * s->k + i] = s->metric == WN_METRIC_L2 ? -v : v;
        if (v == 0) /* no "-0" from a distance of nothing */
            s->out_score[q * s->k + i] = 0;
    }
}

/* ---- one search ---- */

static size_t smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

static wn_err reserve(struct scan *s)
{
    size_t block = smaller(s->Q, QUERY_BLOCK), k = smaller(s->k, s->N);
    size_t rows = TILE_FLOATS / block / 16 * 16;
    rows = rows < TILE_MIN ? TILE_MIN : smaller(rows, TILE_MAX);
    s->tile_rows = smaller(rows, s->N ? s->N : 1);
    if (s->Q > SIZE_MAX / sizeof *s->cand / wn_topk_cap(k))
        return wn_fail_nomem(SIZE_MAX, "candidates");
    WN_NEW(s->qn2, s->Q);
    WN_NEW(s->qn, s->Q);
    WN_NEW(s->top, s->Q);
    WN_NEW(s->t.norm2, 5 * s->tile_rows);
    s->t.s = s->t.norm2 + s->tile_rows;
    s->t.p = s->t.s + s->tile_rows;
    s->t.r = s->t.p + s->tile_rows;
    s->t.w = s->t.r + s->tile_rows;
    s->t.product = wn_malloc(block * s->tile_rows * sizeof(float));
    s->cand = wn_malloc(s->Q * wn_topk_cap(k) * sizeof *s->cand);
    if (!s->t.product || !s->cand)
        return WN_ENOMEM;
    for (size_t q = 0; q < s->Q; q++)
        wn_topk_init(&s->top[q], s->cand + q * wn_topk_cap(k), k);
    return WN_OK;
}

static wn_err run(struct scan *s)
{
    WN_TRY(reserve(s));
    WN_TRY(query_facts(s));
    for (uint64_t at = 0; at < s->N; at += s->t.n) {
        s->t.first = at;
        s->t.n = s->N - at < s->tile_rows ? s->N - at : s->tile_rows;
        WN_TRY(scan_tile(s));
        WN_TRY(wn_progress("search", "rows", at + s->t.n, s->N, NULL));
    }
    wn_par_do(s->Q, finish, s);
    return WN_OK;
}

wn_err wn_search_among(int64_t *row, double *score, const float *rows, uint64_t N,
                       const uint64_t *skip, const float *query, size_t Q, size_t D, size_t k,
                       wn_metric metric)
{
    if (D == 0 || D >= 1 << 20)
        return wn_fail(WN_EARG, "search: expected 1 to %d numbers a row, found %zu", (1 << 20) - 1,
                       D);
    if (Q == 0 || k == 0)
        return WN_OK;
    double u = 0x1p-24, Du = (double)D * u;
    struct scan s = {.rows = rows,
                     .query = query,
                     .skip = skip,
                     .N = N,
                     .Q = Q,
                     .D = D,
                     .k = k,
                     .metric = metric,
                     .gamma = Du / (1 - Du) * (1 + 0x1p-20),
                     .tiny = (double)D * 0x1p-125,
                     .h = (double)(D + 16) * 0x1p-51,
                     .out_row = row,
                     .out_score = score};
    wn_err err = run(&s);
    wn_free(s.qn2);
    wn_free(s.qn);
    wn_free(s.top);
    wn_free(s.t.norm2);
    wn_free(s.t.product);
    wn_free(s.cand);
    return err;
}

wn_err wn_search_exact(int64_t *row, double *score, const float *rows, uint64_t N,
                       const float *query, size_t Q, size_t D, size_t k, wn_metric metric)
{
    return wn_search_among(row, score, rows, N, NULL, query, Q, D, k, metric);
}

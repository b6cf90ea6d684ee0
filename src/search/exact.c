/* The scan. A sample of the rows gives the axes that codes are made with (codes.h) and a guess of
 * each query's threshold. Then every thread takes 256 rows at a time: makes their codes, or has
 * them from the blocks beside a store; filters them against all queries (wn_scan); and scores what
 * passes from the stored float32 numbers. A row passes unless its bound is below the query's
 * threshold, so all that belongs to the answer is scored; candidates whose float32 scores lie
 * within their rounding are told apart in float64 (topk.h), and what is returned are float64
 * scores, ties to the smaller row. So nothing depends on threads, tiles or instruction sets, which
 * decide only how much is scored in vain.
 *
 * Thresholds. The guess is a score that about 2.5 k rows reach, taken from the sample. It is no
 * proof, so a query whose k-th best turns out to be below its guess is searched again from what is
 * known by then. As better rows come in, thresholds rise; threads share them without waiting. */
#include "search/search.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/par.h"
#include "base/report.h"
#include "kernel/kernel.h"
#include "search/codes.h"
#include "search/topk.h"

enum {
    SAMPLE_ROWS = 16384,
    SAMPLE_FLOATS = 8 << 20,
    BASIS_ROWS = 4096,           /* of the sample, for the axes */
    CANDIDATE_BYTES = 128 << 20, /* candidates held at once bound the queries of a pass */
    GUESS_FLOATS = 4 << 20       /* scores of sample rows held at once */
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

struct query_state {
    wn_topk top;
    double norm; /* |q| */
    double guess;
    char busy; /* a thread is changing it */
};

struct thread_state {
    int8_t *code;
    wn_row_facts *facts;
    wn_scan_hit *hit;
    float *scratch;
    double *norm; /* [WN_CODE_ROWS] |x|, negative: not taken yet */
};

struct scan {
    const float *rows, *query; /* query: of this pass */
    const uint64_t *skip;
    uint64_t N, left; /* left: rows that may be found */
    size_t Q, D, k;   /* Q: of this pass */
    wn_metric metric;
    double gamma; /* relative error of a float32 sum of D terms, with room for float64's */
    wn_basis basis;
    float *sample; /* [n_sample, D] */
    size_t n_sample;
    wn_coded_queries coded;
    struct query_state *state;
    wn_cand *cand;
    struct thread_state *thread;
    uint64_t done; /* rows, for progress */
    int64_t *out_row;
    double *out_score;
};

/* ---- exact scores ---- */

static double exact_score(const struct scan *s, size_t q, uint64_t row)
{
    const float *x = s->rows + row * s->D, *y = s->query + q * s->D;
    if (s->metric == WN_METRIC_L2)
        return wn_exact_distance2(x, y, s->D);
    double d = wn_exact_dot(x, y, s->D);
    if (s->metric == WN_METRIC_IP)
        return d;
    double n = sqrt(wn_exact_dot(x, x, s->D)) * s->state[q].norm;
    return n > 0 ? d / n : 0;
}

struct one_query {
    const struct scan *s;
    size_t q;
};

/* In the order of candidates: larger is better. */
static double exact(void *ctx, uint64_t row)
{
    const struct one_query *o = ctx;
    double v = exact_score(o->s, o->q, row);
    return o->s->metric == WN_METRIC_L2 ? -v : v;
}

/* ---- candidates ---- */

/* The score within the error of float32 sums; where they may overflow, exactly. */
static wn_cand score_pair(const struct scan *s, size_t q, uint64_t row, double *norm)
{
    const float *x = s->rows + row * s->D, *y = s->query + q * s->D;
    struct one_query one = {s, q};
    double tiny = (double)s->D * 0x1p-125, at, error;
    if (s->metric == WN_METRIC_L2) {
        double d = wn_scan_distance2(x, y, s->D);
        at = -d;
        error = d * s->gamma + tiny;
    } else {
        if (*norm < 0)
            *norm = sqrt(wn_exact_dot(x, x, s->D));
        double size = *norm * s->state[q].norm;
        at = wn_scan_dot(x, y, s->D);
        error = size < 0x1p126 ? size * s->gamma + tiny : INFINITY;
        if (s->metric == WN_METRIC_COSINE && size > 0) {
            at /= size;
            error = error / size + fabs(at) * 0x1p-40;
        }
    }
    wn_cand c = {at - error, at + error, row};
    if (!isfinite(c.lo) || !isfinite(c.hi))
        c.lo = c.hi = exact(&one, row);
    return c;
}

static void lock(char *busy)
{
    while (__atomic_test_and_set(busy, __ATOMIC_ACQUIRE))
        while (__atomic_load_n(busy, __ATOMIC_RELAXED))
            ;
}

static void offer(struct scan *s, size_t q, uint64_t row, double *norm)
{
    struct query_state *t = &s->state[q];
    struct one_query one = {s, q};
    wn_cand c = score_pair(s, q, row, norm);
    if (c.hi < t->guess)
        return;
    lock(&t->busy);
    double floor = t->top.floor;
    if (c.hi >= floor)
        wn_topk_push(&t->top, c, exact, &one);
    if (t->top.floor > floor && t->top.floor > t->guess)
        wn_coded_floor(&s->coded, q, t->top.floor);
    __atomic_clear(&t->busy, __ATOMIC_RELEASE);
}

static void scan_blocks(struct scan *s, struct thread_state *t, uint64_t first, size_t n)
{
    size_t blocks = (n + WN_SCAN_ROWS - 1) / WN_SCAN_ROWS;
    for (size_t i = 0; i < n; i++)
        t->norm[i] = -1;
    for (size_t b = 0; b < blocks; b += WN_SCAN_BLOCKS) {
        size_t m = blocks - b < WN_SCAN_BLOCKS ? blocks - b : WN_SCAN_BLOCKS;
        wn_scan_facts facts[WN_SCAN_BLOCKS];
        for (size_t i = 0; i < m; i++)
            wn_scan_facts_of(&facts[i], t->facts + (b + i) * WN_SCAN_ROWS, &s->basis, &s->coded);
        size_t hits =
            wn_scan(t->hit, t->code + b * WN_SCAN_ROWS * s->basis.d, facts, m, &s->coded.scan);
        for (size_t h = 0; h < hits; h++) {
            size_t r = b * WN_SCAN_ROWS + t->hit[h].row, q = t->hit[h].query;
            if (r < n && q < s->Q && !wn_bit(s->skip, first + r))
                offer(s, q, first + r, &t->norm[r]);
        }
    }
}

static wn_err scan_rows(void *ctx, size_t piece, int thread)
{
    struct scan *s = ctx;
    struct thread_state *t = &s->thread[thread];
    uint64_t first = (uint64_t)piece * WN_CODE_ROWS;
    size_t n = s->N - first < WN_CODE_ROWS ? (size_t)(s->N - first) : WN_CODE_ROWS, bad;
    wn_encode_rows(t->code, t->facts, &bad, &s->basis, s->rows + first * s->D, n, t->scratch);
    if (bad < n)
        return wn_fail(WN_EFORMAT, "row %llu holds NaN or infinity",
                       (unsigned long long)(first + bad));
    scan_blocks(s, t, first, n);
    uint64_t done = __atomic_add_fetch(&s->done, n, __ATOMIC_RELAXED);
    return thread == 0 ? wn_progress("search", "rows", done, s->N, NULL) : WN_OK;
}

/* ---- the sample: basis and guesses ---- */

static wn_err take_sample(struct scan *s)
{
    uint64_t most = SAMPLE_FLOATS / s->D, n = SAMPLE_ROWS < most ? SAMPLE_ROWS : most;
    n = n < s->N ? n : s->N;
    WN_NEW(s->sample, n * s->D + 1);
    for (uint64_t i = 0; i < n; i++) {
        uint64_t row = (uint64_t)((unsigned __int128)s->N * i / n);
        const float *x = s->rows + row * s->D;
        if (wn_bit(s->skip, row))
            continue;
        if (!isfinite(wn_exact_dot(x, x, s->D)))
            return wn_fail(WN_EFORMAT, "row %llu holds NaN or infinity", (unsigned long long)row);
        memcpy(s->sample + s->n_sample++ * s->D, x, s->D * sizeof *x);
    }
    size_t step = s->n_sample / BASIS_ROWS + 1, m = 0;
    float *few = wn_malloc((s->n_sample / step + 1) * s->D * sizeof *few);
    if (!few)
        return WN_ENOMEM;
    for (size_t i = 0; i < s->n_sample; i += step)
        memcpy(few + m++ * s->D, s->sample + i * s->D, s->D * sizeof *few);
    wn_err e = wn_basis_new(&s->basis, few, m, s->D, s->metric == WN_METRIC_COSINE);
    wn_free(few);
    return e;
}

struct guess_job {
    struct scan *s;
    const float *product; /* [queries, n_sample] */
    const double *norm2;  /* [n_sample] */
    float *room;          /* [threads][n_sample] */
    size_t q0, rank;
};

/* The rank-th largest (from 0) of x [n], which it reorders. */
static float select_largest(float *x, size_t n, size_t rank)
{
    size_t lo = 0, hi = n - 1;
    while (lo < hi) {
        float pivot = x[lo + (hi - lo) / 2];
        size_t i = lo, j = hi;
        for (;;) {
            while (x[i] > pivot)
                i++;
            while (pivot > x[j])
                j--;
            if (i >= j)
                break;
            float y = x[i];
            x[i++] = x[j];
            x[j--] = y;
        }
        size_t cut = i == j ? i + 1 : i;
        if (rank < cut && hi > cut - 1)
            hi = cut - 1;
        else if (rank < cut)
            hi--;
        else
            lo = cut;
    }
    return x[rank];
}

static void guess_one(void *ctx, size_t i, int thread)
{
    struct guess_job *j = ctx;
    struct scan *s = j->s;
    size_t n = s->n_sample, q = j->q0 + i;
    float *score = j->room + (size_t)thread * n;
    for (size_t r = 0; r < n; r++) {
        double p = j->product[i * n + r];
        if (s->metric == WN_METRIC_L2)
            p = 2 * p - j->norm2[r] - s->state[q].norm * s->state[q].norm;
        else if (s->metric == WN_METRIC_COSINE)
            p /= sqrt(j->norm2[r]) * s->state[q].norm;
        score[r] = isfinite((float)p) ? (float)p : -INFINITY;
    }
    double guess = select_largest(score, n, j->rank);
    s->state[q].guess = guess - fabs(guess) * 1e-6;
}

/* A score that a few more than k rows reach: what the sample has at k's share, and room for
 * chance. */
static wn_err guess(struct scan *s)
{
    double share = (double)s->n_sample * (double)s->k / (double)s->left;
    size_t n = s->n_sample, rank = (size_t)(share + 4 * sqrt(share) + 4);
    if (n >= s->left || rank >= n / 2)
        return WN_OK;
    size_t block = GUESS_FLOATS / n + 1;
    struct guess_job j = {.s = s, .rank = rank};
    float *product = wn_malloc(block * n * sizeof *product);
    double *norm2 = wn_malloc(n * sizeof *norm2);
    j.room = wn_malloc((size_t)wn_par_threads() * n * sizeof *j.room);
    j.product = product;
    j.norm2 = norm2;
    wn_err e = product && norm2 && j.room ? WN_OK : WN_ENOMEM;
    for (size_t i = 0; !e && i < n; i++)
        norm2[i] = wn_exact_dot(s->sample + i * s->D, s->sample + i * s->D, s->D);
    for (j.q0 = 0; !e && j.q0 < s->Q; j.q0 += block) {
        size_t m = s->Q - j.q0 < block ? s->Q - j.q0 : block;
        wn_gemm(false, true, m, n, s->D, 1, s->query + j.q0 * s->D, s->D, s->sample, s->D, false,
                product, n);
        wn_par_do(m, guess_one, &j);
    }
    wn_free(product);
    wn_free(norm2);
    wn_free(j.room);
    return e;
}

/* ---- a pass ---- */

static wn_err query_facts(struct scan *s)
{
    for (size_t q = 0; q < s->Q; q++) {
        const float *y = s->query + q * s->D;
        double n2 = wn_exact_dot(y, y, s->D);
        if (!isfinite(n2))
            return wn_fail(WN_EFORMAT, "query %zu holds NaN or infinity", q);
        s->state[q] = (struct query_state){.norm = sqrt(n2), .guess = -INFINITY};
        wn_topk_init(&s->state[q].top, s->cand + q * wn_topk_cap(s->k), s->k);
    }
    return WN_OK;
}

static wn_err scan_all(struct scan *s)
{
    s->done = 0;
    for (size_t q = 0; q < s->Q; q++)
        if (s->state[q].guess > -INFINITY)
            wn_coded_floor(&s->coded, q, s->state[q].guess);
    return wn_par_for((size_t)((s->N + WN_CODE_ROWS - 1) / WN_CODE_ROWS), scan_rows, s);
}

static void finish_one(void *ctx, size_t q, int thread)
{
    (void)thread;
    struct scan *s = ctx;
    struct one_query one = {s, q};
    wn_topk_finish(&s->state[q].top, exact, &one);
}

static void finish(struct scan *s, size_t q, int64_t *row, double *score, size_t k)
{
    const wn_topk *top = &s->state[q].top;
    for (size_t i = 0; i < k; i++) {
        bool there = i < top->n;
        double v = there ? top->item[i].lo : NAN;
        row[i] = there ? (int64_t)top->item[i].row : WN_NO_ROW;
        score[i] = s->metric == WN_METRIC_L2 ? -v : v;
        if (v == 0) /* no "-0" from a distance of nothing */
            score[i] = 0;
    }
}

/* Whether rows below the guess may belong to the answer. */
static bool guessed_too_high(const struct query_state *t, size_t k)
{
    return t->guess > -INFINITY && (t->top.n < k || t->top.item[k - 1].lo < t->guess);
}

/* Searches s->Q queries once; their states then hold the answers. */
static wn_err attempt(struct scan *s, bool with_guess)
{
    WN_TRY(query_facts(s));
    WN_TRY(wn_code_queries(&s->coded, &s->basis, s->metric, s->query, s->Q));
    if (with_guess)
        WN_TRY(guess(s));
    WN_TRY(scan_all(s));
    wn_par_do(s->Q, finish_one, s);
    wn_coded_queries_free(&s->coded);
    return WN_OK;
}

/* Searches s->Q queries; those whose guess was too high are searched again without one. */
static wn_err pass(struct scan *s, int64_t *row, double *score, size_t width)
{
    WN_TRY(attempt(s, true));
    size_t again = 0, n = 0;
    for (size_t q = 0; q < s->Q; q++) {
        if (guessed_too_high(&s->state[q], s->k))
            again++;
        else
            finish(s, q, row + q * width, score + q * width, width);
    }
    if (!again)
        return WN_OK;
    size_t *which = wn_malloc(again * sizeof *which);
    float *query = wn_malloc(again * s->D * sizeof *query);
    wn_err e = which && query ? WN_OK : WN_ENOMEM;
    for (size_t q = 0; !e && q < s->Q; q++)
        if (guessed_too_high(&s->state[q], s->k)) {
            memcpy(query + n * s->D, s->query + q * s->D, s->D * sizeof *query);
            which[n++] = q;
        }
    if (!e) {
        s->query = query;
        s->Q = again;
        e = attempt(s, false);
    }
    for (size_t i = 0; !e && i < again; i++)
        finish(s, i, row + which[i] * width, score + which[i] * width, width);
    wn_free(which);
    wn_free(query);
    return e;
}

/* ---- one search ---- */

static wn_err reserve(struct scan *s, size_t most_queries)
{
    size_t threads = (size_t)wn_par_threads(), d = s->basis.d;
    size_t padded = (most_queries + WN_SCAN_QUERIES - 1) / WN_SCAN_QUERIES * WN_SCAN_QUERIES;
    WN_NEW(s->state, most_queries);
    WN_NEW(s->thread, threads);
    s->cand = wn_malloc(most_queries * wn_topk_cap(s->k) * sizeof *s->cand);
    for (size_t i = 0; i < threads; i++) {
        struct thread_state *t = &s->thread[i];
        t->code = wn_malloc(WN_CODE_ROWS * d);
        t->facts = wn_malloc(WN_CODE_ROWS * sizeof *t->facts);
        t->hit = wn_malloc(WN_SCAN_BLOCKS * WN_SCAN_ROWS * padded * sizeof *t->hit);
        t->scratch = wn_malloc(wn_encode_scratch(&s->basis) * sizeof(float));
        t->norm = wn_malloc(WN_CODE_ROWS * sizeof *t->norm);
        if (!t->code || !t->facts || !t->hit || !t->scratch || !t->norm)
            return WN_ENOMEM;
    }
    return s->cand ? WN_OK : WN_ENOMEM;
}

static void release(struct scan *s)
{
    for (size_t i = 0; s->thread && i < (size_t)wn_par_threads(); i++) {
        struct thread_state *t = &s->thread[i];
        wn_free(t->code);
        wn_free(t->facts);
        wn_free(t->hit);
        wn_free(t->scratch);
        wn_free(t->norm);
    }
    wn_coded_queries_free(&s->coded);
    wn_basis_free(&s->basis);
    wn_free(s->sample);
    wn_free(s->thread);
    wn_free(s->state);
    wn_free(s->cand);
}

static uint64_t rows_left(const uint64_t *skip, uint64_t N)
{
    uint64_t left = N;
    for (uint64_t i = 0; skip && i < N; i++)
        left -= wn_bit(skip, i);
    return left;
}

static wn_err run(struct scan *s, int64_t *row, double *score, const float *query, size_t Q,
                  size_t width)
{
    if (s->left == 0) {
        for (size_t i = 0; i < Q * width; i++) {
            row[i] = WN_NO_ROW;
            score[i] = NAN;
        }
        return WN_OK;
    }
    s->k = width < s->left ? width : (size_t)s->left;
    if (s->k > CANDIDATE_BYTES)
        return wn_fail(WN_EARG, "search: k %zu: at most %d", s->k, CANDIDATE_BYTES);
    WN_TRY(take_sample(s));
    size_t block = CANDIDATE_BYTES / (wn_topk_cap(s->k) * sizeof *s->cand);
    block = block < WN_SCAN_QUERIES ? WN_SCAN_QUERIES : block;
    block = block < Q ? block : Q;
    WN_TRY(reserve(s, block));
    for (size_t q = 0; q < Q; q += block) {
        s->query = query + q * s->D;
        s->Q = Q - q < block ? Q - q : block;
        WN_TRY(pass(s, row + q * width, score + q * width, width));
    }
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
    struct scan s = {.rows = rows,
                     .skip = skip,
                     .N = N,
                     .left = rows_left(skip, N),
                     .D = D,
                     .metric = metric,
                     .gamma = ((double)D / 8 + 80) * 0x1p-24};
    wn_err err = run(&s, row, score, query, Q, k);
    release(&s);
    return err;
}

wn_err wn_search_exact(int64_t *row, double *score, const float *rows, uint64_t N,
                       const float *query, size_t Q, size_t D, size_t k, wn_metric metric)
{
    return wn_search_among(row, score, rows, N, NULL, query, Q, D, k, metric);
}

/* The scan. A sample of the rows gives the centre of their codes (codes.h) and a guess of each
 * query's threshold (guess.c). Then every thread takes a piece of the rows at a time: makes
 * their codes, or has them from a file beside the store (code_file.h); filters them against all
 * queries (wn_scan), and what passes again by the queries' finer codes (wn_scan_refine); and scores
 * what is left from the stored numbers, in float64 (span.c). A row passes unless its bound is below
 * the query's threshold, so all that belongs to the answer is scored. What is returned are these
 * scores, ties to the smaller row. So nothing depends on threads, tiles or instruction sets, which
 * decide only how much is scored in vain. (Float32 sums before the others ruled out a third of what
 * the finer codes let pass, and cost as much as they saved.)
 *
 * A guess is no proof, so a query whose k-th best turns out to be below it is searched again
 * without one. As better rows come in, thresholds rise (tighten.c); threads share them without
 * waiting. */
#include "search/exact.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/par.h"
#include "base/report.h"
#include "kernel/kernel.h"

enum {
    CANDIDATE_BYTES = 96 << 20, /* candidates held at once bound the queries of a pass */
    HIT_BYTES = 8 << 20,        /* of a span: bound its rows */
    FOUND = 16384               /* candidates that a thread collects before it hands them over */
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

size_t wn_search_together(size_t k)
{
    size_t n = CANDIDATE_BYTES / (wn_topk_cap(k) * sizeof(wn_cand));
    return n < 1 ? 1 : n;
}

double wn_search_memory(size_t Q, size_t k, size_t D, bool large)
{
    double d = (double)wn_code_length(D), row = (double)wn_code_row_bytes(D);
    double hits = fmin(HIT_BYTES, (double)WN_CODE_ROWS * (double)Q * sizeof(wn_scan_hit));
    double thread = 2 * hits + FOUND * (double)sizeof(struct found) + WN_CODE_ROWS * row;
    double query = (double)wn_topk_cap(k) * sizeof(wn_cand) + 8 * (double)D + 2 * d;
    double window = (double)WN_WINDOW_BYTES * (1 + row / (4 * (double)D));
    return wn_par_threads() * thread + (double)Q * query + wn_sample_bytes(Q, D) +
           (large ? window : (double)WN_WINDOW_BYTES * row / (4 * (double)D));
}

/* ---- candidates ---- */

static void lock(char *busy)
{
    while (__atomic_test_and_set(busy, __ATOMIC_ACQUIRE))
        while (__atomic_load_n(busy, __ATOMIC_RELAXED))
            ;
}

/* Hands what a thread has found over, query by query: so a query's state, which threads take turns
 * to write, is fetched once for several candidates. */
void wn_scan_hand_over(struct scan *s, struct scan_thread *t)
{
    memset(t->place, 0, (s->Q + 1) * sizeof *t->place);
    for (size_t i = 0; i < t->n_found; i++)
        t->place[t->found[i].query + 1]++;
    for (size_t q = 0; q < s->Q; q++)
        t->place[q + 1] += t->place[q];
    for (size_t i = 0; i < t->n_found; i++)
        t->order[t->place[t->found[i].query]++] = (uint32_t)i;
    for (size_t i = 0; i < t->n_found;) {
        size_t q = t->found[t->order[i]].query;
        struct query_state *state = &s->state[q];
        lock(&state->busy);
        double floor = state->top.floor;
        for (; i < t->n_found && t->found[t->order[i]].query == q; i++) {
            const struct found *f = &t->found[t->order[i]];
            if (f->score >= state->top.floor)
                wn_topk_push(&state->top, (wn_cand){f->score, f->row});
        }
        if (state->top.floor > floor && state->top.floor > s->guess[q])
            wn_coded_floor(&s->coded, q, state->top.floor);
        __atomic_clear(&state->busy, __ATOMIC_RELEASE);
    }
    t->n_found = 0;
}

void wn_scan_found(struct scan *s, struct scan_thread *t, struct found f)
{
    t->found[t->n_found++] = f;
    if (t->n_found == FOUND)
        wn_scan_hand_over(s, t);
}

/* ---- rows ---- */

/* The codes of rows [first, first + n), made now: from row `from` of the window's i-th piece on. */
static wn_err make_codes(wn_code_piece *p, struct scan *s, struct scan_thread *t, size_t i,
                         size_t from, uint64_t first, size_t n)
{
    int8_t *code = t->code;
    wn_row_facts *facts = t->facts;
    uint64_t *sum = NULL;
    size_t bad;
    if (s->writer) {
        wn_code_writer_room(s->writer, i, &code, &facts, &sum);
        code += from * s->basis->d;
        facts += from;
        sum += from;
    }
    wn_encode_rows(code, facts, &bad, s->basis, s->rows + first * s->D, n, t->scratch);
    if (bad < n)
        return wn_fail(WN_EFORMAT, "row %llu holds NaN or infinity",
                       (unsigned long long)wn_scan_row(s, first + bad));
    for (size_t r = 0; sum && r < n; r++)
        sum[r] = wn_row_sum(s->rows + (first + r) * s->D, s->D);
    *p = (wn_code_piece){code, facts, NULL};
    return WN_OK;
}

/* Rows [first, first + n), whose codes these are. Where codes are kept, the rows of a span's hits
 * are asked for while the next one is filtered, and scored then; else they have just been read, and
 * those from `next` on are asked for. */
static wn_err scan_span(struct scan *s, struct scan_thread *t, const wn_code_piece *p,
                        uint64_t first, size_t n, uint64_t next)
{
    struct scan_span *now = &t->span[t->turn], *before = &t->span[1 - t->turn];
    size_t bytes = s->D * sizeof *s->rows, left = s->N > next ? (size_t)(s->N - next) : 0;
    wn_scan_ahead ahead = {.stride = bytes, .lines = (bytes + 63) / 64};
    wn_scan_queries q = s->coded.scan;
    ahead.base = (const char *)(s->rows + (s->file ? before->first : left ? next : 0) * s->D);
    ahead.n = s->file ? before->asked : left < s->room_rows ? left : s->room_rows;
    ahead.row = s->file ? before->row : NULL;
    wn_scan_facts_of(t->bound, p->facts, wn_code_blocks(n), s->basis, &s->coded);
    wn_coded_floors(t->floor, &s->coded);
    q.floor = t->floor;
    size_t hits = wn_scan(now->hit, p->code, t->bound, wn_code_blocks(n), &q, &ahead);
    hits = wn_scan_refine(now->hit, hits, p->code, t->bound, &q);
    wn_span_hits(now, s, hits, first, n, p->sum);
    if (!s->file)
        return wn_span_score(s, t, now);
    t->turn = 1 - t->turn;
    return wn_span_score(s, t, before);
}

static uint64_t first_row(const struct scan *s, size_t i)
{
    return s->from + (uint64_t)wn_scan_place(s, i) * WN_CODE_ROWS;
}

wn_err wn_scan_piece(void *scan, size_t i, int thread)
{
    struct scan *s = scan;
    struct scan_thread *t = &s->thread[thread];
    uint64_t first = first_row(s, i);
    size_t n = s->N - first < WN_CODE_ROWS ? (size_t)(s->N - first) : WN_CODE_ROWS;
    wn_code_piece kept = {0}, p = {0};
    if (s->file && !wn_code_file_piece(&kept, s->file, wn_scan_row(s, first) / WN_CODE_ROWS)) {
        __atomic_store_n(&s->use->damaged, true, __ATOMIC_RELAXED);
        return wn_fail(WN_EFORMAT, "codes of rows from %llu: not what was written",
                       (unsigned long long)wn_scan_row(s, first));
    }
    for (size_t from = 0; from < n; from += s->room_rows) {
        size_t m = n - from < s->room_rows ? n - from : s->room_rows;
        uint64_t next = first + from + m;
        if (from + m == n) /* most likely, as threads take turns */
            next = first_row(s, i + (size_t)wn_par_threads());
        if (s->file)
            p = (wn_code_piece){kept.code + from * s->basis->d, kept.facts + from, kept.sum + from};
        else
            WN_TRY(make_codes(&p, s, t, wn_scan_place(s, i), from, first + from, m));
        if (s->Q)
            WN_TRY(scan_span(s, t, &p, first + from, m, next));
    }
    if (s->writer)
        wn_code_writer_made(s->writer, wn_scan_place(s, i));
    if (s->eager && s->Q)
        wn_scan_hand_over(s, t);
    uint64_t done = __atomic_add_fetch(&s->done, n, __ATOMIC_RELAXED);
    return thread == 0 ? wn_progress(s->Q ? "search" : "codes", "rows", done, s->N, NULL) : WN_OK;
}

wn_err wn_scan_flush(struct scan *s)
{
    for (size_t i = 0; i < (size_t)wn_par_threads(); i++)
        for (int j = 0; j < 2; j++)
            WN_TRY(wn_span_score(s, &s->thread[i], &s->thread[i].span[j]));
    return WN_OK;
}

/* ---- a pass ---- */

void wn_scan_begin(struct scan *s, wn_cand *cand)
{
    for (size_t q = 0; q < s->Q; q++) {
        const float *y = s->query + q * s->D;
        s->state[q] = (struct query_state){.norm = sqrt(wn_exact_dot(y, y, s->D))};
        s->guess[q] = -INFINITY;
        wn_topk_init(&s->state[q].top, cand + q * wn_topk_cap(s->k), s->k);
    }
}

static wn_err refuse_queries(const wn_asked *ask, size_t n, size_t D)
{
    for (size_t a = 0; a < n; a++)
        for (size_t q = 0; q < ask[a].Q; q++)
            if (!isfinite(wn_exact_dot(ask[a].query + q * D, ask[a].query + q * D, D)))
                return wn_fail(WN_EFORMAT, "query %zu holds NaN or infinity", q);
    return WN_OK;
}

static void finish_one(void *ctx, size_t q, int thread)
{
    (void)thread;
    struct scan *s = ctx;
    wn_topk_finish(&s->state[q].top);
}

static void finish(const struct scan *s, size_t q)
{
    const wn_topk *top = &s->state[q].top;
    const struct wanted *w = &s->want[q];
    for (size_t i = 0; i < w->k; i++) {
        bool there = i < top->n;
        double v = there ? top->item[i].score : NAN;
        w->row[i] = there ? (int64_t)wn_scan_row(s, top->item[i].row) : WN_NO_ROW;
        w->score[i] = there && s->metric == WN_METRIC_L2 ? -v : v;
        if (v == 0) /* no "-0" from a distance of nothing */
            w->score[i] = 0;
    }
}

/* Whether rows below the guess may belong to the answer. */
static bool guessed_too_high(const struct scan *s, size_t q)
{
    const wn_topk *t = &s->state[q].top;
    return s->guess[q] > -INFINITY && (t->n < s->k || t->item[s->k - 1].score < s->guess[q]);
}

/* Searches s->Q queries once; their states then hold the answers. */
static wn_err attempt(struct scan *s, wn_cand *cand, bool sure)
{
    wn_scan_begin(s, cand);
    WN_TRY(wn_code_queries(&s->coded, s->basis, s->metric, s->query, s->Q));
    s->eager = true;
    s->sure = sure;
    if (!sure)
        WN_TRY(wn_guess(s));
    WN_TRY(wn_scan_all(s));
    wn_par_do(s->Q, finish_one, s);
    wn_coded_queries_free(&s->coded);
    return WN_OK;
}

/* Searches s->Q queries; those whose guess was too high are searched again without one. */
static wn_err pass(struct scan *s, wn_cand *cand)
{
    WN_TRY(attempt(s, cand, false));
    size_t again = 0, n = 0;
    for (size_t q = 0; q < s->Q; q++) {
        if (guessed_too_high(s, q))
            again++;
        else
            finish(s, q);
    }
    if (!again)
        return WN_OK;
    struct wanted *want = wn_malloc(again * sizeof *want);
    float *query = wn_malloc(again * s->D * sizeof *query);
    wn_err e = want && query ? WN_OK : WN_ENOMEM;
    for (size_t q = 0; !e && q < s->Q; q++)
        if (guessed_too_high(s, q)) {
            memcpy(query + n * s->D, s->query + q * s->D, s->D * sizeof *query);
            want[n++] = s->want[q];
        }
    if (!e) {
        s->query = query;
        s->want = want;
        s->Q = again;
        e = attempt(s, cand, true);
    }
    for (size_t i = 0; !e && i < again; i++)
        finish(s, i);
    wn_free(want);
    wn_free(query);
    return e;
}

/* ---- one search ---- */

static wn_err reserve(struct scan *s, size_t most_queries)
{
    size_t threads = (size_t)wn_par_threads(), d = s->basis->d;
    size_t padded = (most_queries / WN_SCAN_QUERIES + 1) * WN_SCAN_QUERIES;
    size_t rows = HIT_BYTES / (padded * sizeof(wn_scan_hit)) / WN_SCAN_ROWS * WN_SCAN_ROWS;
    s->room_rows = rows < WN_SCAN_ROWS ? WN_SCAN_ROWS : rows < WN_CODE_ROWS ? rows : WN_CODE_ROWS;
    WN_NEW(s->state, most_queries + 1);
    WN_NEW(s->guess, most_queries + 1);
    WN_NEW(s->thread, threads);
    for (size_t i = 0; i < threads; i++) {
        struct scan_thread *t = &s->thread[i];
        t->code = wn_malloc(WN_CODE_ROWS * d);
        t->facts = wn_malloc(WN_CODE_ROWS * sizeof *t->facts);
        t->bound = wn_malloc(WN_CODE_ROWS / WN_SCAN_ROWS * sizeof *t->bound);
        for (int j = 0; j < 2; j++)
            t->span[j].hit = wn_malloc((s->room_rows * padded + 1) * sizeof *t->span[j].hit);
        t->scratch = wn_malloc(wn_encode_scratch(s->basis) * sizeof(float));
        t->floor = wn_malloc(padded * sizeof *t->floor);
        t->found = wn_malloc(FOUND * sizeof *t->found);
        t->order = wn_malloc(FOUND * sizeof *t->order);
        t->place = wn_malloc((most_queries + 1) * sizeof *t->place);
        if (!t->code || !t->facts || !t->bound || !t->span[0].hit || !t->span[1].hit ||
            !t->scratch || !t->floor || !t->found || !t->order || !t->place)
            return WN_ENOMEM;
    }
    return WN_OK;
}

static void release(struct scan *s)
{
    for (size_t i = 0; s->thread && i < (size_t)wn_par_threads(); i++) {
        struct scan_thread *t = &s->thread[i];
        wn_free(t->code);
        wn_free(t->facts);
        wn_free(t->bound);
        wn_free(t->span[0].hit);
        wn_free(t->span[1].hit);
        wn_free(t->scratch);
        wn_free(t->floor);
        wn_free(t->found);
        wn_free(t->order);
        wn_free(t->place);
    }
    wn_coded_queries_free(&s->coded);
    wn_free(s->thread);
    wn_free(s->state);
    wn_free(s->guess);
}

static uint64_t rows_left(const uint64_t *skip, uint64_t N)
{
    uint64_t left = N;
    for (uint64_t i = 0; skip && i < N; i++)
        left -= wn_bit(skip, i);
    return left;
}

/* All queries, one behind the other, and what each may find. */
struct queries {
    struct wanted *want;
    float *copy; /* NULL: they lie so already */
    const float *query;
    size_t Q;
};

static void queries_free(struct queries *a)
{
    wn_free(a->want);
    wn_free(a->copy);
}

static wn_err join(struct queries *a, const wn_asked *ask, size_t n, size_t D)
{
    *a = (struct queries){.query = n ? ask[0].query : NULL};
    for (size_t i = 0; i < n; i++)
        a->Q += ask[i].Q;
    a->want = wn_malloc((a->Q + 1) * sizeof *a->want);
    if (n > 1)
        a->query = a->copy = wn_malloc((a->Q * D + 1) * sizeof *a->copy);
    if (!a->want || (n > 1 && !a->copy))
        return WN_ENOMEM;
    for (size_t i = 0, at = 0; i < n; at += ask[i++].Q) {
        if (a->copy)
            memcpy(a->copy + at * D, ask[i].query, ask[i].Q * D * sizeof *a->copy);
        for (size_t q = 0; q < ask[i].Q; q++)
            a->want[at + q] = (struct wanted){ask[i].skip, ask[i].row + q * ask[i].k,
                                              ask[i].score + q * ask[i].k, ask[i].k};
    }
    return WN_OK;
}

/* With s->basis. */
static wn_err run(struct scan *s, const struct queries *all)
{
    size_t block = wn_search_together(s->k);
    block = block < all->Q ? block : all->Q;
    WN_TRY(reserve(s, block));
    wn_cand *cand = wn_malloc(block * wn_topk_cap(s->k) * sizeof *cand);
    wn_err e = cand ? WN_OK : WN_ENOMEM;
    for (size_t q = 0; !e && q < all->Q; q += block) {
        s->query = all->query + q * s->D;
        s->want = all->want + q;
        s->Q = all->Q - q < block ? all->Q - q : block;
        e = pass(s, cand);
    }
    wn_free(cand);
    return e;
}

/* Where codes are kept they are made in a basis that no query and no row struck out has a part in:
 * the same file whoever makes it. */
static wn_err keep_codes(struct scan *s, wn_basis *made)
{
    struct scan all = *s;
    all.never = NULL;
    WN_TRY(wn_sample_basis(made, &all));
    return wn_scan_keep(s, made);
}

static wn_err scan_rows(struct scan *s, wn_basis *made, const struct queries *all)
{
    if (!s->file && s->use->keep)
        WN_TRY(keep_codes(s, made));
    if (!s->file && !made->centre)
        WN_TRY(wn_sample_basis(made, s));
    s->basis = s->file ? wn_code_file_basis(s->file) : made;
    if (all->Q)
        return run(s, all);
    WN_TRY(reserve(s, 0));
    return wn_scan_all(s);
}

/* The largest k and the most rows that an asker has left, and the rows that none has: *never,
 * wn_free, NULL: each row is for someone. */
static wn_err survey(struct scan *s, uint64_t **never, const wn_asked *ask, size_t n)
{
    size_t words = (size_t)(s->N / 64 + 1);
    bool all = n == 0;
    *never = NULL;
    for (size_t i = 0; i < n; i++) {
        uint64_t left = rows_left(ask[i].skip, s->N);
        s->left = left > s->left ? left : s->left;
        s->k = ask[i].k > s->k ? ask[i].k : s->k;
        all = all || !ask[i].skip;
    }
    s->k = s->k < s->left ? s->k : (size_t)s->left;
    if (s->k > CANDIDATE_BYTES)
        return wn_fail(WN_EARG, "search: k %zu: at most %d", s->k, CANDIDATE_BYTES);
    if (all)
        return WN_OK;
    WN_NEW(*never, words);
    memcpy(*never, ask[0].skip, s->N / 64 * sizeof **never);
    for (uint64_t r = s->N / 64 * 64; r < s->N; r++)
        if (wn_bit(ask[0].skip, r))
            wn_bit_set(*never, r);
    for (uint64_t r = 0; r < s->N && n > 1; r++)
        for (size_t i = 1; i < n && wn_bit(*never, r); i++)
            if (!wn_bit(ask[i].skip, r))
                (*never)[r / 64] &= ~((uint64_t)1 << (r % 64));
    return WN_OK;
}

static void answer_nothing(const wn_asked *ask, size_t n)
{
    for (size_t a = 0; a < n; a++)
        for (size_t i = 0; i < ask[a].Q * ask[a].k; i++) {
            ask[a].row[i] = WN_NO_ROW;
            ask[a].score[i] = NAN;
        }
}

wn_err wn_search_coded(const wn_coded_rows *of, wn_code_use *use, const wn_asked *ask, size_t n,
                       wn_metric metric)
{
    wn_basis made = {0};
    uint64_t *never;
    struct queries all;
    struct scan s = {.rows = of->rows,
                     .N = of->N,
                     .D = of->D,
                     .metric = metric,
                     .of = of,
                     .file = use->file,
                     .use = use};
    use->damaged = false;
    WN_ASSERT(of->first % WN_CODE_ROWS == 0);
    if (s.D == 0 || s.D >= 1 << 20)
        return wn_fail(WN_EARG, "search: expected 1 to %d numbers a row, found %zu", (1 << 20) - 1,
                       s.D);
    WN_TRY(survey(&s, &never, ask, n));
    s.never = never;
    if (n && (s.k == 0 || s.left == 0)) {
        answer_nothing(ask, n);
        wn_free(never);
        return WN_OK;
    }
    wn_err e = join(&all, ask, n, s.D);
    if (!e)
        e = refuse_queries(ask, n, s.D);
    if (of->large && of->store)
        wn_store_scattered(of->store, true);
    if (!e && (all.Q || (n == 0 && use->keep)))
        e = scan_rows(&s, &made, &all);
    if (of->large && of->store)
        wn_store_scattered(of->store, false);
    use->file = s.file;
    wn_code_writer_abort(s.writer);
    queries_free(&all);
    wn_free(never);
    release(&s);
    wn_basis_free(&made);
    return e;
}

wn_err wn_code_file_write(const char *path, const wn_coded_rows *of)
{
    wn_code_use use = {.keep = path, .must = true};
    wn_metric metric = of->cosine ? WN_METRIC_COSINE : WN_METRIC_L2;
    wn_err e = wn_search_coded(of, &use, NULL, 0, metric);
    wn_code_file_close(use.file);
    return e;
}

wn_err wn_search_among(int64_t *row, double *score, const float *rows, uint64_t N,
                       const uint64_t *skip, const float *query, size_t Q, size_t D, size_t k,
                       wn_metric metric)
{
    const wn_coded_rows of = {.rows = rows, .N = N, .D = D, .cosine = metric == WN_METRIC_COSINE};
    wn_code_use none = {0};
    const wn_asked ask = {query, Q, k, skip, row, score};
    return wn_search_coded(&of, &none, &ask, 1, metric);
}

wn_err wn_search_exact(int64_t *row, double *score, const float *rows, uint64_t N,
                       const float *query, size_t Q, size_t D, size_t k, wn_metric metric)
{
    return wn_search_among(row, score, rows, N, NULL, query, Q, D, k, metric);
}

/* What a sample of the rows tells: the centre of codes, and thresholds to begin with.
 *
 * A threshold is the score of the row whose rank in the sample is k's share of it, and room for
 * chance. About k (1 + 4 / sqrt(share)) rows reach it, so that a larger sample saves rows that are
 * scored in vain. It is a guess, so the sample's scores are those of codes, without their bound:
 * rows are not read again, and where codes are kept not at all. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/par.h"
#include "search/exact.h"

enum {
    FEW_QUERIES = 256,
    FEW_ROWS = 8192, /* a better threshold is worth more rows to many queries than to few, and
                        least where the scan itself will better it (tighten.c) */
    MANY_ROWS = 65536,
    SAMPLE_BYTES = 48 << 20,
    BASIS_ROWS = 4096,
    BASIS_FLOATS = 8 << 20,
    LARGE_BLOCKS = 128,
    PIECE_BLOCKS = 8,
    PART = 16
};

/* Row i of n that are spread evenly over all. */
static uint64_t spread(const struct scan *s, uint64_t i, uint64_t n)
{
    return (uint64_t)((unsigned __int128)s->N * i / n);
}

wn_err wn_sample_basis(wn_basis *b, const struct scan *s)
{
    uint64_t most = BASIS_FLOATS / s->D + 1, n = most < BASIS_ROWS ? most : BASIS_ROWS;
    size_t m = 0;
    n = n < s->N ? n : s->N;
    float *few = wn_malloc((n * s->D + 1) * sizeof *few);
    wn_err e = few ? WN_OK : WN_ENOMEM;
    for (uint64_t i = 0; s->of->large && s->of->store && i < n; i++)
        wn_store_ahead(s->of->store, wn_scan_row(s, spread(s, i, n)), 1);
    for (uint64_t i = 0; !e && i < n; i++) {
        uint64_t row = spread(s, i, n);
        const float *x = s->rows + row * s->D;
        if (wn_bit(s->never, row))
            continue;
        bool finite = isfinite(wn_exact_dot(x, x, s->D));
        if (!finite && s->of->store) /* damaged rather than wrong? */
            e = wn_store_verify(s->of->store, wn_scan_row(s, row), 1);
        if (!finite && !e)
            e = wn_fail(WN_EFORMAT, "row %llu holds NaN or infinity",
                        (unsigned long long)wn_scan_row(s, row));
        memcpy(few + m++ * s->D, x, s->D * sizeof *x);
    }
    if (!e)
        e = wn_basis_new(b, few, m, s->D, s->metric == WN_METRIC_COSINE);
    wn_free(few);
    return e;
}

/* ---- the sample's codes ---- */

struct sample {
    struct scan *s;
    size_t n; /* rows asked for, some of which are skipped */
    size_t rows;
    uint64_t *row; /* [n] which ones: any run of them is spread evenly too */
    int8_t *code;
    wn_row_facts *facts;
    float *few;  /* [threads][16 rows and scratch] */
    size_t from; /* the first block at work */
};

static void sample_block(void *ctx, size_t block, int thread)
{
    struct sample *m = ctx;
    const struct scan *s = m->s;
    const wn_basis *b = s->basis;
    size_t first = (m->from + block) * WN_SCAN_ROWS, bad;
    size_t n = m->rows - first < WN_SCAN_ROWS ? m->rows - first : WN_SCAN_ROWS;
    int8_t *code = m->code + first * b->d;
    if (s->file) {
        memset(code, 0, WN_SCAN_ROWS * b->d);
        for (size_t r = 0; r < WN_SCAN_ROWS; r++) {
            m->facts[first + r] = (wn_row_facts){.norm2 = INFINITY};
            if (r < n)
                wn_code_file_row(s->file, wn_scan_row(s, m->row[first + r]), code, r,
                                 &m->facts[first + r]);
        }
        return;
    }
    float *few = m->few + (size_t)thread * (WN_SCAN_ROWS * b->D + wn_encode_scratch(b));
    for (size_t r = 0; r < n; r++)
        memcpy(few + r * b->D, s->rows + m->row[first + r] * b->D, b->D * sizeof *few);
    wn_encode_rows(code, m->facts + first, &bad, b, few, n, few + WN_SCAN_ROWS * b->D);
}

/* Where memory does not hold all rows. */
static void ask_ahead(const struct scan *s, uint64_t row)
{
    if (s->of->large && s->file)
        wn_code_file_row_ahead(s->file, wn_scan_row(s, row));
    else if (s->of->large && s->of->store)
        wn_store_ahead(s->of->store, wn_scan_row(s, row), 1);
}

/* A page or more was mapped for each row: where memory does not hold all they go at once. */
static void take_blocks(struct sample *m)
{
    const struct scan *s = m->s;
    size_t blocks = wn_code_blocks(m->rows), together = s->of->large ? LARGE_BLOCKS : blocks + 1;
    for (m->from = 0; m->from < blocks; m->from += together) {
        wn_par_do(blocks - m->from < together ? blocks - m->from : together, sample_block, m);
        if (s->of->large && s->file)
            wn_code_file_behind(s->file, wn_scan_row(s, 0) / WN_CODE_ROWS,
                                (s->N + WN_CODE_ROWS - 1) / WN_CODE_ROWS);
        else if (s->of->large && s->of->store)
            wn_store_behind(s->of->store, wn_scan_row(s, 0), s->N);
    }
}

static wn_err take_sample(struct sample *m)
{
    const struct scan *s = m->s;
    size_t padded = wn_code_blocks(m->n) * WN_SCAN_ROWS;
    WN_NEW(m->row, m->n + 1);
    WN_NEW(m->code, padded * s->basis->d + 1);
    WN_NEW(m->facts, padded + 1);
    if (!s->file)
        WN_NEW(m->few,
               (size_t)wn_par_threads() * (WN_SCAN_ROWS * s->D + wn_encode_scratch(s->basis)));
    size_t step = wn_scan_stride(m->n);
    for (size_t i = 0, at = 0; i < m->n; i++, at = (at + step) % m->n) {
        uint64_t row = spread(s, at, m->n);
        if (wn_bit(s->never, row))
            continue;
        m->row[m->rows++] = row;
        ask_ahead(s, row);
    }
    take_blocks(m);
    return WN_OK;
}

/* ---- searching it ---- */

/* A block's facts without a bound; rows without a code are below everything. */
static void forget_bound(wn_scan_facts *f)
{
    for (size_t r = 0; r < WN_SCAN_ROWS; r++) {
        if (!isfinite(f->reach[r]))
            f->plus[r] = -INFINITY;
        f->reach[r] = 0;
    }
}

static wn_err sample_piece(void *ctx, size_t piece, int thread)
{
    const struct sample *m = ctx;
    struct scan *s = m->s;
    struct scan_thread *t = &s->thread[thread];
    wn_scan_queries q = s->coded.scan;
    size_t most = s->room_rows / WN_SCAN_ROWS, step = most < PIECE_BLOCKS ? most : PIECE_BLOCKS;
    size_t block = piece * PIECE_BLOCKS, end = wn_code_blocks(m->rows);
    end = end - block < PIECE_BLOCKS ? end : block + PIECE_BLOCKS;
    for (; block < end; block += step) {
        size_t n = end - block < step ? end - block : step, first = block * WN_SCAN_ROWS;
        wn_scan_facts_of(t->bound, m->facts + first, n, s->basis, &s->coded);
        for (size_t b = 0; b < n; b++)
            forget_bound(&t->bound[b]);
        wn_coded_floors(t->floor, &s->coded);
        q.floor = t->floor;
        size_t hits = wn_scan(t->span[0].hit, m->code + first * s->basis->d, t->bound, n, &q, NULL);
        for (size_t i = 0; i < hits; i++) {
            const wn_scan_hit *h = &t->span[0].hit[i];
            const wn_scan_facts *f = &t->bound[h->row / WN_SCAN_ROWS];
            size_t r = h->row % WN_SCAN_ROWS;
            if (h->query >= s->Q || first + h->row >= m->rows ||
                wn_bit(s->want[h->query].skip, m->row[first + h->row]) ||
                !isfinite(q.reach[h->query]) || !isfinite(f->plus[r]))
                continue;
            double at = (double)h->dot * f->scale[r] + (double)q.plus[h->query] * f->plus[r];
            wn_scan_found(
                s, t,
                (struct found){wn_coded_score(&s->coded, h->query, at), first + h->row, h->query});
        }
        wn_scan_hand_over(s, t);
    }
    return WN_OK;
}

/* The k best of the sample's first `rows` rows for each query, of what reaches the guess so far:
 * the last of them is the new guess. Where there are not so many, the old one stands. */
static wn_err search_rows(struct sample *m, double *guess, wn_cand *cand, size_t k, size_t rows)
{
    struct scan *few = m->s;
    size_t all = m->rows, pieces = (wn_code_blocks(rows) + PIECE_BLOCKS - 1) / PIECE_BLOCKS;
    few->k = k;
    m->rows = rows;
    wn_scan_begin(few, cand);
    WN_TRY(wn_par_for(pieces, sample_piece, m));
    m->rows = all;
    for (size_t q = 0; q < few->Q; q++) {
        wn_topk *top = &few->state[q].top;
        wn_topk_settle(top);
        if (top->floor > -INFINITY)
            guess[q] = top->floor;
        few->coded.floor[q] = -INFINITY;
        if (guess[q] > -INFINITY)
            wn_coded_floor(&few->coded, q, guess[q]);
    }
    return WN_OK;
}

double wn_guess_rank(double share, double variance)
{
    return share + 4 * sqrt(variance) + 4;
}

/* In a sample of few of all rows. */
static size_t rank_of(double share)
{
    return (size_t)wn_guess_rank(share, share);
}

/* Part of the sample first, so that of the rest little is looked at. */
static wn_err search_sample(struct sample *m, size_t rank)
{
    struct scan *s = m->s, few = *s;
    size_t part = m->rows / PART / WN_SCAN_ROWS * WN_SCAN_ROWS;
    size_t first = rank_of((double)rank / PART) + 1;
    few.state = wn_calloc(s->Q, sizeof *few.state);
    few.guess = wn_malloc(s->Q * sizeof *few.guess);
    wn_cand *cand = wn_malloc(s->Q * wn_topk_cap(rank + 1) * sizeof *cand);
    wn_err e = few.state && few.guess && cand ? WN_OK : WN_ENOMEM;
    m->s = &few;
    if (!e && first <= rank && first < part / 2)
        e = search_rows(m, s->guess, cand, first, part);
    if (!e)
        e = search_rows(m, s->guess, cand, rank + 1, m->rows);
    m->s = s;
    s->eager = false;
    wn_free(few.state);
    wn_free(few.guess);
    wn_free(cand);
    return e;
}

static size_t sample_rows(size_t d, bool few)
{
    size_t most = SAMPLE_BYTES / d, n = few ? FEW_ROWS : MANY_ROWS;
    return n < most ? n : most;
}

double wn_sample_bytes(size_t Q, size_t D)
{
    size_t d = wn_code_length(D);
    return (double)sample_rows(d, Q < FEW_QUERIES) *
           ((double)d + sizeof(wn_row_facts) + sizeof(uint64_t));
}

wn_err wn_guess(struct scan *s)
{
    size_t n = sample_rows(s->basis->d, s->Q < FEW_QUERIES || wn_scan_spread(s));
    struct sample m = {.s = s};
    m.n = n < s->N ? n : (size_t)s->N;
    wn_err e = take_sample(&m);
    double share = (double)m.rows * (double)s->k / (double)s->left;
    size_t rank = rank_of(share);
    if (!e && m.rows < s->left && rank < m.rows / 2)
        e = search_sample(&m, rank);
    wn_free(m.row);
    wn_free(m.code);
    wn_free(m.facts);
    wn_free(m.few);
    return e;
}

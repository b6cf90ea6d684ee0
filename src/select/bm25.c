/* bm25: the union of every query's best rows by Okapi BM25 on the words of prompts (Robertson &
 * Zaragoza 2009, "The probabilistic relevance framework", eq. 3.15), trimmed to the budget as
 * deft's is. k1 = 0.9 and b = 0.4, as Anserini and Pyserini have them; a word that a query has
 * twice counts twice:
 *
 *   idf(t) = ln(1 + (N - n_t + 0.5) / (n_t + 0.5))
 *   score(q, z) = sum over t in q of idf(t) * f * (k1 + 1) / (f + k1 * (1 - b + b * |z| / avg)) */
#include <math.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/par.h"
#include "search/topk.h"
#include "select/tally.h"
#include "select/bags.h"
#include "select/union.h"

#define K1 0.9
#define B  0.4

struct posting {
    uint32_t row, count;
};

struct bm25 {
    const wn_candidates *c;
    wn_bags rows, aim;
    wn_tally terms;       /* mark: the term's number + 1 */
    uint64_t *first;      /* [terms+1] */
    struct posting *post; /* by term, then row */
    double *length;       /* [N] k1 * (1 - b + b * |z| / avg) */
    uint64_t n_terms;
    wn_picks *out;
    double *score; /* [threads, N] */
};

static int by_hash(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Rows as sorted words, so that equal ones are neighbours; term numbers in order of appearance. */
static wn_err number_terms(struct bm25 *m)
{
    for (uint64_t i = 0; i < m->rows.N; i++) {
        uint64_t *w = m->rows.hash + m->rows.start[i], n = m->rows.start[i + 1] - m->rows.start[i];
        if (n)
            qsort(w, n, sizeof *w, by_hash);
        for (uint64_t k = 0; k < n; k++) {
            wn_tally_slot *s;
            if (k && w[k] == w[k - 1])
                continue;
            WN_TRY(wn_tally_at(&s, &m->terms, w[k]));
            s->mark = s->count++ ? s->mark : (uint32_t)++m->n_terms;
        }
    }
    return WN_OK;
}

static wn_err fill_postings(struct bm25 *m)
{
    uint64_t total = 0;
    WN_NEW(m->first, m->n_terms + 2);
    for (size_t i = 0; i < m->terms.slots; i++)
        if (m->terms.slot[i].key)
            m->first[m->terms.slot[i].mark + 1] = m->terms.slot[i].count;
    for (uint64_t t = 1; t < m->n_terms + 2; t++)
        m->first[t] += m->first[t - 1];
    total = m->first[m->n_terms + 1];
    WN_NEW(m->post, total + 1);
    for (uint64_t i = 0; i < m->rows.N; i++) {
        const uint64_t *w = m->rows.hash + m->rows.start[i];
        uint64_t n = m->rows.start[i + 1] - m->rows.start[i];
        for (uint64_t k = 0; k < n;) {
            uint64_t same = k;
            while (same < n && w[same] == w[k])
                same++;
            uint32_t t = wn_tally_find(&m->terms, w[k])->mark;
            m->post[m->first[t]++] = (struct posting){(uint32_t)i, (uint32_t)(same - k)};
            k = same;
        }
    }
    return WN_OK; /* first[t] is now the end of term t, which is where t + 1 begins */
}

static wn_err build(struct bm25 *m)
{
    const wn_candidates *c = m->c;
    if (c->N > UINT32_MAX)
        return wn_fail(WN_EARG, "bm25: more than %u rows", UINT32_MAX);
    WN_TRY(number_terms(m));
    WN_TRY(fill_postings(m));
    WN_NEW(m->length, c->N + 1);
    double mean = (double)m->rows.start[c->N] / (double)c->left;
    for (uint64_t i = 0; i < c->N; i++)
        m->length[i] =
            K1 * (1 - B + B * (double)(m->rows.start[i + 1] - m->rows.start[i]) / fmax(mean, 1e-9));
    return WN_OK;
}

/* Scores of one query, then its list. */
static wn_err query(void *ctx, size_t q, int thread)
{
    struct bm25 *m = ctx;
    uint64_t N = m->c->N, left = m->c->left;
    size_t width = m->out->width;
    double *score = m->score + (uint64_t)thread * N;
    wn_cand *item;
    wn_topk best;
    WN_NEW(item, wn_topk_cap(width));
    wn_topk_init(&best, item, width);
    for (uint64_t i = 0; i < N; i++)
        score[i] = 0;
    for (uint64_t k = m->aim.start[q]; k < m->aim.start[q + 1]; k++) {
        const wn_tally_slot *s = wn_tally_find(&m->terms, m->aim.hash[k]);
        if (!s)
            continue;
        double idf = log(1 + ((double)(left - s->count) + 0.5) / ((double)s->count + 0.5));
        for (uint64_t p = m->first[s->mark] - s->count; p < m->first[s->mark]; p++) {
            double f = m->post[p].count;
            score[m->post[p].row] += idf * f * (K1 + 1) / (f + m->length[m->post[p].row]);
        }
    }
    for (uint64_t i = 0; i < N; i++)
        if (score[i] > 0 && score[i] > best.floor)
            wn_topk_push(&best, (wn_cand){score[i], i});
    wn_topk_finish(&best);
    for (size_t i = 0; i < width; i++) {
        m->out->list_row[q * width + i] = i < best.n ? (int64_t)item[i].row : WN_NO_ROW;
        m->out->list_score[q * width + i] = i < best.n ? item[i].score : NAN;
    }
    wn_free(item);
    return WN_OK;
}

wn_err wn_pick_bm25(wn_picks *out, const wn_candidates *c, const wn_select_opts *o)
{
    struct bm25 m = {.c = c, .out = out};
    size_t k;
    wn_err err = wn_bags_of_candidates(&m.rows, c);
    if (err == WN_OK)
        err = wn_bags_of_pool(&m.aim, c->query_rows);
    if (err == WN_OK)
        err = build(&m);
    if (err == WN_OK)
        err = wn_lists_make(out, &k, c, o, (size_t)m.aim.N);
    if (err == WN_OK) {
        m.score = wn_calloc((size_t)wn_par_threads() * c->N + 1, sizeof *m.score);
        err = m.score ? wn_par_for(out->Q, query, &m) : WN_ENOMEM;
    }
    if (err == WN_OK)
        err = wn_union_pick(out, c, o, k, false);
    if (err == WN_OK && !out->n && !o->budget_tokens)
        err = wn_fail(WN_EARG, "%s: no row of %s shares a word with a query",
                      wn_pool_path(c->query_rows), wn_pool_path(c->pool));
    wn_bags_free(&m.rows);
    wn_bags_free(&m.aim);
    wn_tally_free(&m.terms);
    wn_free(m.first);
    wn_free(m.post);
    wn_free(m.length);
    wn_free(m.score);
    return err;
}

#include "select/union.h"

#include <math.h>
#include <stdlib.h>

#include "base/mem.h"

enum { NEXT = 3 }; /* hits behind the end of each list, for explanations */

/* One hit: a row in a query's list. */
struct hit {
    uint64_t row;
    uint32_t query, rank;
    double cost; /* smaller is better, for every metric */
};

struct unite {
    const wn_candidates *c;
    const wn_select_opts *o;
    wn_filler f;
    bool smaller_is_better;
    struct hit *hit; /* by row, then rank */
    size_t n;
    size_t k;      /* length of the lists without NEXT */
    wn_pick *pick; /* room for the union */
    size_t n_pick;
};

static int by_row(const void *a, const void *b)
{
    const struct hit *x = a, *y = b;
    if (x->row != y->row)
        return x->row < y->row ? -1 : 1;
    if (x->rank != y->rank)
        return x->rank < y->rank ? -1 : 1;
    return x->query < y->query ? -1 : x->query > y->query;
}

/* Best score first, ties to the smaller row. `score` holds a cost here. */
static int by_cost(const void *a, const void *b)
{
    const wn_pick *x = a, *y = b;
    if (x->score != y->score)
        return x->score < y->score ? -1 : 1;
    return x->row < y->row ? -1 : x->row > y->row;
}

static wn_err gather(struct unite *d, const wn_picks *lists)
{
    WN_NEW(d->hit, lists->Q * d->k + 1);
    for (size_t q = 0; q < lists->Q; q++) {
        for (size_t i = 0; i < d->k && lists->list_row[q * lists->width + i] != WN_NO_ROW; i++) {
            double score = lists->list_score[q * lists->width + i];
            d->hit[d->n++] =
                (struct hit){(uint64_t)lists->list_row[q * lists->width + i], (uint32_t)q,
                             (uint32_t)i + 1, d->smaller_is_better ? score : -score};
        }
    }
    qsort(d->hit, d->n, sizeof *d->hit, by_row);
    size_t rows = 0;
    for (size_t i = 0; i < d->n; i++)
        rows += i == 0 || d->hit[i].row != d->hit[i - 1].row;
    WN_NEW(d->pick, rows + 1);
    return WN_OK;
}

/* The union of the first k hits of all lists: rows with how many lists have them and the best of
 * their scores there (ties to the smaller query). */
static void join(struct unite *d, size_t k)
{
    d->n_pick = 0;
    for (size_t i = 0; i < d->n;) {
        uint64_t row = d->hit[i].row;
        wn_pick p = {.row = row, .score = INFINITY};
        for (; i < d->n && d->hit[i].row == row; i++) {
            const struct hit *h = &d->hit[i];
            if (h->rank > k)
                continue;
            if (p.hits++ == 0 || h->cost < p.score || (h->cost == p.score && h->query < p.query)) {
                p.score = h->cost;
                p.query = h->query;
                p.rank = h->rank;
            }
        }
        if (p.hits)
            d->pick[d->n_pick++] = p;
    }
}

/* Fills from the union's best-scored on; false: the budget ended it. Keeps what was taken in front.
 */
static bool fill(struct unite *d)
{
    qsort(d->pick, d->n_pick, sizeof *d->pick, by_cost);
    wn_filler_clear(&d->f);
    size_t kept = 0;
    for (size_t i = 0; i < d->n_pick; i++) {
        wn_fill r = wn_filler_take(&d->f, d->pick[i].row);
        if (r == WN_FILL_FULL) {
            d->n_pick = kept;
            return false;
        }
        if (r == WN_FILL_TAKEN)
            d->pick[kept++] = d->pick[i];
    }
    d->n_pick = kept;
    return true;
}

/* For each k the size of the union of the first k hits, from the place at which each row enters it:
 * size[k] in rows, or in tokens if `tokens` (one number a candidate). */
static wn_err sizes(uint64_t *size, const struct unite *d, const uint32_t *tokens)
{
    uint64_t cap = d->f.per_task, *of_task;
    size_t *place, *first; /* first hits sorted by rank: caps count rows in the order they enter */
    WN_NEW(of_task, d->c->tasks);
    place = wn_calloc(d->k + 2, sizeof *place);
    first = wn_calloc(d->n + 1, sizeof *first);
    wn_err err = place && first ? WN_OK : WN_ENOMEM;
    for (size_t i = 0; i < d->n && err == WN_OK; i++)
        if (i == 0 || d->hit[i].row != d->hit[i - 1].row)
            place[d->hit[i].rank + 1]++;
    for (size_t r = 1; r <= d->k + 1 && err == WN_OK; r++)
        place[r] += place[r - 1];
    size_t n = err == WN_OK ? place[d->k + 1] : 0;
    for (size_t i = 0; i < d->n && err == WN_OK; i++)
        if (i == 0 || d->hit[i].row != d->hit[i - 1].row)
            first[place[d->hit[i].rank]++] = i;
    for (size_t j = 0; j < n; j++) {
        const struct hit *h = &d->hit[first[j]];
        if (!cap || of_task[d->c->task[h->row]]++ < cap)
            size[h->rank] += tokens ? tokens[h->row] : 1;
    }
    for (size_t r = 1; r <= d->k && err == WN_OK; r++)
        size[r] += size[r - 1];
    wn_free(of_task);
    wn_free(place);
    wn_free(first);
    return err;
}

/* From *k downwards the first k whose union is within the budget by this measure. */
static wn_err lower(size_t *k, const struct unite *d, uint64_t budget, const uint32_t *tokens)
{
    uint64_t *size;
    WN_NEW(size, d->k + 1);
    wn_err err = sizes(size, d, tokens);
    while (err == WN_OK && *k > 1 && size[*k] > budget)
        (*k)--;
    wn_free(size);
    return err;
}

/* No larger k can fit. Under a cap the rows a task keeps change with k, so their tokens are not
 * known here; then fill() decides from this k on. */
static wn_err first_guess(size_t *k, const struct unite *d)
{
    *k = d->k;
    if (d->f.budget)
        WN_TRY(lower(k, d, d->f.budget, NULL));
    if (d->f.budget_tokens && !d->f.per_task)
        WN_TRY(lower(k, d, d->f.budget_tokens, d->c->tokens));
    return WN_OK;
}

static wn_err choose(wn_picks *out, struct unite *d)
{
    size_t k;
    WN_TRY(first_guess(&k, d));
    for (;; k--) {
        join(d, k);
        bool fits = fill(d);
        if (fits || k == 1) {
            out->best_only = !fits;
            break;
        }
    }
    out->used = k;
    for (size_t i = 0; i < d->n_pick; i++) {
        wn_pick p = d->pick[i];
        p.score = d->smaller_is_better || p.score == 0 ? p.score : -p.score;
        WN_TRY(wn_picks_add(out, p));
    }
    return WN_OK;
}

wn_err wn_lists_make(wn_picks *out, size_t *k, const wn_candidates *c, const wn_select_opts *o,
                     size_t Q)
{
    *k = o->k ? o->k : WN_HITS;
    *k = *k < c->left ? *k : (size_t)c->left;
    out->Q = Q;
    out->width = *k + NEXT < c->left ? *k + NEXT : (size_t)c->left;
    if (out->Q > UINT32_MAX || out->width > UINT32_MAX || out->Q > SIZE_MAX / 32 / out->width)
        return wn_fail(WN_EARG, "--k: %zu queries with %zu hits each are too many", out->Q, *k);
    WN_NEW(out->list_row, out->Q * out->width);
    WN_NEW(out->list_score, out->Q * out->width);
    return WN_OK;
}

wn_err wn_union_pick(wn_picks *out, const wn_candidates *c, const wn_select_opts *o, size_t k,
                     bool smaller_is_better)
{
    struct unite d = {.c = c, .o = o, .k = k, .smaller_is_better = smaller_is_better};
    wn_err err = wn_filler_init(&d.f, c, o);
    if (err == WN_OK)
        err = gather(&d, out);
    if (err == WN_OK)
        err = choose(out, &d);
    wn_filler_free(&d.f);
    wn_free(d.hit);
    wn_free(d.pick);
    return err;
}

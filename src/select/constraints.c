/* What may not be chosen, decided before anything is: so a struck-out neighbour is replaced by the
 * next one, and a budget is never spent on rows that go away later. And the filling of a budget. */
#include <stdlib.h>
#include <string.h>

#include "base/keyed.h"
#include "base/mem.h"
#include "pool/near.h"
#include "select/contamination.h"
#include "select/select.h"

static void strike(wn_candidates *c, uint64_t i, uint64_t *counter)
{
    if (wn_bit(c->skip, i))
        return;
    wn_bit_set(c->skip, i);
    c->left--;
    (*counter)++;
}

/* ---- duplicates: the first of equal rows stays ---- */

static wn_err strike_equal(wn_constraint_counts *counts, wn_candidates *c)
{
    wn_keyed *h;
    WN_NEW(h, c->left + 1);
    uint64_t n = 0;
    for (uint64_t i = 0; i < c->N; i++) {
        if (wn_bit(c->skip, i))
            continue;
        uint64_t hash = c->pool ? wn_pool_text_hash(c->pool, wn_candidate_pool_row(c, i))
                                : wn_store_text_hash(c->store, i);
        if (hash) /* 0: a store that knows no texts */
            h[n++] = (wn_keyed){hash, i};
    }
    wn_keyed_sort(h, n);
    for (uint64_t i = 1; i < n; i++)
        if (h[i].key == h[i - 1].key)
            strike(c, h[i].row, &counts->duplicates);
    wn_free(h);
    return WN_OK;
}

static wn_err strike_near(wn_constraint_counts *counts, wn_candidates *c)
{
    uint64_t *row = wn_calloc(c->left + 1, sizeof *row), *at = wn_calloc(c->left + 1, sizeof *at);
    uint8_t *drop = wn_calloc(c->left + 1, 1);
    wn_err err = row && at && drop ? WN_OK : WN_ENOMEM;
    uint64_t n = 0;
    for (uint64_t i = 0; i < c->N && err == WN_OK; i++) {
        if (wn_bit(c->skip, i))
            continue;
        at[n] = i;
        row[n++] = wn_candidate_pool_row(c, i);
    }
    if (err == WN_OK)
        err = wn_near_mark(drop, c->pool, row, n);
    for (uint64_t i = 0; i < n && err == WN_OK; i++)
        if (drop[i])
            strike(c, at[i], &counts->duplicates);
    wn_free(row);
    wn_free(at);
    wn_free(drop);
    return err;
}

/* ---- contamination ---- */

static const char *const kind_name[WN_VETO_KINDS] = {"exact", "words", "near", "vectors"};

const char *wn_veto_kind_name(wn_veto_kind k)
{
    return kind_name[k];
}

void wn_veto_free(wn_veto *v)
{
    wn_free(v->id);
    wn_free(v->by);
    wn_free(v->words);
    *v = (wn_veto){0};
}

void wn_vetoes_free(wn_vetoes *v)
{
    for (size_t i = 0; i < v->n; i++)
        wn_veto_free(&v->v[i]);
    wn_free(v->v);
    *v = (wn_vetoes){0};
}

static int by_row(const void *a, const void *b)
{
    const wn_veto *x = a, *y = b;
    return x->row < y->row ? -1 : x->row > y->row;
}

/* Pairs of rows that were candidates, in their order. */
static void settle(wn_constraint_counts *counts, const uint64_t *candidate)
{
    wn_vetoes *all = &counts->veto;
    size_t n = 0;
    for (size_t i = 0; i < all->n; i++) {
        if (!wn_bit(candidate, all->v[i].row)) {
            wn_veto_free(&all->v[i]);
            continue;
        }
        counts->by_kind[all->v[i].kind]++;
        all->v[n++] = all->v[i];
    }
    all->n = n;
    if (n)
        qsort(all->v, n, sizeof *all->v, by_row);
}

static wn_err strike_contaminated(wn_constraint_counts *counts, wn_candidates *c, size_t run,
                                  wn_pool *const *avoid, size_t n_avoid)
{
    uint64_t words = wn_pool_rows(c->pool) / 64 + 1;
    uint64_t *veto = wn_calloc(words, sizeof *veto), *candidate = wn_calloc(words, sizeof *veto);
    wn_err err = veto && candidate ? WN_OK : WN_ENOMEM;
    if (err == WN_OK)
        err =
            wn_contamination(veto, &counts->veto, &counts->compared, c->pool, avoid, n_avoid, run);
    for (uint64_t i = 0; i < c->N && err == WN_OK; i++) {
        uint64_t row = wn_candidate_pool_row(c, i);
        wn_bit_set(candidate, row);
        if (wn_bit(veto, row))
            strike(c, i, &counts->vetoed);
    }
    if (err == WN_OK)
        settle(counts, candidate);
    wn_free(veto);
    wn_free(candidate);
    return err;
}

struct striking {
    wn_candidates *c;
    uint64_t *counter;
};

static void strike_one(void *ctx, uint64_t i)
{
    struct striking *s = ctx;
    strike(s->c, i, s->counter);
}

static wn_err strike_by_vectors(wn_constraint_counts *counts, wn_candidates *c,
                                const wn_select_opts *o)
{
    struct striking s = {c, &counts->vetoed};
    size_t before = counts->veto.n;
    if (!o->n_avoid_store)
        return o->avoid_cosine != 0 ? wn_fail(WN_EUSE, "--avoid-cosine: needs --avoid-store")
                                    : WN_OK;
    WN_TRY(wn_strike_like_targets(&counts->veto, &counts->compared.vectors, c, o, strike_one, &s));
    counts->by_kind[WN_VETO_VECTORS] += counts->veto.n - before;
    qsort(counts->veto.v, counts->veto.n, counts->veto.n ? sizeof *counts->veto.v : 1, by_row);
    return WN_OK;
}

/* ---- all of it ---- */

static wn_err strike_duplicates(wn_constraint_counts *counts, wn_candidates *c,
                                const wn_select_opts *o)
{
    const char *dedup = o->dedup ? o->dedup : "exact";
    bool near = strcmp(dedup, "near") == 0, none = strcmp(dedup, "none") == 0;
    if (!near && !none && strcmp(dedup, "exact") != 0)
        return wn_fail(WN_EARG, "--dedup: expected exact, near or none, found %s", dedup);
    if (near && !c->pool)
        return wn_fail(WN_EUSE,
                       "--dedup near: needs --pool: without it the rows' texts are not known");
    if (!none)
        WN_TRY(strike_equal(counts, c));
    if (near)
        WN_TRY(strike_near(counts, c));
    if (o->near_cosine == 0)
        return WN_OK;
    struct striking s = {c, &counts->duplicates};
    return wn_strike_repeated(c, o, strike_one, &s);
}

wn_err wn_constrain(wn_constraint_counts *counts, wn_candidates *c, const wn_select_opts *o,
                    wn_pool *const *avoid, size_t n_avoid)
{
    counts->candidates = c->N;
    if (n_avoid && !c->pool)
        return wn_fail(WN_EUSE, "--avoid: needs --pool: without it the rows' texts are not known");
    if (o->avoid_run && !n_avoid)
        return wn_fail(WN_EUSE, "--avoid-words: needs --avoid");
    if (n_avoid)
        WN_TRY(strike_contaminated(counts, c, o->avoid_run, avoid, n_avoid));
    WN_TRY(strike_by_vectors(counts, c, o));
    WN_TRY(strike_duplicates(counts, c, o));
    if (c->left == 0)
        return wn_fail(WN_EARG,
                       "%s: no row is left to choose from: of %llu rows %llu are too like a "
                       "target row, %llu are duplicates",
                       c->pool ? wn_pool_path(c->pool) : wn_store_path(c->store),
                       (unsigned long long)c->N, (unsigned long long)counts->vetoed,
                       (unsigned long long)counts->duplicates);
    return WN_OK;
}

void wn_constraint_counts_free(wn_constraint_counts *counts)
{
    wn_vetoes_free(&counts->veto);
}

/* ---- filling ---- */

wn_err wn_filler_init(wn_filler *f, const wn_candidates *c, const wn_select_opts *o)
{
    *f = (wn_filler){
        .c = c, .budget = o->budget, .budget_tokens = o->budget_tokens, .per_task = o->per_task};
    WN_NEW(f->of_task, (size_t)c->tasks + 1);
    return WN_OK;
}

void wn_filler_free(wn_filler *f)
{
    wn_free(f->of_task);
    f->of_task = NULL;
}

void wn_filler_clear(wn_filler *f)
{
    f->rows = f->tokens = 0;
    memset(f->of_task, 0, f->c->tasks * sizeof *f->of_task);
}

wn_fill wn_filler_take(wn_filler *f, uint64_t i)
{
    uint32_t t = f->c->task[i];
    uint64_t tokens = f->c->tokens ? f->c->tokens[i] : 0;
    if (f->per_task && f->of_task[t] >= f->per_task)
        return WN_FILL_TASK_FULL;
    if (f->budget && f->rows >= f->budget)
        return WN_FILL_FULL;
    if (f->budget_tokens && f->tokens + tokens > f->budget_tokens)
        return WN_FILL_FULL;
    f->rows++;
    f->tokens += tokens;
    f->of_task[t]++;
    return WN_FILL_TAKEN;
}

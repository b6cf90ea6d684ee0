/* What may not be chosen, decided before anything is: so a struck-out neighbour is replaced by the
 * next one, and a budget is never spent on rows that go away later. And the filling of a budget. */
#include <stdlib.h>
#include <string.h>

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

struct hashed {
    uint64_t hash, row;
};

static int by_hash(const void *a, const void *b)
{
    const struct hashed *x = a, *y = b;
    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    return x->row < y->row ? -1 : 1;
}

static wn_err strike_equal(wn_constraint_counts *counts, wn_candidates *c)
{
    struct hashed *h;
    WN_NEW(h, c->left + 1);
    uint64_t n = 0;
    for (uint64_t i = 0; i < c->N; i++) {
        if (wn_bit(c->skip, i))
            continue;
        uint64_t hash = c->pool ? wn_pool_text_hash(c->pool, wn_candidate_pool_row(c, i))
                                : wn_store_text_hash(c->store, i);
        if (hash) /* 0: a store that knows no texts */
            h[n++] = (struct hashed){hash, i};
    }
    qsort(h, n, sizeof *h, by_hash);
    for (uint64_t i = 1; i < n; i++)
        if (h[i].hash == h[i - 1].hash)
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

static wn_err strike_contaminated(wn_constraint_counts *counts, wn_candidates *c,
                                  wn_pool *const *avoid, size_t n_avoid)
{
    uint64_t *veto;
    WN_NEW(veto, wn_pool_rows(c->pool) / 64 + 1);
    wn_err err = wn_contamination(veto, counts->veto, &counts->n_veto, WN_VETO_SHOWN, c->pool,
                                  avoid, n_avoid);
    for (uint64_t i = 0; i < c->N && err == WN_OK; i++)
        if (wn_bit(veto, wn_candidate_pool_row(c, i)))
            strike(c, i, &counts->vetoed);
    wn_free(veto);
    return err;
}

wn_err wn_constrain(wn_constraint_counts *counts, wn_candidates *c, const char *dedup,
                    wn_pool *const *avoid, size_t n_avoid)
{
    counts->candidates = c->N;
    if (n_avoid) {
        if (!c->pool)
            return wn_fail(WN_EARG,
                           "--avoid: needs --pool: without it the rows' texts are not known");
        WN_TRY(strike_contaminated(counts, c, avoid, n_avoid));
    }
    if (!dedup || strcmp(dedup, "exact") == 0 || strcmp(dedup, "near") == 0)
        WN_TRY(strike_equal(counts, c));
    else if (strcmp(dedup, "none") != 0)
        return wn_fail(WN_EARG, "--dedup: expected exact, near or none, found %s", dedup);
    if (dedup && strcmp(dedup, "near") == 0) {
        if (!c->pool)
            return wn_fail(WN_EARG,
                           "--dedup near: needs --pool: without it the rows' texts are not known");
        WN_TRY(strike_near(counts, c));
    }
    if (c->left == 0)
        return wn_fail(WN_EARG,
                       "%s: no row is left to choose from: of %llu rows %llu share text with a "
                       "target row, %llu are duplicates",
                       c->pool ? wn_pool_path(c->pool) : wn_store_path(c->store),
                       (unsigned long long)c->N, (unsigned long long)counts->vetoed,
                       (unsigned long long)counts->duplicates);
    return WN_OK;
}

void wn_constraint_counts_free(wn_constraint_counts *counts)
{
    for (size_t i = 0; i < counts->n_veto; i++) {
        wn_free(counts->veto[i].id);
        wn_free(counts->veto[i].by);
        wn_free(counts->veto[i].words);
    }
    counts->n_veto = 0;
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

/* Rows of a pool whose prompt is similar to a target row's. The target rows' sets of runs are kept,
 * with a table a band of the hashes under which they can be met (pool/runs.h); the pool's rows are
 * looked up in pieces, in parallel. Who meets is compared exactly; the most similar target row is
 * the one that is named, ties go to the earlier. */
#include <string.h>

#include "base/mem.h"
#include "base/par.h"
#include "base/report.h"
#include "pool/runs.h"
#include "select/contamination.h"

enum { LEAST_RUNS = 5, PIECE = 128, BATCH = 64 };

struct key {
    uint64_t hash;
    uint32_t target, next; /* next: of the same chain, 0: none */
};

struct like {
    uint64_t row, target;
    double score;
};

struct found {
    struct like *like;
    size_t n, cap;
};

struct work {
    wn_row row;
    wn_runs set;
};

struct lookup {
    const wn_pool *pool;
    wn_templates templates; /* of the pool's tasks */
    wn_bands bands;
    wn_runs *set; /* [targets] */
    uint64_t targets;
    struct key *key; /* from 1; chains of all bands in one table */
    uint32_t *head;  /* [heads] */
    uint64_t heads, n_keys;
    const uint64_t *veto;
    struct work *work;
    struct found found[BATCH];
    uint64_t first; /* row of the batch */
};

/* ---- the target rows ---- */

static wn_err read_targets(struct lookup *l, uint64_t first, const wn_pool *p, uint64_t *sets)
{
    wn_templates t;
    wn_row row = {0};
    wn_err err = wn_templates_learn(&t, p, NULL, wn_pool_rows(p));
    for (uint64_t i = 0; i < wn_pool_rows(p) && err == WN_OK; i++) {
        err = wn_runs_of_row(&l->set[first + i], &row, p, i, &t);
        *sets += err == WN_OK && l->set[first + i].n >= LEAST_RUNS;
    }
    wn_row_free(&row);
    wn_templates_free(&t);
    return err;
}

static uint64_t place_of(const struct lookup *l, uint64_t hash)
{
    return (hash ^ hash >> 29) % l->heads;
}

static wn_err make_index(struct lookup *l, wn_pool *const *avoid, size_t n_avoid, uint64_t *sets)
{
    for (size_t f = 0; f < n_avoid; f++)
        l->targets += wn_pool_rows(avoid[f]);
    WN_NEW(l->set, l->targets + 1);
    uint64_t first = 0;
    for (size_t f = 0; f < n_avoid; f++) {
        WN_TRY(read_targets(l, first, avoid[f], sets));
        first += wn_pool_rows(avoid[f]);
    }
    uint64_t keys = *sets * (uint64_t)l->bands.bands;
    if (keys >= UINT32_MAX)
        return wn_fail(WN_EARG, "--avoid: too many target rows: %llu", (unsigned long long)*sets);
    l->heads = 2 * keys + 1;
    WN_NEW(l->key, keys + 1);
    WN_NEW(l->head, l->heads);
    for (uint64_t i = l->targets; i-- > 0;) { /* chains in ascending order */
        uint64_t hash[WN_BANDS_MOST];
        if (l->set[i].n < LEAST_RUNS)
            continue;
        wn_bands_keys(hash, &l->bands, &l->set[i], 0);
        for (int b = 0; b < l->bands.bands; b++) {
            uint64_t at = place_of(l, hash[b] + (uint64_t)b);
            l->key[++l->n_keys] = (struct key){hash[b] + (uint64_t)b, (uint32_t)i, l->head[at]};
            l->head[at] = (uint32_t)l->n_keys;
        }
    }
    return WN_OK;
}

/* ---- the pool's rows ---- */

static void best_of(struct like *best, const struct lookup *l, const wn_runs *set)
{
    uint64_t hash[WN_BANDS_MOST];
    wn_bands_keys(hash, &l->bands, set, 0);
    for (int b = 0; b < l->bands.bands; b++) {
        uint64_t h = hash[b] + (uint64_t)b;
        for (uint32_t k = l->head[place_of(l, h)]; k; k = l->key[k].next) {
            uint64_t t = l->key[k].target;
            if (l->key[k].hash != h || !wn_bands_alike(&l->bands, set, &l->set[t]))
                continue;
            double score = wn_runs_jaccard(set, &l->set[t]);
            if (score > best->score || (score == best->score && t < best->target)) {
                best->score = score;
                best->target = t;
            }
        }
    }
}

static wn_err look_up(void *ctx, size_t at, int thread)
{
    struct lookup *l = ctx;
    struct work *w = &l->work[thread];
    struct found *f = &l->found[at];
    uint64_t first = l->first + at * PIECE, rows = wn_pool_rows(l->pool);
    f->n = 0;
    for (uint64_t row = first; row < first + PIECE && row < rows; row++) {
        struct like best = {.row = row, .target = UINT64_MAX};
        if (wn_bit(l->veto, row))
            continue;
        WN_TRY(wn_runs_of_row(&w->set, &w->row, l->pool, row, &l->templates));
        if (w->set.n >= LEAST_RUNS)
            best_of(&best, l, &w->set);
        if (best.target == UINT64_MAX)
            continue;
        if (!WN_GROW(f->like, f->n, f->cap))
            return WN_ENOMEM;
        f->like[f->n++] = best;
    }
    return WN_OK;
}

static wn_err take(uint64_t *veto, wn_vetoes *out, const struct lookup *l, const struct found *f,
                   wn_pool *const *avoid)
{
    wn_row row = {0};
    wn_err err = WN_OK;
    for (size_t i = 0; i < f->n && err == WN_OK; i++) {
        wn_bit_set(veto, f->like[i].row);
        if (!WN_GROW(out->v, out->n, out->cap))
            err = WN_ENOMEM;
        if (err == WN_OK)
            err = wn_pool_row(l->pool, f->like[i].row, &row);
        if (err != WN_OK)
            break;
        wn_veto *v = &out->v[out->n++];
        *v = (wn_veto){.row = f->like[i].row, .kind = WN_VETO_NEAR, .score = f->like[i].score};
        v->id = wn_strndup(row.id.p, row.id.len);
        err = v->id ? wn_avoid_name(&v->by, avoid, f->like[i].target) : WN_ENOMEM;
    }
    wn_row_free(&row);
    return err;
}

static wn_err scan(uint64_t *veto, wn_vetoes *out, struct lookup *l, wn_pool *const *avoid)
{
    uint64_t rows = wn_pool_rows(l->pool);
    WN_NEW(l->work, (size_t)wn_par_threads());
    WN_TRY(wn_templates_learn(&l->templates, l->pool, NULL, rows));
    for (l->first = 0; l->first < rows; l->first += PIECE * BATCH) {
        uint64_t left = rows - l->first, n = (left + PIECE - 1) / PIECE;
        n = n < BATCH ? n : BATCH;
        WN_TRY(wn_par_for((size_t)n, look_up, l));
        for (size_t i = 0; i < n; i++)
            WN_TRY(take(veto, out, l, &l->found[i], avoid));
        WN_TRY(wn_progress("similar prompts", "rows",
                           left < PIECE * BATCH ? rows : l->first + PIECE * BATCH, rows, NULL));
    }
    return WN_OK;
}

wn_err wn_near_targets(uint64_t *veto, wn_vetoes *out, uint64_t *sets, const wn_pool *pool,
                       wn_pool *const *avoid, size_t n_avoid)
{
    struct lookup *l;
    WN_NEW(l, 1);
    *sets = 0;
    l->pool = pool;
    l->veto = veto;
    wn_bands_init(&l->bands, WN_AVOID_SIMILAR);
    wn_err err = make_index(l, avoid, n_avoid, sets);
    if (err == WN_OK && *sets)
        err = scan(veto, out, l, avoid);
    for (uint64_t i = 0; l->set && i < l->targets; i++)
        wn_runs_free(&l->set[i]);
    for (int t = 0; l->work && t < wn_par_threads(); t++) {
        wn_row_free(&l->work[t].row);
        wn_runs_free(&l->work[t].set);
    }
    for (size_t i = 0; i < BATCH; i++)
        wn_free(l->found[i].like);
    wn_templates_free(&l->templates);
    wn_free(l->set);
    wn_free(l->key);
    wn_free(l->head);
    wn_free(l->work);
    wn_free(l);
    return err;
}

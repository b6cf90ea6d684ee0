/* Groups of near-duplicates, in blocks of rows: signatures in parallel; then, row after row, those
 * already in a row's buckets as candidates and the row itself into them; then the candidates
 * compared in parallel, and the sets joined. A bucket holds its first 32 rows, so alike rows cost
 * linear time; a row that is known to belong to a set is not compared with more of it. */
#include <string.h>

#include "base/mem.h"
#include "base/par.h"
#include "base/report.h"
#include "base/sets.h"
#include "pool/near.h"
#include "pool/rowread.h"
#include "pool/runs.h"
#include "pool/seen.h"

enum { BUCKET = 32, BLOCK_ROWS = 4096, PIECE_ROWS = 64, PIECE_PAIRS = 256, KEPT = 4096 };

struct pair {
    uint32_t a, b;
    bool alike;
};

struct signature {
    uint64_t band[WN_BANDS_MOST];
    bool empty;
};

/* A row as it is compared. Those that a thread read last are kept: candidates come again. */
struct known {
    uint64_t at; /* position plus one; 0: none */
    wn_hash128 target;
    wn_runs set;
};

struct work {
    wn_row row;
    wn_runs set;
    struct known a, kept[KEPT]; /* the row at hand; candidates by position % KEPT */
};

struct grouping {
    const wn_pool *p;
    const uint64_t *row;
    uint64_t n, block0;
    bool any_target;
    wn_templates templates;
    wn_bands bands;
    struct signature *sig;
    wn_seen seen[WN_BANDS_MOST];
    uint32_t *met;  /* [n] the last row that met it, plus one */
    uint32_t *size; /* [n] of the row's set: too different sizes need no comparison */
    struct pair *pair;
    size_t n_pairs, cap_pairs;
    struct work *work; /* one a thread */
    wn_sets sets;
    double *score;
};

static wn_err read_set(wn_runs *s, wn_row *row, const struct grouping *g, uint64_t i)
{
    return wn_runs_of_row(s, row, g->p, g->row ? g->row[i] : i, &g->templates);
}

static wn_err sign_piece(void *ctx, size_t piece, int thread)
{
    struct grouping *g = ctx;
    struct work *w = &g->work[thread];
    for (uint64_t k = piece * PIECE_ROWS; k < (piece + 1) * PIECE_ROWS; k++) {
        if (g->block0 + k >= g->n)
            break;
        struct signature *s = &g->sig[k];
        WN_TRY(read_set(&w->set, &w->row, g, g->block0 + k));
        wn_span target = wn_span_trim(w->row.target);
        s->empty = !w->set.n;
        g->size[g->block0 + k] = (uint32_t)w->set.n;
        wn_bands_keys(s->band, &g->bands, &w->set,
                      g->any_target ? 0 : wn_hash64(target.p, target.len, 1));
    }
    return WN_OK;
}

/* Candidates of row i are those in its buckets, each once; then it goes into them. */
static wn_err meet(struct grouping *g, uint32_t i, const struct signature *s)
{
    for (int b = 0; b < g->bands.bands && !s->empty; b++) {
        size_t at = SIZE_MAX;
        int held = 0;
        uint32_t c;
        while (held < BUCKET && (c = wn_seen_next(&g->seen[b], s->band[b], &at)) != WN_SEEN_NONE) {
            held++;
            uint32_t fewer = g->size[c] < g->size[i] ? g->size[c] : g->size[i];
            uint32_t more = g->size[c] + g->size[i] - fewer;
            if (g->met[c] == i + 1 || (double)fewer < g->bands.least * (double)more)
                continue;
            g->met[c] = i + 1;
            if (!WN_GROW(g->pair, g->n_pairs, g->cap_pairs))
                return WN_ENOMEM;
            g->pair[g->n_pairs++] = (struct pair){i, c, false};
        }
        if (held < BUCKET)
            WN_TRY(wn_seen_add(&g->seen[b], s->band[b], i));
    }
    return WN_OK;
}

static wn_err know(struct known *k, const struct grouping *g, struct work *w, uint64_t at)
{
    if (k->at == at + 1)
        return WN_OK;
    k->at = 0;
    WN_TRY(read_set(&k->set, &w->row, g, at));
    wn_span target = wn_span_trim(w->row.target);
    k->target = wn_hash(target.p, target.len, 0);
    k->at = at + 1;
    return WN_OK;
}

static wn_err compare(struct pair *p, const struct grouping *g, struct work *w)
{
    struct known *b = &w->kept[p->b % KEPT];
    WN_TRY(know(&w->a, g, w, p->a));
    WN_TRY(know(b, g, w, p->b));
    p->alike =
        (g->any_target || (w->a.target.lo == b->target.lo && w->a.target.hi == b->target.hi)) &&
        wn_bands_alike(&g->bands, &w->a.set, &b->set);
    return WN_OK;
}

static wn_err compare_piece(void *ctx, size_t piece, int thread)
{
    struct grouping *g = ctx;
    uint32_t with = UINT32_MAX; /* the set that the row at hand is known to belong to */
    for (size_t k = piece * PIECE_PAIRS; k < (piece + 1) * PIECE_PAIRS && k < g->n_pairs; k++) {
        struct pair *p = &g->pair[k];
        uint32_t there = wn_sets_look(&g->sets, p->b);
        if (k == piece * PIECE_PAIRS || p->a != g->pair[k - 1].a)
            with = UINT32_MAX;
        if (there == with)
            continue;
        WN_TRY(compare(p, g, &g->work[thread]));
        if (p->alike)
            with = there;
    }
    return WN_OK;
}

static wn_err group_block(struct grouping *g, uint64_t rows)
{
    WN_TRY(wn_par_for((size_t)((rows + PIECE_ROWS - 1) / PIECE_ROWS), sign_piece, g));
    g->n_pairs = 0;
    for (uint64_t k = 0; k < rows; k++)
        WN_TRY(meet(g, (uint32_t)(g->block0 + k), &g->sig[k]));
    WN_TRY(wn_par_for((g->n_pairs + PIECE_PAIRS - 1) / PIECE_PAIRS, compare_piece, g));
    for (size_t k = 0; k < g->n_pairs; k++)
        if (g->pair[k].alike)
            wn_sets_join(&g->sets, g->pair[k].a, g->pair[k].b);
    return WN_OK;
}

/* Similarity to the first of each row's group. */
static wn_err score_piece(void *ctx, size_t piece, int thread)
{
    struct grouping *g = ctx;
    struct work *w = &g->work[thread];
    for (uint64_t i = piece * PIECE_ROWS; i < (piece + 1) * PIECE_ROWS && i < g->n; i++) {
        uint32_t first = wn_sets_look(&g->sets, (uint32_t)i);
        struct known *k = &w->kept[first % KEPT];
        g->score[i] = 1;
        if (first == i)
            continue;
        WN_TRY(know(k, g, w, first));
        WN_TRY(read_set(&w->set, &w->row, g, i));
        g->score[i] = wn_runs_jaccard(&k->set, &w->set);
    }
    return WN_OK;
}

static void work_free(struct work *w)
{
    for (size_t i = 0; i < KEPT; i++)
        wn_runs_free(&w->kept[i].set);
    wn_runs_free(&w->a.set);
    wn_runs_free(&w->set);
    wn_row_free(&w->row);
}

static wn_err group_all(struct grouping *g, uint64_t *first)
{
    WN_NEW(g->work, (size_t)wn_par_threads());
    WN_NEW(g->sig, BLOCK_ROWS);
    WN_NEW(g->met, g->n + 1);
    WN_NEW(g->size, g->n + 1);
    WN_TRY(wn_sets_init(&g->sets, g->n));
    WN_TRY(wn_templates_learn(&g->templates, g->p, g->row, g->n));
    for (g->block0 = 0; g->block0 < g->n; g->block0 += BLOCK_ROWS) {
        uint64_t left = g->n - g->block0, rows = left < BLOCK_ROWS ? left : BLOCK_ROWS;
        WN_TRY(group_block(g, rows));
        WN_TRY(wn_progress("near-duplicates", "rows", g->block0 + rows, g->n, NULL));
    }
    WN_TRY(wn_par_for((size_t)((g->n + PIECE_ROWS - 1) / PIECE_ROWS), score_piece, g));
    for (uint64_t i = 0; i < g->n; i++)
        first[i] = wn_sets_first(&g->sets, (uint32_t)i);
    return WN_OK;
}

wn_err wn_near_groups(uint64_t *first, double *score, const wn_pool *p, const uint64_t *row,
                      uint64_t n, const wn_near_rule *rule)
{
    double least = rule->least != 0 ? rule->least : 0.8;
    if (n >= INT32_MAX)
        return wn_fail(WN_EARG, "%s: near-duplicates: expected under 2^31 rows", wn_pool_path(p));
    if (!(least >= 0.3 && least <= 1))
        return wn_fail(WN_EARG, "near-duplicates: expected a similarity from 0.3 to 1, found %g",
                       least);
    struct grouping *g;
    WN_NEW(g, 1);
    *g = (struct grouping){
        .p = p, .row = row, .n = n, .any_target = rule->any_target, .score = score};
    wn_bands_init(&g->bands, least);
    wn_err err = group_all(g, first);
    for (int b = 0; b < g->bands.bands; b++)
        wn_seen_free(&g->seen[b]);
    for (int t = 0; g->work && t < wn_par_threads(); t++)
        work_free(&g->work[t]);
    wn_templates_free(&g->templates);
    wn_sets_free(&g->sets);
    wn_free(g->work);
    wn_free(g->sig);
    wn_free(g->met);
    wn_free(g->size);
    wn_free(g->pair);
    wn_free(g);
    return err;
}

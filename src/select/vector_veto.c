/* What vectors say of candidates: which repeat an earlier one, which are like a target row. The
 * vectors are those of --vectors, or of --store; their rows are found by id. */
#include <string.h>

#include "base/keyed.h"
#include "base/mem.h"
#include "io/file.h"
#include "select/pairs.h"
#include "select/select.h"

/* ---- the candidates' rows in the store ---- */

static wn_err index_of(wn_keyed **out, const wn_store *s)
{
    uint64_t n = wn_store_rows(s);
    WN_NEW(*out, n + 1);
    for (uint64_t i = 0; i < n; i++) {
        wn_span id = wn_store_id(s, i);
        (*out)[i] = (wn_keyed){wn_hash64(id.p, id.len, 0), i};
    }
    wn_keyed_sort(*out, n);
    return WN_OK;
}

static uint64_t find(const wn_keyed *x, const wn_store *s, wn_span id)
{
    uint64_t n = wn_store_rows(s), hash = wn_hash64(id.p, id.len, 0);
    for (uint64_t i = wn_keyed_find(x, n, hash); i < n && x[i].key == hash; i++)
        if (wn_span_same(wn_store_id(s, x[i].row), id))
            return x[i].row;
    return UINT64_MAX;
}

/* The candidates that may be chosen and their rows of the store. */
struct lists {
    wn_store *own; /* of --vectors */
    const wn_store *s;
    uint64_t *candidate, *row, n;
};

static void lists_free(struct lists *l)
{
    wn_store_close(l->own);
    wn_free(l->candidate);
    wn_free(l->row);
}

static wn_err fill(struct lists *l, const wn_candidates *c)
{
    wn_keyed *index = NULL;
    wn_row work = {0};
    wn_err err = l->own ? index_of(&index, l->s) : WN_OK;
    for (uint64_t i = 0; i < c->N && err == WN_OK; i++) {
        if (wn_bit(c->skip, i))
            continue;
        wn_span id = wn_candidate_id(c, i, &work);
        uint64_t row = index ? find(index, l->s, id) : i;
        if (row == UINT64_MAX)
            err = wn_fail(WN_EARG, "%s: no row %.*s, which may be chosen", wn_store_path(l->s),
                          (int)id.len, id.p);
        l->candidate[l->n] = i;
        l->row[l->n++] = row;
    }
    wn_row_free(&work);
    wn_free(index);
    return err;
}

static wn_err lists_make(struct lists *l, const wn_candidates *c, const char *vectors,
                         const char *option)
{
    *l = (struct lists){0};
    if (vectors)
        WN_TRY(wn_store_open_packed(&l->own, vectors));
    l->s = l->own ? l->own : c->store;
    if (!l->s)
        return wn_fail(WN_EUSE, "%s: needs the rows' vectors: --vectors, or --store", option);
    l->candidate = wn_calloc(c->left + 1, sizeof *l->candidate);
    l->row = wn_calloc(c->left + 1, sizeof *l->row);
    wn_err err = l->candidate && l->row ? fill(l, c) : WN_ENOMEM;
    if (err != WN_OK)
        lists_free(l);
    return err;
}

/* ---- rows that repeat an earlier one ---- */

wn_err wn_strike_repeated(const wn_candidates *c, const wn_select_opts *o, wn_strike_fn strike,
                          void *ctx)
{
    struct lists l;
    WN_TRY(lists_make(&l, c, o->vectors, "--near-cosine"));
    uint64_t *first = wn_calloc(l.n + 1, sizeof *first);
    double *score = wn_calloc(l.n + 1, sizeof *score);
    wn_err err = first && score ? wn_vector_groups(first, score, l.s, l.row, l.n, o->near_cosine)
                                : WN_ENOMEM;
    for (uint64_t i = 0; i < l.n && err == WN_OK; i++)
        if (first[i] != i)
            strike(ctx, l.candidate[i]);
    wn_free(first);
    wn_free(score);
    lists_free(&l);
    return err;
}

/* ---- rows like a target row ---- */

static wn_err add(wn_vetoes *out, const wn_candidates *c, uint64_t candidate, const wn_store *t,
                  uint64_t at, double score, wn_row *work)
{
    wn_str by = {0};
    wn_span id = wn_candidate_id(c, candidate, work), target = wn_store_id(t, at);
    if (!WN_GROW(out->v, out->n, out->cap))
        return WN_ENOMEM;
    wn_veto *v = &out->v[out->n++];
    *v = (wn_veto){.row = wn_candidate_pool_row(c, candidate),
                   .kind = WN_VETO_VECTORS,
                   .score = score,
                   .id = wn_strndup(id.p, id.len)};
    wn_str_printf(&by, "%s: ", wn_path_base(wn_store_path(t)));
    wn_str_add(&by, target.p, target.len);
    wn_err err = v->id ? wn_str_check(&by) : WN_ENOMEM;
    if (err == WN_OK)
        v->by = by.p;
    else
        wn_str_free(&by);
    return err;
}

static wn_err strike_like(wn_vetoes *out, const wn_candidates *c, const struct lists *l,
                          const wn_store *t, double least, wn_strike_fn strike, void *ctx)
{
    uint64_t *at = wn_calloc(l->n + 1, sizeof *at);
    double *score = wn_calloc(l->n + 1, sizeof *score);
    wn_row work = {0};
    wn_err err =
        at && score ? wn_vector_nearest(at, score, l->s, l->row, l->n, t, least) : WN_ENOMEM;
    for (uint64_t i = 0; i < l->n && err == WN_OK; i++) {
        if (at[i] == UINT64_MAX || wn_bit(c->skip, l->candidate[i]))
            continue;
        err = add(out, c, l->candidate[i], t, at[i], score[i], &work);
        strike(ctx, l->candidate[i]);
    }
    wn_row_free(&work);
    wn_free(at);
    wn_free(score);
    return err;
}

wn_err wn_strike_like_targets(wn_vetoes *out, uint64_t *vectors, const wn_candidates *c,
                              const wn_select_opts *o, wn_strike_fn strike, void *ctx)
{
    struct lists l;
    WN_TRY(lists_make(&l, c, o->vectors, "--avoid-store"));
    double least = o->avoid_cosine != 0 ? o->avoid_cosine : WN_AVOID_COSINE;
    wn_err err = WN_OK;
    for (size_t i = 0; i < o->n_avoid_store && err == WN_OK; i++) {
        wn_store *t;
        err = wn_store_open_packed(&t, o->avoid_store[i]);
        if (err != WN_OK)
            break;
        if (wn_store_rows(t) == 0)
            err = wn_fail(WN_EARG, "%s: the store has no rows: nothing to compare with",
                          o->avoid_store[i]);
        *vectors += wn_store_rows(t);
        if (err == WN_OK)
            err = strike_like(out, c, &l, t, least, strike, ctx);
        wn_store_close(t);
    }
    lists_free(&l);
    return err;
}

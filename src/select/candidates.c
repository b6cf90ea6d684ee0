/* The list of candidates, and the inputs behind it. A pool and a store of the same rows are usually
 * row for row the same, which is checked by comparing ids; a store of other rows, or in another
 * order, is matched by id. */
#include <inttypes.h>
#include <string.h>

#include "base/mem.h"
#include "base/report.h"
#include "select/select.h"

static bool same(wn_span a, wn_span b)
{
    return a.len == b.len && memcmp(a.p, b.p, a.len) == 0;
}

uint64_t wn_candidate_pool_row(const wn_candidates *c, uint64_t i)
{
    return c->pool_row ? c->pool_row[i] : i;
}

wn_span wn_candidate_id(const wn_candidates *c, uint64_t i, wn_row *work)
{
    if (c->store)
        return wn_store_id(c->store, i);
    if (wn_pool_row(c->pool, i, work) != WN_OK)
        return (wn_span){"", 0};
    return work->id;
}

const char *wn_candidate_task(const wn_candidates *c, uint64_t i)
{
    return c->pool ? wn_pool_task_name(c->pool, c->task[i])
                   : wn_store_task_name(c->store, c->task[i]);
}

wn_span wn_candidate_query(const wn_candidates *c, uint64_t q, wn_row *work)
{
    if (c->queries)
        return wn_store_id(c->queries, q);
    if (wn_pool_row(c->query_rows, q, work) != WN_OK)
        return (wn_span){"", 0};
    return work->id;
}

/* ---- a store's rows in the pool ---- */

static wn_err check_text(const wn_candidates *c, uint64_t i, uint64_t row)
{
    uint64_t there = wn_store_text_hash(c->store, i);
    if (c->other_text || there == 0 || there == wn_pool_text_hash(c->pool, row))
        return WN_OK;
    wn_span id = wn_store_id(c->store, i);
    return wn_fail(WN_EARG, "%s: row %.*s: its text is not the one that %s was made from",
                   wn_pool_path(c->pool), (int)id.len, id.p, wn_store_path(c->store));
}

static wn_err same_rows(bool *yes, const wn_candidates *c)
{
    wn_row row = {0};
    wn_err err = WN_OK;
    *yes = wn_pool_rows(c->pool) == c->N;
    for (uint64_t i = 0; i < c->N && *yes && err == WN_OK; i++) {
        err = wn_pool_row(c->pool, i, &row);
        *yes = err == WN_OK && same(row.id, wn_store_id(c->store, i));
        if (*yes)
            err = check_text(c, i, i);
    }
    wn_row_free(&row);
    return err;
}

static wn_err match_by_id(wn_candidates *c)
{
    WN_NEW(c->pool_row, c->N + 1);
    for (uint64_t i = 0; i < c->N; i++) {
        wn_span id = wn_store_id(c->store, i);
        c->pool_row[i] = wn_pool_find(c->pool, id.p, id.len);
        if (c->pool_row[i] == UINT64_MAX)
            return wn_fail(WN_EARG, "%s: no row %.*s, which %s has", wn_pool_path(c->pool),
                           (int)id.len, id.p, wn_store_path(c->store));
        WN_TRY(check_text(c, i, c->pool_row[i]));
    }
    return WN_OK;
}

static wn_err list(wn_candidates *c)
{
    c->N = c->store ? wn_store_rows(c->store) : wn_pool_rows(c->pool);
    c->left = c->N;
    WN_NEW(c->skip, c->N / 64 + 1);
    if (c->borrowed)
        return WN_OK;
    if (c->store && c->pool) {
        bool yes;
        WN_TRY(same_rows(&yes, c));
        if (!yes)
            WN_TRY(match_by_id(c));
        if (wn_pool_rows(c->pool) > c->N)
            wn_message("%s: %" PRIu64 " of %" PRIu64 " rows are not in %s and cannot be chosen",
                       wn_pool_path(c->pool), wn_pool_rows(c->pool) - c->N, wn_pool_rows(c->pool),
                       wn_store_path(c->store));
    }
    c->tasks = c->pool ? wn_pool_tasks(c->pool) : wn_store_tasks(c->store);
    WN_NEW(c->task, c->N + 1);
    for (uint64_t i = 0; i < c->N; i++)
        c->task[i] = c->pool ? wn_pool_task_of(c->pool, wn_candidate_pool_row(c, i))
                             : wn_store_task_number(c->store, i);
    return WN_OK;
}

/* ---- opening ---- */

static wn_err open_vectors(wn_candidates *c, const wn_select_opts *o)
{
    const wn_strategy *s;
    if (!c->store)
        WN_TRY(wn_store_open(&c->store, o->store));
    if (wn_store_rows(c->store) == 0)
        return wn_fail(WN_EARG, "%s: the store has no rows", o->store);
    if (!o->queries)
        return WN_OK;
    WN_TRY(wn_strategy_find(&s, o->strategy));
    if (s->feature == WN_FEATURE_NONE && !wn_is_store(o->queries))
        return WN_OK; /* no vectors of them are needed */
    wn_queries_from from = {&o->common, o->queries, o->map, o->model, s->steps};
    WN_TRY(wn_queries_open(&c->target, c->store, &from));
    c->queries = c->target.store;
    return WN_OK;
}

static wn_err open_all(wn_candidates *c, const wn_select_opts *o)
{
    if (o->store)
        WN_TRY(open_vectors(c, o));
    if (o->pool && !c->pool) {
        WN_TRY(wn_pool_open(&c->pool, o->pool, o->map, false));
        wn_pool_say_rejected(c->pool);
    }
    if (!o->store && o->queries) {
        WN_TRY(wn_pool_open(&c->query_rows, o->queries, o->map, true));
        if (wn_pool_rows(c->query_rows) == 0)
            return wn_fail(WN_EARG, "%s: no query", o->queries);
    }
    return list(c);
}

wn_err wn_candidates_open(wn_candidates *c, const wn_select_opts *o, const wn_candidates *like)
{
    *c = (wn_candidates){.other_text = o->other_text};
    if (like) {
        c->borrowed = true;
        c->pool = like->pool;
        c->store = like->store;
        c->pool_row = like->pool_row;
        c->task = like->task;
        c->tasks = like->tasks;
    }
    wn_err err = open_all(c, o);
    if (err != WN_OK)
        wn_candidates_close(c);
    return err;
}

void wn_candidates_close(wn_candidates *c)
{
    wn_queries_close(&c->target);
    if (!c->borrowed) {
        wn_store_close(c->store);
        wn_pool_close(c->pool);
        wn_free(c->pool_row);
        wn_free(c->task);
    }
    wn_pool_close(c->query_rows);
    wn_free(c->tokens);
    wn_free(c->skip);
    *c = (wn_candidates){0};
}

/* `winnow search`: a JSON line a query, by any number of ranks. */
#include <string.h>

#include "base/mem.h"
#include "base/par.h"
#include "base/ranks.h"
#include "io/file.h"
#include "io/json.h"
#include "io/manifest.h"
#include "search/finder.h"
#include "store/queries.h"

enum {
    FORGET = 64,           /* ids looked up, each of which may have mapped a megabyte */
    TEXT_BYTES = 16 << 20, /* of lines made together, by a guess of HIT_TEXT a hit */
    HIT_TEXT = 64
};

static void hits_line(wn_str *line, const wn_store *s, const wn_store *queries, size_t q,
                      const int64_t *row, const double *score, size_t k)
{
    wn_span id = wn_store_id(queries, q);
    wn_str_puts(line, "{\"query\": ");
    wn_json_string(line, id.p, id.len);
    wn_str_puts(line, ", \"hits\": [");
    for (size_t i = 0; i < k && row[i] != WN_NO_ROW; i++) {
        id = wn_store_id(s, (uint64_t)row[i]);
        wn_str_puts(line, i ? ", {\"id\": " : "{\"id\": ");
        wn_json_string(line, id.p, id.len);
        wn_str_puts(line, ", \"score\": ");
        wn_json_f64(line, score[i]);
        wn_str_putc(line, '}');
        if (i % FORGET == FORGET - 1)
            wn_store_forget(s);
    }
    wn_str_puts(line, "]}\n");
}

/* Queries a pass: keeps the answers below some 64 MB however many queries there are. */
static size_t block_of(size_t Q, size_t k)
{
    size_t most = ((size_t)1 << 26) / (16 * k + 1);
    most = most < 1 ? 1 : most;
    return most < Q ? most : Q;
}

/* A search by all ranks (base/ranks.h), each of its part of the rows: what a part finds are its
 * best, of which rank 0 takes the best of all. */
struct search {
    wn_finder *finder;
    const wn_store *store, *queries;
    wn_metric metric;
    size_t k;
    size_t at, n; /* queries of this pass */
    int64_t *row; /* [n, k] of those asked so far; on other ranks of the part */
    double *score;
    int64_t *merged_row; /* [k] scratch */
    double *merged_score;
    bool empty; /* no row is this rank's */
};

static wn_err find(const struct search *x)
{
    const wn_asked ask = {wn_store_vector(x->queries, x->at), x->n, x->k, NULL, x->row, x->score};
    for (size_t i = 0; x->empty && i < x->n * x->k; i++)
        x->row[i] = WN_NO_ROW;
    return x->empty ? WN_OK
                    : wn_finder_context(wn_finder_find(x->finder, &ask, 1), x->finder, x->queries);
}

static wn_err find_part(void *ctx, uint64_t part, wn_str *result)
{
    (void)part;
    const struct search *x = ctx;
    size_t n = x->n * x->k;
    WN_TRY(find(x));
    wn_str_add(result, x->row, n * sizeof *x->row);
    wn_str_add(result, x->score, n * sizeof *x->score);
    return WN_OK;
}

/* The best k of two lists; of equal scores those of `row`, which stand before the others. */
static void merge(const struct search *x, int64_t *row, double *score, const int64_t *other,
                  const double *others)
{
    for (size_t i = 0, a = 0, b = 0; i < x->k; i++) {
        bool better = x->metric == WN_METRIC_L2 ? others[b] < score[a] : others[b] > score[a];
        bool take = other[b] != WN_NO_ROW && (row[a] == WN_NO_ROW || better);
        x->merged_row[i] = take ? other[b] : row[a];
        x->merged_score[i] = take ? others[b] : score[a];
        b += take;
        a += !take;
    }
    memcpy(row, x->merged_row, x->k * sizeof *row);
    memcpy(score, x->merged_score, x->k * sizeof *score);
}

/* Rank 0's own part, the first, is in place. */
static wn_err take_part(void *ctx, uint64_t part, const char *result, size_t bytes)
{
    const struct search *x = ctx;
    const int64_t *row = (const void *)result;
    const double *score = (const void *)(result + bytes / 2);
    for (size_t q = 0; part > 0 && q < x->n; q++)
        merge(x, x->row + q * x->k, x->score + q * x->k, row + q * x->k, score + q * x->k);
    return WN_OK;
}

static wn_err find_all(struct search *x)
{
    if (wn_ranks() == 1)
        return find(x);
    return wn_ranks_deal(
        &(wn_deal){.ctx = x, .chunks = (uint64_t)wn_ranks(), .make = find_part, .take = take_part});
}

struct lines {
    const struct search *x;
    wn_str *line;
    size_t from; /* the first one's query of this pass */
};

static void make_line(void *ctx, size_t i, int thread)
{
    (void)thread;
    const struct lines *l = ctx;
    const struct search *x = l->x;
    size_t q = l->from + i;
    wn_str_clear(&l->line[i]);
    hits_line(&l->line[i], x->store, x->queries, x->at + q, x->row + q * x->k, x->score + q * x->k,
              x->k);
}

/* The lines of this pass: to write a hit's score takes longer than to find it. */
static wn_err write_lines(wn_out *out, const struct search *x)
{
    size_t most = TEXT_BYTES / (HIT_TEXT * x->k) + (size_t)wn_par_threads();
    struct lines l = {.x = x};
    WN_NEW(l.line, most);
    wn_err err = WN_OK;
    for (; l.from < x->n && err == WN_OK; l.from += most) {
        size_t n = x->n - l.from < most ? x->n - l.from : most;
        wn_par_do(n, make_line, &l);
        for (size_t i = 0; i < n && err == WN_OK; i++) {
            err = wn_str_check(&l.line[i]);
            if (err == WN_OK)
                err = wn_out_write(out, l.line[i].p, l.line[i].len);
        }
    }
    for (size_t i = 0; i < most; i++)
        wn_str_free(&l.line[i]);
    wn_free(l.line);
    return err;
}

/* out: NULL on ranks other than 0. */
static wn_err write_hits(wn_out *out, struct search *x)
{
    size_t Q = wn_store_rows(x->queries), block = block_of(Q, x->k), k = x->k;
    WN_NEW(x->row, block * k + 1);
    WN_NEW(x->score, block * k + 1);
    WN_NEW(x->merged_row, k + 1);
    WN_NEW(x->merged_score, k + 1);
    wn_err err = WN_OK;
    for (x->at = 0; x->at < Q && err == WN_OK; x->at += block) {
        x->n = Q - x->at < block ? Q - x->at : block;
        err = find_all(x);
        if (out && err == WN_OK)
            err = write_lines(out, x);
    }
    return err;
}

static wn_err write_out(const wn_search_opts *o, struct search *x)
{
    wn_out out;
    if (wn_rank() > 0)
        return write_hits(NULL, x);
    WN_TRY(wn_out_open(&out, o->common.out));
    wn_err err = write_hits(&out, x);
    if (err == WN_OK)
        return wn_out_commit(&out);
    wn_out_abort(&out);
    return err;
}

/* Parts of whole steps, as even as can be. */
static void take_share(struct search *x)
{
    uint64_t N = wn_store_rows(x->store), n = (uint64_t)wn_ranks(), r = (uint64_t)wn_rank();
    uint64_t steps = (N + WN_FINDER_STEP - 1) / WN_FINDER_STEP;
    uint64_t first = steps * r / n * WN_FINDER_STEP, end = steps * (r + 1) / n * WN_FINDER_STEP;
    end = end < N ? end : N;
    x->empty = first == end;
    if (!x->empty && n > 1)
        wn_finder_part(x->finder, first, end - first);
}

static wn_err search(const wn_search_opts *o, struct search *x)
{
    x->k = o->k ? o->k : WN_HITS;
    if (x->k > wn_store_rows(x->store))
        x->k = wn_store_rows(x->store);
    take_share(x);
    wn_err err = write_out(o, x);
    wn_free(x->row);
    wn_free(x->score);
    wn_free(x->merged_row);
    wn_free(x->merged_score);
    return err;
}

/* ---- the job ---- */

/* All ranks read the same. */
static wn_err agree(wn_err err, const struct search *x)
{
    json_t *m = NULL;
    if (err == WN_OK && wn_ranks() > 1) {
        m = json_pack("{s:s, s:s*}", "store", wn_store_sha(x->store), "queries",
                      x->queries ? wn_store_sha(x->queries) : NULL);
        err = m ? WN_OK : wn_fail_nomem(0, "what ranks compare");
    }
    err = wn_manifest_agree(err, m);
    json_decref(m);
    return err;
}

static wn_err check(const wn_search_opts *o)
{
    const char *out = o->common.out;
    if (!o->store || !(o->queries || o->prepare))
        return wn_fail(WN_EUSE, "search: %s is required", o->store ? "--queries" : "--store");
    if ((o->model || o->map) && (!o->queries || wn_is_store(o->queries)))
        return wn_fail(WN_EUSE, "%s: expected --queries of rows, found %s",
                       o->model ? "--model" : "--map", o->queries ? "a store" : "none");
    if (wn_ranks() > 1 && o->queries && !wn_is_store(o->queries))
        return wn_fail(WN_EARG, "%s: of several ranks expected a store of queries (winnow embed)",
                       o->queries);
    if (out && strcmp(out, "-") != 0 && !o->common.overwrite && wn_file_exists(out))
        return wn_fail(WN_EARG, "%s: is there already; --overwrite replaces it", out);
    return WN_OK;
}

static wn_err open_all(struct search *x, wn_store **s, wn_queries *q, const wn_search_opts *o)
{
    WN_TRY(check(o));
    WN_TRY(wn_store_open(s, o->store));
    x->store = *s;
    WN_TRY(wn_metric_parse(&x->metric, o->metric));
    if (wn_store_rows(x->store) == 0)
        return wn_fail(WN_EARG, "%s: the store has no rows", wn_store_path(x->store));
    if (o->queries)
        WN_TRY(wn_queries_open(
            q, x->store,
            &(wn_queries_from){
                .common = &o->common, .path = o->queries, .map = o->map, .model = o->model}));
    x->queries = q->store;
    return WN_OK;
}

/* Codes that are asked for are made by the search, or by themselves; of several ranks by rank 0,
 * before the others look for them. */
static wn_err prepare(struct search *x, bool wanted)
{
    wn_err err = WN_OK;
    if (!wanted || (x->queries && wn_ranks() == 1))
        return WN_OK;
    if (wn_rank() == 0) {
        err = wn_finder_open(&x->finder, x->store, x->metric, true);
        if (err == WN_OK)
            err = wn_finder_context(wn_finder_prepare(x->finder), x->finder, NULL);
        wn_finder_close(x->finder);
        x->finder = NULL;
    }
    return wn_ranks_agree(err);
}

wn_err wn_search_job(const wn_search_opts *o)
{
    struct search x = {0};
    wn_store *s = NULL;
    wn_queries q = {0};
    wn_err err = agree(open_all(&x, &s, &q, o), &x);
    if (err == WN_OK)
        err = prepare(&x, o->prepare);
    if (err == WN_OK && x.queries)
        err = wn_finder_open(&x.finder, s, x.metric, o->prepare && wn_ranks() == 1);
    if (err == WN_OK && x.queries)
        err = search(o, &x);
    wn_finder_close(x.finder);
    wn_queries_close(&q);
    wn_store_close(s);
    return err;
}

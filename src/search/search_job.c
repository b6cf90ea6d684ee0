/* `winnow search`: a JSON line a query. */
#include <string.h>

#include "base/mem.h"
#include "io/file.h"
#include "io/json.h"
#include "search/finder.h"
#include "store/queries.h"

enum { FORGET = 64 }; /* ids looked up, each of which may have mapped a megabyte */

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

static wn_err write_hits(wn_out *out, wn_finder *f, const wn_store *s, const wn_store *queries,
                         size_t k)
{
    size_t Q = wn_store_rows(queries), block = block_of(Q, k);
    int64_t *row = wn_malloc(block * k * sizeof *row + 1);
    double *score = wn_malloc(block * k * sizeof *score + 1);
    wn_str line = {0};
    wn_err err = row && score ? WN_OK : WN_ENOMEM;
    for (size_t q0 = 0; q0 < Q && err == WN_OK; q0 += block) {
        size_t n = Q - q0 < block ? Q - q0 : block;
        err =
            wn_finder_find(f, &(wn_asked){wn_store_vector(queries, q0), n, k, NULL, row, score}, 1);
        err = wn_finder_context(err, f, queries);
        for (size_t q = 0; q < n && err == WN_OK; q++) {
            wn_str_clear(&line);
            hits_line(&line, s, queries, q0 + q, row + q * k, score + q * k, k);
            err = wn_str_check(&line);
            if (err == WN_OK)
                err = wn_out_write(out, line.p, line.len);
        }
    }
    wn_str_free(&line);
    wn_free(row);
    wn_free(score);
    return err;
}

static wn_err search(const wn_search_opts *o, wn_finder *f, const wn_store *s,
                     const wn_store *queries)
{
    size_t k = o->k ? o->k : 500;
    if (k > wn_store_rows(s))
        k = wn_store_rows(s);
    wn_out out;
    WN_TRY(wn_out_open(&out, o->common.out));
    wn_err err = write_hits(&out, f, s, queries, k);
    if (err == WN_OK)
        return wn_out_commit(&out);
    wn_out_abort(&out);
    return err;
}

/* What --prepare asks for is done by the search, or by itself. */
static wn_err with_store(const wn_search_opts *o, const wn_store *s)
{
    wn_metric metric;
    wn_finder *f;
    wn_queries q = {0};
    WN_TRY(wn_metric_parse(&metric, o->metric));
    if (wn_store_rows(s) == 0)
        return wn_fail(WN_EARG, "%s: the store has no rows", wn_store_path(s));
    wn_err err = WN_OK;
    if (o->queries)
        err = wn_queries_open(
            &q, s,
            &(wn_queries_from){
                .common = &o->common, .path = o->queries, .map = o->map, .model = o->model});
    if (err == WN_OK)
        err = wn_finder_open(&f, s, metric, o->prepare);
    if (err == WN_OK) {
        err = o->queries ? search(o, f, s, q.store)
                         : wn_finder_context(wn_finder_prepare(f), f, NULL);
        wn_finder_close(f);
    }
    wn_queries_close(&q);
    return err;
}

wn_err wn_search_job(const wn_search_opts *o)
{
    if (!o->store || !(o->queries || o->prepare))
        return wn_fail(WN_EUSE, "search: %s is required", o->store ? "--queries" : "--store");
    if ((o->model || o->map) && (!o->queries || wn_is_store(o->queries)))
        return wn_fail(WN_EUSE, "%s: expected --queries of rows, found %s",
                       o->model ? "--model" : "--map", o->queries ? "a store" : "none");
    if (o->common.out && strcmp(o->common.out, "-") != 0 && !o->common.overwrite &&
        wn_file_exists(o->common.out))
        return wn_fail(WN_EARG, "%s: is there already; --overwrite replaces it", o->common.out);
    wn_store *s;
    WN_TRY(wn_store_open(&s, o->store));
    wn_err err = with_store(o, s);
    wn_store_close(s);
    return err;
}

/* `winnow dedup`: groups of near-duplicates of a pool or a store. */
#include <inttypes.h>
#include <string.h>

#include "base/mem.h"
#include "base/report.h"
#include "io/file.h"
#include "io/json.h"
#include "pool/near.h"
#include "select/pairs.h"

#define COSINE 0.95

struct groups {
    wn_pool *pool;
    wn_store *store;
    uint64_t n;
    uint64_t *first, *next; /* next: of the same group, 0: none */
    double *score;
    uint64_t found, extra;
};

static wn_err add_id(wn_str *line, const struct groups *g, uint64_t i, wn_row *row)
{
    wn_span id;
    if (g->pool) {
        WN_TRY(wn_pool_row(g->pool, i, row));
        id = row->id;
    } else {
        id = wn_store_id(g->store, i);
    }
    wn_str_puts(line, "{\"id\": ");
    wn_json_string(line, id.p, id.len);
    wn_str_printf(line, ", \"row\": %" PRIu64, i);
    return wn_str_check(line);
}

static wn_err group_line(wn_str *line, struct groups *g, uint64_t i, wn_row *row)
{
    wn_str_clear(line);
    WN_TRY(add_id(line, g, i, row));
    wn_str_puts(line, ", \"duplicates\": [");
    for (uint64_t k = g->next[i]; k; k = g->next[k]) {
        if (k != g->next[i])
            wn_str_puts(line, ", ");
        WN_TRY(add_id(line, g, k, row));
        wn_str_puts(line, ", \"score\": ");
        wn_json_f64(line, g->score[k]);
        wn_str_putc(line, '}');
        g->extra++;
    }
    wn_str_puts(line, "]}\n");
    return wn_str_check(line);
}

static wn_err write_groups(wn_out *out, struct groups *g)
{
    wn_str line = {0};
    wn_row row = {0};
    wn_err err = WN_OK;
    for (uint64_t i = g->n; i-- > 0;) /* chains in ascending order */
        if (g->first[i] != i) {
            g->next[i] = g->next[g->first[i]];
            g->next[g->first[i]] = i;
        }
    for (uint64_t i = 0; i < g->n && err == WN_OK; i++) {
        if (g->first[i] != i || !g->next[i])
            continue;
        err = group_line(&line, g, i, &row);
        g->found++;
        if (err == WN_OK)
            err = wn_out_write(out, line.p, line.len);
    }
    wn_str_free(&line);
    wn_row_free(&row);
    return err;
}

static wn_err make_groups(struct groups *g, const wn_dedup_opts *o)
{
    WN_TRY(o->pool ? wn_pool_open(&g->pool, o->pool, o->map, false)
                   : wn_store_open_packed(&g->store, o->store));
    if (g->pool)
        wn_pool_say_rejected(g->pool);
    g->n = g->pool ? wn_pool_rows(g->pool) : wn_store_rows(g->store);
    WN_NEW(g->first, g->n + 1);
    WN_NEW(g->next, g->n + 1);
    WN_NEW(g->score, g->n + 1);
    if (g->pool)
        return wn_near_groups(g->first, g->score, g->pool, NULL, g->n,
                              &(wn_near_rule){o->threshold, o->any_target});
    return wn_vector_groups(g->first, g->score, g->store, NULL, g->n,
                            o->threshold != 0 ? o->threshold : COSINE);
}

static wn_err write_out(struct groups *g, const wn_dedup_opts *o)
{
    wn_out out;
    WN_TRY(wn_out_open(&out, o->common.out));
    wn_err err = write_groups(&out, g);
    if (err != WN_OK) {
        wn_out_abort(&out);
        return err;
    }
    wn_message("%" PRIu64 " of %" PRIu64 " rows repeat another one: %" PRIu64 " groups", g->extra,
               g->n, g->found);
    return wn_out_commit(&out);
}

wn_err wn_dedup_job(const wn_dedup_opts *o)
{
    struct groups g = {0};
    if (!o->pool == !o->store)
        return wn_fail(WN_EUSE, "dedup: expected either --pool (by text) or --store (by vectors)");
    if (o->store && o->any_target)
        return wn_fail(WN_EUSE, "dedup: --any-target: vectors know no targets");
    WN_TRY(wn_out_refuse(o->common.out, o->common.overwrite));
    wn_err err = make_groups(&g, o);
    if (err == WN_OK)
        err = write_out(&g, o);
    wn_pool_close(g.pool);
    wn_store_close(g.store);
    wn_free(g.first);
    wn_free(g.next);
    wn_free(g.score);
    return err;
}

/* The labelled rows of the few-shot stage: all rows of the target's file, or some drawn by seed, in
 * the order of the file. */
#include "base/mem.h"
#include "base/rng.h"
#include "io/file.h"
#include "pool/pool.h"
#include "report/plan.h"
#include "search/search.h"

static wn_err open_shots(wn_pool **rows, const wn_run *r, size_t target, size_t s)
{
    wn_str path = {0};
    wn_err e = wn_plan_shots(&path, r, target, s);
    if (!e)
        e = wn_pool_open(rows, path.p, r->recipe.target[target].map, true);
    wn_str_free(&path);
    return e;
}

static wn_err check_rows(const wn_run *r, wn_pool *rows)
{
    wn_row row = {0};
    uint64_t n = wn_pool_rows(rows);
    wn_err e = WN_OK;
    if (n < r->recipe.few.rows)
        return wn_fail(WN_EARG, "%s: few_shot: rows: expected %llu at least, found %llu",
                       wn_pool_path(rows), (unsigned long long)r->recipe.few.rows,
                       (unsigned long long)n);
    for (uint64_t i = 0; i < n && !e; i++) {
        e = wn_pool_row(rows, i, &row);
        if (!e && !row.has_target)
            e = wn_fail(WN_EARG, "%s: row \"%.*s\" has no target; expected labelled rows",
                        wn_pool_path(rows), (int)row.id.len, row.id.p);
    }
    wn_row_free(&row);
    return e;
}

wn_err wn_shots_check(const wn_run *r)
{
    const wn_recipe *c = &r->recipe;
    for (size_t t = 0; c->few.there && t < c->n_targets; t++)
        for (size_t s = 0; s < c->few.n_seeds; s++) {
            wn_pool *rows;
            WN_TRY(open_shots(&rows, r, t, s));
            wn_err e = check_rows(r, rows);
            wn_pool_close(rows);
            WN_TRY(e);
        }
    return WN_OK;
}

wn_err wn_shots_key(json_t *options, json_t *inputs, wn_run *r, const wn_part *p)
{
    wn_str path = {0};
    json_object_set_new(options, "rows", json_integer((json_int_t)r->recipe.few.rows));
    wn_err e = wn_plan_shots(&path, r, p->target, (size_t)p->seed);
    if (!e)
        e = wn_part_input(inputs, r, "shots", path.p);
    wn_str_free(&path);
    return e;
}

/* Bits of the rows drawn. */
static wn_err draw(uint64_t **bits, uint64_t n, uint64_t want, uint64_t seed)
{
    wn_rng rng = {seed, WN_STREAM_SELECT, 0};
    uint64_t *row = wn_malloc(n * sizeof *row);
    *bits = wn_calloc(n / 64 + 1, sizeof **bits);
    if (!row || !*bits) {
        wn_free(row);
        return WN_ENOMEM;
    }
    for (uint64_t i = 0; i < n; i++)
        row[i] = i;
    if (want < n)
        wn_rng_shuffle(&rng, row, n);
    for (uint64_t i = 0; i < want; i++)
        wn_bit_set(*bits, row[i]);
    wn_free(row);
    return WN_OK;
}

static wn_err write_drawn(const char *to, const wn_pool *rows, const uint64_t *bits)
{
    wn_out out;
    WN_TRY(wn_out_open(&out, to));
    wn_err e = WN_OK;
    for (uint64_t i = 0; i < wn_pool_rows(rows) && !e; i++) {
        if (!wn_bit(bits, i))
            continue;
        wn_span raw = wn_pool_raw(rows, i);
        e = wn_out_write(&out, raw.p, raw.len);
        if (!e)
            e = wn_out_write(&out, "\n", 1);
    }
    if (!e)
        return wn_out_commit(&out);
    wn_out_abort(&out);
    return e;
}

wn_err wn_shots_do(wn_run *r, const wn_part *p)
{
    wn_pool *rows;
    uint64_t *bits = NULL, want = r->recipe.few.rows;
    WN_TRY(open_shots(&rows, r, p->target, (size_t)p->seed));
    uint64_t n = wn_pool_rows(rows);
    wn_err e = draw(&bits, n, want && want < n ? want : n, r->recipe.few.seed[p->seed]);
    if (!e)
        e = write_drawn(p->out, rows, bits);
    wn_free(bits);
    wn_pool_close(rows);
    return e;
}

/* What is done with rows: the pool is built, embedded, searched and chosen from. */
#include "report/price_parts.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "search/code_file.h"
#include "search/finder.h"

/* ---- pool, embed, search ---- */

wn_err wn_price_pool(wn_pricing *p)
{
    double rows = (double)p->s.pool.rows, bytes = rows * p->s.pool.bytes;
    WN_TRY(wn_price_tell(p, "pool build"));
    WN_TRY(wn_pace_pool_open(&p->pool, p->s.pool.bytes, p->r.dedup));
    double sec = p->pool.build_sec / (double)p->pool.bytes;
    WN_TRY(wn_price_rate(p, "pool build", 1 / sec, "bytes/s", "made-up rows of the same length"));
    wn_price_line l = {.stage = "pool",
                       .name = "pool",
                       .runs = 1,
                       .rows = rows,
                       .sec = sec * bytes,
                       .io_bytes = bytes,
                       .disk = bytes + 32 * rows,
                       .memory = (64 << 20) + 80 * rows};
    snprintf(l.rate, sizeof l.rate, "%.0f MB/s of rows", 1e-6 / sec);
    return wn_price_add(p, &l, WN_PRICE_ONE_MACHINE);
}

/* Of one row of a store: vector, record, id. */
static double stored_bytes(const wn_pricing *p)
{
    return p->embed.width * 4 + 32 + 16;
}

wn_err wn_price_embed(wn_pricing *p)
{
    double queries = 0, tokens = 0, rows = (double)p->s.pool.rows;
    wn_pace_job j = {.kind = WN_PACE_EMBED,
                     .config = p->s.encoder,
                     .place = "sizes: encoder",
                     .precision = p->o->common.precision,
                     .prompt = (size_t)fmax(1, round(p->s.pool_embed)),
                     .target = 1};
    WN_TRY(wn_price_tell(p, "embed"));
    WN_TRY(wn_pace_measure(&p->embed, &j));
    double token = (double)j.prompt;
    WN_TRY(wn_price_rate(p, "embed", token / p->embed.row_sec, "tokens/s",
                         "the encoder's shape, numbers made up"));
    wn_price_line l = {.stage = "embed",
                       .name = "embed pool",
                       .runs = 1,
                       .rows = rows,
                       .tokens = rows * p->s.pool_embed,
                       .flops = rows * p->embed.row_flops,
                       .sec = rows * p->embed.row_sec,
                       .disk = rows * stored_bytes(p),
                       .memory = p->embed.bytes + (64 << 20)};
    snprintf(l.rate, sizeof l.rate, "%.0f tokens/s, %.0f GFLOP/s at %zu tokens a row",
             token / p->embed.row_sec, p->embed.gflops, j.prompt);
    WN_TRY(wn_price_add(p, &l, WN_PRICE_BY_ROWS));
    for (size_t t = 0; t < p->r.n_targets; t++) {
        queries += (double)p->s.target[t].queries.rows;
        tokens += (double)p->s.target[t].queries.rows * p->s.target[t].queries.prompt;
    }
    snprintf(l.name, sizeof l.name, "embed queries");
    l.runs = (double)p->r.n_targets;
    l.rows = queries;
    l.tokens = tokens;
    l.flops = tokens / token * p->embed.row_flops;
    l.sec = tokens / token * p->embed.row_sec;
    l.disk = queries * stored_bytes(p);
    WN_TRY(wn_price_add(p, &l, WN_PRICE_BY_RUNS));
    return wn_price_joining(p, "join embedded pieces", rows, stored_bytes(p));
}

/* Where pieces of the pool were made on several machines their stores become one: read and written,
 * as fast as the disk is read. */
wn_err wn_price_joining(wn_pricing *p, const char *name, double rows, double row_bytes)
{
    wn_price_line l = {.stage = "store",
                       .runs = 1,
                       .rows = rows,
                       .io_bytes = 2 * rows * row_bytes,
                       .disk = rows * row_bytes,
                       .memory = 64 << 20};
    if (p->nodes <= 1)
        return WN_OK;
    snprintf(l.name, sizeof l.name, "%s", name);
    snprintf(l.rate, sizeof l.rate, "%.0f MB/s of the disk, read and written", p->disk_rate * 1e-6);
    return wn_price_add(p, &l, WN_PRICE_ONE_MACHINE);
}

static uint64_t k_of(const wn_recipe_arm *a)
{
    return a->k ? a->k : WN_HITS;
}

static double all_queries(const wn_pricing *p)
{
    double sum = 0;
    for (size_t t = 0; t < p->r.n_targets; t++)
        sum += (double)p->s.target[t].queries.rows;
    return fmax(1, sum);
}

/* Bytes of the rows that are scored where codes are kept: pages of them, some times as many as
 * there are hits, in which case soon all. */
static double scored_bytes(double store_bytes, double hits)
{
    enum { PAGE = 4096, TRIED = 4 };
    double pages = store_bytes / PAGE;
    return store_bytes * (1 - exp(-TRIED * hits / pages));
}

static wn_err measure_search(wn_pricing *p, size_t arm, wn_metric metric, size_t Q)
{
    const wn_recipe_arm *a = p->r.arm;
    wn_pace_scan *s = &p->arm[arm].scan;
    for (size_t b = 0; b < arm; b++) {
        wn_metric other;
        WN_TRY(wn_metric_parse(&other, a[b].distance));
        if (a[b].uses_store && other == metric && k_of(&a[b]) == k_of(&a[arm])) {
            *s = p->arm[b].scan;
            return WN_OK;
        }
    }
    WN_TRY(wn_price_tell(p, "search"));
    WN_TRY(wn_pace_search(s, p->s.pool.rows, (size_t)p->embed.width, Q, (size_t)k_of(&a[arm]),
                          metric));
    WN_TRY(wn_price_rate(p, "search", 1 / s->row_sec, "rows/s", "a made-up store, codes made"));
    return wn_price_rate(p, "search again", 1 / s->again_sec, "rows/s", "the same, codes kept");
}

/* The queries of all targets are searched for together, as many in one pass over the rows as their
 * candidates leave room for; the first arm's first pass makes the codes that are kept. */
wn_err wn_price_search(wn_pricing *p, size_t arm)
{
    const wn_recipe_arm *a = &p->r.arm[arm];
    wn_metric metric;
    double Q = all_queries(p), k = (double)k_of(a), rows = (double)p->s.pool.rows;
    double passes = ceil(Q / (double)wn_search_together(k_of(a)));
    size_t D = (size_t)p->embed.width;
    WN_TRY(wn_metric_parse(&metric, a->distance));
    WN_TRY(measure_search(p, arm, metric, (size_t)ceil(Q / passes)));
    const wn_pace_scan s = p->arm[arm].scan;
    bool *coded = &p->coded[metric == WN_METRIC_COSINE];
    double bytes = rows * p->embed.width * 4,
           beside = rows * (stored_bytes(p) - p->embed.width * 4);
    double codes = rows * (double)wn_code_row_bytes(D);
    double first = *coded ? 0 : 1, later = passes - first;
    bool cached = bytes < (double)wn_machine_memory() / 2;
    wn_price_line l = {
        .stage = "search",
        .runs = passes,
        .rows = rows,
        .flops = 2 * rows * Q * p->embed.width,
        .sec = passes * s.fixed_sec + rows * (first * s.row_sec + later * s.again_sec),
        .io_bytes = cached ? 0
                           : beside + first * (bytes + codes) +
                                 later * (codes + scored_bytes(bytes, Q / passes * k)),
        .disk = wn_codes_worth(p->s.pool.rows, D) ? first * codes : 0,
        .memory = wn_search_memory((size_t)ceil(Q / passes), (size_t)k, D, !cached) + Q * k * 16 +
                  fmin(beside, 64 << 20)}; /* ids and records come and go in as much */
    *coded = true;
    snprintf(l.name, sizeof l.name, "search %s", a->name);
    snprintf(l.rate, sizeof l.rate, "%.3g rows/s of %zu numbers for %.0f queries%s",
             first > 0 ? 1 / s.row_sec : 1 / s.again_sec, D, Q / passes,
             cached ? "" : ", at most the disk's rate");
    return wn_price_add(p, &l, WN_PRICE_ONE_MACHINE);
}

/* ---- arms ---- */

/* Rows that an arm is trained on for one target. */
double wn_price_selected(const wn_pricing *p, size_t arm, size_t target)
{
    const wn_recipe_arm *a = &p->r.arm[arm];
    double all = (double)p->s.pool.rows;
    double tokens = fmax(1, p->s.pool.prompt + p->s.pool.target);
    if (a->few)
        return p->s.shots;
    if (strcmp(a->strategy, "all") == 0)
        return all;
    if (a->fills && p->reference != SIZE_MAX && !a->own_budget)
        return wn_price_selected(p, p->reference, target);
    double most = all;
    if (!a->fills) {
        double hits = (double)p->s.target[target].queries.rows * (double)k_of(a);
        most = p->s.selected ? fmin(hits, (double)p->s.selected) : hits;
    }
    if (a->budget)
        most = fmin(most, (double)a->budget);
    if (a->budget_tokens)
        most = fmin(most, (double)a->budget_tokens / tokens);
    return fmin(most, all);
}

static double all_selected(const wn_pricing *p, size_t arm)
{
    double sum = 0;
    for (size_t t = 0; t < p->r.n_targets; t++)
        sum += wn_price_selected(p, arm, t);
    return sum;
}

static bool same_text(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

/* Vectors and gradients are searched elsewhere: what is left of their arms is as of random rows. */
static const char *chosen_by(const wn_recipe_arm *a)
{
    return a->uses_store || a->uses_grads ? "random" : a->strategy;
}

static wn_err measure_select(wn_pricing *p, size_t arm)
{
    const wn_recipe_arm *a = p->r.arm;
    for (size_t b = 0; b < arm; b++)
        if (p->arm[b].select_sec > 0 && same_text(chosen_by(&a[b]), chosen_by(&a[arm])) &&
            same_text(a[b].dedup, a[arm].dedup)) {
            p->arm[arm].select_sec = p->arm[b].select_sec;
            return WN_OK;
        }
    uint64_t target_rows = p->s.target[0].queries.rows + p->s.target[0].test.rows;
    WN_TRY(wn_price_tell(p, "select"));
    return wn_pace_select(&p->arm[arm].select_sec, &p->pool, chosen_by(&a[arm]), a[arm].dedup,
                          p->r.veto, target_rows);
}

wn_err wn_price_select(wn_pricing *p, size_t arm)
{
    const wn_recipe_arm *a = &p->r.arm[arm];
    double rows = (double)p->s.pool.rows, targets = (double)p->r.n_targets;
    double seeds = a->by_seed ? (double)p->r.n_seeds : 1;
    WN_TRY(measure_select(p, arm));
    double row = p->arm[arm].select_sec;
    double chosen = all_selected(p, arm) * seeds;
    wn_price_line l = {.stage = "select",
                       .runs = targets * seeds,
                       .rows = chosen,
                       .sec = targets * seeds * rows * row,
                       .io_bytes = targets * seeds * rows * p->s.pool.bytes,
                       .disk = chosen * p->s.pool.bytes,
                       .memory = (128 << 20) + rows * 30};
    if (rows * p->s.pool.bytes < (double)wn_machine_memory() / 2 || !p->r.veto)
        l.io_bytes = 0;
    snprintf(l.name, sizeof l.name, "select %s", a->name);
    snprintf(l.rate, sizeof l.rate, "%.3g rows/s of the pool%s", 1 / row,
             p->r.veto ? ", contamination looked for" : "");
    return wn_price_add(p, &l, WN_PRICE_BY_RUNS);
}

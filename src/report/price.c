/* Each part's work is counted (rows, tokens, bytes), a short measurement says what a unit of it
 * costs here (pace.h, pace_data.h, pace_search.c), and for other machines times are scaled: as many
 * times as fast as they have cores, which is what cores can bring at most. Over several machines
 * only that is shared out which commands of winnow can share: rows that are embedded or have their
 * gradients taken, joined afterwards, which is priced, and whole runs. */
#include "report/price.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/par.h"
#include "base/report.h"
#include "io/file.h"
#include "io/manifest.h"
#include "kernel/kernel.h"
#include "report/price_parts.h"

wn_err wn_price_add(wn_pricing *p, wn_price_line *l, wn_price_spread how)
{
    static const char *const shared[] = {"nothing", "rows", "runs"};
    double most = how == WN_PRICE_BY_RUNS   ? fmax(1, l->runs)
                  : how == WN_PRICE_BY_ROWS ? INFINITY
                                            : 1;
    double nodes = fmin(p->nodes, most);
    double share = how == WN_PRICE_BY_RUNS ? ceil(l->runs / nodes) / fmax(1, l->runs) : 1 / nodes;
    double sec = l->sec * share / p->speed, io = l->io_bytes * share / p->disk_rate;
    sec = io > sec ? io : sec;
    json_t *o = json_pack("{s:s, s:s, s:I, s:I, s:I, s:f, s:f, s:f, s:I, s:I, s:I, s:s, s:s}",
                          "part", l->name, "stage", l->stage, "runs", (json_int_t)l->runs, "rows",
                          (json_int_t)llround(l->rows), "tokens", (json_int_t)llround(l->tokens),
                          "flops", l->flops, "seconds", sec, "hours", sec / 3600, "disk_bytes",
                          (json_int_t)l->disk, "memory_bytes", (json_int_t)l->memory, "machines",
                          (json_int_t)nodes, "shared_by", shared[how], "rate", l->rate);
    if (!o || json_array_append_new(p->parts, o) != 0)
        return wn_fail_nomem(256, "plan");
    const double more[] = {sec / 3600, l->tokens, l->flops, l->disk};
    for (int i = 0; i < 4; i++)
        p->sum[i] += more[i];
    p->memory = l->memory > p->memory ? l->memory : p->memory;
    return WN_OK;
}

wn_err wn_price_rate(wn_pricing *p, const char *name, double value, const char *unit,
                     const char *how)
{
    json_t *o =
        json_pack("{s:s, s:f, s:s, s:s}", "name", name, "value", value, "unit", unit, "from", how);
    return o && json_array_append_new(p->rates, o) == 0 ? WN_OK : wn_fail_nomem(128, "plan");
}

wn_err wn_price_tell(wn_pricing *p, const char *what)
{
    wn_hush(false);
    wn_err e = wn_progress("plan", "measurements", p->measured++, 0, what);
    wn_hush(true);
    return e;
}

/* ---- the machine ---- */

static wn_precision precision_of(const wn_pricing *p)
{
    wn_precision k = p->o->common.precision;
    return k != WN_PRECISION_AUTO ? k : wn_cpu_fast_bf16() ? WN_PRECISION_BF16 : WN_PRECISION_F32;
}

static wn_err measure_machine(wn_pricing *p)
{
    static const wn_mat_kind kinds[] = {WN_MAT_F32, WN_MAT_F32, WN_MAT_BF16, WN_MAT_INT8};
    WN_TRY(wn_price_tell(p, "multiply-adds"));
    double peak = wn_pace_peak(kinds[precision_of(p)]);
    if (peak <= 0)
        peak = wn_pace_peak(WN_MAT_F32);
    p->core_gflops = peak / wn_par_threads();
    p->cores = p->o->cores ? (double)p->o->cores : wn_par_threads();
    p->nodes = p->o->nodes ? (double)p->o->nodes : 1;
    p->speed = p->cores / wn_par_threads();
    if (p->o->core_rate > 0)
        p->speed *= p->o->core_rate / p->core_gflops;
    WN_TRY(wn_price_tell(p, "disk"));
    WN_TRY(wn_pace_disk(&p->disk_rate));
    WN_TRY(wn_price_rate(p, "disk", p->disk_rate, "bytes/s", "256 MB read through a map, cold"));
    if (p->o->disk_rate)
        p->disk_rate = (double)p->o->disk_rate;
    return wn_price_rate(p, "core", p->core_gflops, "GFLOP/s",
                         "bare multiply-adds, one core's share");
}

/* ---- all ---- */

static wn_err price_all(wn_pricing *p)
{
    p->reference = wn_recipe_reference(&p->r);
    p->vectors = wn_recipe_uses_vectors(&p->r);
    WN_NEW(p->arm, p->r.n_arms + 1);
    WN_TRY(measure_machine(p));
    WN_TRY(wn_price_pool(p));
    if (p->vectors)
        WN_TRY(wn_price_embed(p));
    for (size_t a = 0; a < p->r.n_arms; a++)
        if (p->r.arm[a].uses_store)
            WN_TRY(wn_price_search(p, a));
    for (size_t a = 0; a < p->r.n_arms; a++)
        if (!p->r.arm[a].few && !wn_arm_is_zero_shot(&p->r.arm[a]))
            WN_TRY(wn_price_select(p, a));
    WN_TRY(wn_price_trainings(p));
    return wn_price_evals(p);
}

/* What is assumed of the machines. */
static const char *rule_of(const wn_pricing *p)
{
    if (p->nodes > 1)
        return "times measured here, divided by how many times the cores; of several machines each "
               "part uses as many as it says: rows are shared out to embed and to take gradients, "
               "by mpirun or in pieces of the pool that `winnow store merge` joins, and whole runs "
               "of train, eval and select, one machine each; that mpirun can share a training and "
               "a "
               "search too is not reckoned with; the building of the pool is not shared; `winnow "
               "run` uses one machine, the others are given its parts' commands; no network";
    return p->o->cores || p->o->core_rate > 0 || p->o->disk_rate
               ? "times measured here, divided by how many times the cores"
               : "times measured here";
}

static json_t *machine_of(const wn_pricing *p)
{
    bool scaled = p->o->cores || p->o->nodes || p->o->core_rate > 0 || p->o->disk_rate;
    return json_pack("{s:i, s:s, s:s, s:f, s:I, s:f, s:f, s:b, s:s}", "threads_measured",
                     wn_par_threads(), "kernel", wn_kernel_name(), "precision",
                     wn_precision_name(precision_of(p)), "core_gflops", p->core_gflops,
                     "memory_bytes", (json_int_t)wn_machine_memory(), "cores", p->cores, "nodes",
                     p->nodes, "scaled", scaled, "rule", rule_of(p));
}

static json_t *sizes_of(const wn_pricing *p)
{
    const wn_sizes *s = &p->s;
    double queries = 0, test = 0;
    for (size_t t = 0; t < p->r.n_targets; t++) {
        queries += (double)s->target[t].queries.rows;
        test += (double)s->target[t].test.rows;
    }
    json_t *o = json_pack("{s:I, s:f, s:f, s:f, s:s, s:I, s:I, s:I, s:s}", "pool_rows",
                          (json_int_t)s->pool.rows, "pool_row_bytes", s->pool.bytes,
                          "pool_prompt_tokens", s->pool.prompt, "pool_target_tokens",
                          s->pool.target, "pool_from", s->pool.there ? "files" : "recipe",
                          "targets", (json_int_t)p->r.n_targets, "queries", (json_int_t)queries,
                          "test_rows", (json_int_t)test, "model_from", s->model_from);
    if (o && s->encoder)
        json_object_set_new(o, "encoder_from", json_string(s->encoder_from));
    return o;
}

static json_t *warnings_of(const wn_pricing *p)
{
    json_t *list = json_array();
    const char *at = p->s.notes.len ? p->s.notes.p : "";
    for (const char *end; (end = strchr(at, '\n')); at = end + 1)
        json_array_append_new(list, json_stringn(at, (size_t)(end - at)));
    double memory = (double)wn_machine_memory();
    if (!p->o->cores && !p->o->nodes && memory > 0 && p->memory > memory)
        json_array_append_new(list,
                              json_sprintf("memory: %.1f GB are needed, this machine has %.1f GB",
                                           p->memory * 1e-9, memory * 1e-9));
    if (p->vectors && !p->s.selected)
        for (size_t a = 0; a < p->r.n_arms; a++)
            if (p->r.arm[a].uses_store && !p->r.arm[a].budget && !p->r.arm[a].budget_tokens)
                json_array_append_new(
                    list, json_sprintf("%s: the union is taken for queries * k rows, its most; "
                                       "sizes: selected says what to reckon with",
                                       p->r.arm[a].name));
    return list;
}

wn_err wn_price(json_t **doc, const wn_plan_opts *o)
{
    wn_pricing p = {.o = o, .parts = json_array(), .rates = json_array()};
    *doc = NULL;
    wn_err e =
        p.parts && p.rates ? wn_recipe_open_absent(&p.r, o->recipe) : wn_fail_nomem(64, "plan");
    if (!e)
        e = wn_recipe_check(&p.r);
    if (!e)
        e = wn_sizes_read(&p.s, &p.r);
    wn_hush(true);
    if (!e)
        e = price_all(&p);
    wn_hush(false);
    if (!e) {
        json_t *total = json_pack("{s:f, s:I, s:f, s:I, s:I}", "hours", p.sum[0], "tokens",
                                  (json_int_t)llround(p.sum[1]), "flops", p.sum[2], "disk_bytes",
                                  (json_int_t)p.sum[3], "memory_bytes", (json_int_t)p.memory);
        *doc = json_pack("{s:s, s:s, s:s, s:o, s:o, s:O, s:O, s:o, s:o}", "format", "winnow plan",
                         "recipe", wn_path_base(o->recipe), "title", p.r.title ? p.r.title : "",
                         "machine", machine_of(&p), "sizes", sizes_of(&p), "rates", p.rates,
                         "parts", p.parts, "total", total, "warnings", warnings_of(&p));
        e = *doc ? WN_OK : wn_fail_nomem(256, "plan");
    }
    json_decref(p.parts);
    json_decref(p.rates);
    wn_free(p.arm);
    wn_pace_pool_close(&p.pool);
    wn_sizes_free(&p.s);
    wn_recipe_close(&p.r);
    return e;
}

wn_err wn_plan_job(const wn_plan_opts *o, char **text)
{
    json_t *doc;
    wn_str s = {0};
    *text = NULL;
    WN_TRY(wn_price(&doc, o));
    wn_err e = o->json ? wn_json_dump(&s, doc, 2, false) : wn_price_text(&s, doc);
    if (!e)
        e = wn_str_check(&s);
    json_decref(doc);
    if (e)
        wn_str_free(&s);
    *text = s.p;
    return e;
}

/* winnow run: the targets' files, the folder, the parts (run_parts.c), the verdict. */
#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/report.h"
#include "eval/metric.h"
#include "io/file.h"
#include "io/manifest.h"
#include "kernel/kernel.h"
#include "pool/pool.h"
#include "report/html.h"
#include "report/stamp.h"
#include "report/verdict.h"

/* ---- targets ---- */

/* The first `max` rows (0: all) of a file as winnow's own rows. */
static wn_err copy_rows(const char *to, const wn_pool *rows, uint64_t max)
{
    wn_out out;
    uint64_t n = wn_pool_rows(rows);
    n = max && max < n ? max : n;
    WN_TRY(wn_out_open(&out, to));
    wn_err err = WN_OK;
    for (uint64_t i = 0; i < n && err == WN_OK; i++) {
        wn_span raw = wn_pool_raw(rows, i);
        err = wn_out_write(&out, raw.p, raw.len);
        if (err == WN_OK)
            err = wn_out_write(&out, "\n", 1);
    }
    if (err == WN_OK)
        err = wn_out_commit(&out);
    wn_out_abort(&out);
    return err;
}

static wn_err check_answers(const wn_pool *rows, const char *why)
{
    wn_row row = {0};
    wn_err err = WN_OK;
    for (uint64_t i = 0; i < wn_pool_rows(rows) && err == WN_OK; i++) {
        err = wn_pool_row(rows, i, &row);
        if (err == WN_OK && !row.has_target && !row.n_references)
            err = wn_fail(WN_EARG, "%s: row \"%.*s\" has no target; expected %s",
                          wn_pool_path(rows), (int)row.id.len, row.id.p, why);
    }
    wn_row_free(&row);
    return err;
}

/* One of a target's files as the recipe has it. */
struct rows_file {
    const char *path, *map, *kind;
    uint64_t max; /* 0: all rows */
};

static struct rows_file rows_file(const wn_recipe_target *t, bool queries)
{
    const char *map = queries && t->query_map ? t->query_map : t->map;
    return queries ? (struct rows_file){t->queries, map, "queries", t->max_queries}
                   : (struct rows_file){t->test, map, "test", t->max_test};
}

/* Opens one of a target's files, which finds every fault before any work. The stages read it where
 * it is, unless the recipe maps or cuts it: then a copy in DIR/targets/NAME. */
static wn_err check_file(char **path, uint64_t *n, const wn_run *r, const wn_recipe_target *t,
                         bool queries)
{
    wn_pool *rows;
    wn_str copy = {0};
    struct rows_file f = rows_file(t, queries);
    WN_TRY(wn_pool_open(&rows, f.path, f.map, true));
    *n = f.max && f.max < wn_pool_rows(rows) ? f.max : wn_pool_rows(rows);
    wn_err err = WN_OK;
    if (!queries)
        err = check_answers(rows, "test rows with answers");
    else if (r->recipe.gradients.there)
        err = check_answers(rows, "queries with answers, since gradients are taken of them");
    wn_pool_close(rows);
    WN_TRY(err);
    if (f.map || f.max)
        wn_str_printf(&copy, "%s/targets/%s/%s.jsonl", r->dir, t->name, f.kind);
    else
        wn_str_puts(&copy, f.path);
    *path = copy.p;
    return wn_str_check(&copy);
}

static wn_err copy_file(const char *to, const wn_recipe_target *t, bool queries)
{
    wn_pool *rows;
    struct rows_file f = rows_file(t, queries);
    if (!f.map && !f.max)
        return WN_OK;
    WN_TRY(wn_mkdirs_above(to));
    WN_TRY(wn_pool_open(&rows, f.path, f.map, true));
    wn_err err = copy_rows(to, rows, f.max);
    wn_pool_close(rows);
    return err;
}

static wn_err check_targets(wn_run *r)
{
    WN_NEW(r->target, r->recipe.n_targets);
    for (size_t i = 0; i < r->recipe.n_targets; i++) {
        const wn_recipe_target *t = &r->recipe.target[i];
        wn_run_target *own = &r->target[i];
        wn_metric_kind k;
        if (t->metric)
            WN_TRY(wn_metric_kind_parse(&k, t->metric));
        WN_TRY(check_file(&own->queries, &own->n_queries, r, t, true));
        WN_TRY(check_file(&own->test, &own->n_test, r, t, false));
    }
    return WN_OK;
}

static wn_err copy_targets(const wn_run *r)
{
    for (size_t i = 0; i < r->recipe.n_targets; i++) {
        const wn_recipe_target *t = &r->recipe.target[i];
        WN_TRY(copy_file(r->target[i].queries, t, true));
        WN_TRY(copy_file(r->target[i].test, t, false));
    }
    return WN_OK;
}

/* ---- the folder ---- */

/* Ours is a folder that is not there yet or empty, or one with a run's manifest. A kill while that
 * was written leaves its temporary alone. */
static wn_err claim_folder(const wn_run *r)
{
    char **names, *manifest;
    size_t n;
    if (!wn_is_dir(r->dir))
        return WN_OK;
    WN_TRY(wn_path_join(&manifest, r->dir, "run.json"));
    bool ours = wn_file_exists(manifest);
    wn_free(manifest);
    if (ours)
        return WN_OK;
    WN_TRY(wn_dir_list(&names, &n, r->dir));
    bool begun = n == 1 && strcmp(names[0], "run.json.tmp") == 0;
    wn_names_free(names, n);
    if (n && !begun)
        return wn_fail(WN_EARG,
                       "%s: is not empty and holds no experiment; expected a new folder or "
                       "that of an earlier run",
                       r->dir);
    return WN_OK;
}

static wn_err write_manifest(wn_run *r)
{
    json_t *m;
    char *path;
    const char *hex;
    wn_common common = r->o->common;
    common.seed = 0;
    WN_TRY(wn_manifest_new(&m, "winnow run", &common, wn_kernel_name()));
    wn_err err = wn_run_sha(&hex, r, r->recipe.path);
    if (err == WN_OK) {
        json_object_set_new(m, "recipe_sha256", json_string(hex));
        json_object_set(m, "recipe", r->recipe.tree);
        err = wn_path_join(&path, r->dir, "run.json");
    }
    if (err == WN_OK) {
        err = wn_manifest_write(path, m);
        wn_free(path);
    }
    json_decref(m);
    return err;
}

static wn_err open_folder(wn_run *r)
{
    WN_TRY(wn_mkdirs(r->dir));
    if (r->o->common.overwrite)
        for (size_t i = 0; i < r->n_parts; i++)
            WN_TRY(wn_part_remove(&r->part[i]));
    WN_TRY(write_manifest(r));
    WN_TRY(wn_cost_open(&r->cost, r->dir));
    if (r->o->common.overwrite)
        for (size_t i = 0; i < r->n_parts; i++)
            WN_TRY(wn_cost_anew(r->cost, r->part[i].name));
    return WN_OK;
}

/* ---- the end ---- */

static wn_err write_file(const char *dir, const char *name, const wn_str *text)
{
    char *path;
    WN_TRY(wn_str_check(text));
    WN_TRY(wn_path_join(&path, dir, name));
    wn_err err = wn_file_write(path, text->p, text->len);
    wn_free(path);
    return err;
}

static wn_err finish(wn_run *r, char **table)
{
    json_t *verdict = NULL;
    wn_str json = {0}, html = {0}, text = {0};
    wn_err err = wn_verdict_make(&verdict, r);
    if (err == WN_OK)
        err = wn_json_dump(&json, verdict, 1, false);
    wn_str_putc(&json, '\n');
    if (err == WN_OK)
        err = write_file(r->dir, "verdict.json", &json);
    if (err == WN_OK)
        err = wn_html_report(&html, verdict);
    if (err == WN_OK)
        err = write_file(r->dir, "report.html", &html);
    if (err == WN_OK)
        err = wn_verdict_text(&text, verdict);
    if (err == WN_OK)
        err = wn_str_check(&text);
    wn_str_free(&json);
    wn_str_free(&html);
    json_decref(verdict);
    if (err) {
        wn_str_free(&text);
        return err;
    }
    *table = text.p;
    return WN_OK;
}

static wn_err run_all(wn_run *r, char **table)
{
    size_t stood = 0;
    WN_TRY(wn_recipe_check(&r->recipe));
    WN_TRY(claim_folder(r));
    WN_TRY(check_targets(r));
    WN_TRY(wn_shots_check(r));
    WN_TRY(wn_plan_make(r));
    WN_TRY(open_folder(r));
    WN_TRY(copy_targets(r));
    WN_TRY(wn_run_parts(&stood, r));
    WN_TRY(wn_progress("run", "parts", r->n_parts, r->n_parts, NULL));
    if (stood)
        wn_message("%zu of %zu parts stood from an earlier run", stood, r->n_parts);
    return finish(r, table);
}

wn_err wn_run_job(const wn_run_opts *o, char **table)
{
    wn_run r = {.o = o, .dir = o->common.out};
    *table = NULL;
    if (!o->recipe)
        return wn_fail(WN_EARG, "run: expected a recipe");
    if (!o->common.out || strcmp(o->common.out, "-") == 0)
        return wn_fail(WN_EARG, "run: --out: expected a folder");
    WN_TRY(wn_recipe_open(&r.recipe, o->recipe));
    wn_err err = run_all(&r, table);
    wn_plan_free(&r);
    wn_cost_close(r.cost);
    for (size_t i = 0; r.target && i < r.recipe.n_targets; i++) {
        wn_free(r.target[i].queries);
        wn_free(r.target[i].test);
    }
    wn_free(r.target);
    wn_recipe_close(&r.recipe);
    return err == WN_EUSE ? WN_EARG : err; /* of a part: what the recipe says, not the command */
}

wn_err wn_report_job(const char *dir, const wn_common *common)
{
    char *path;
    json_t *verdict = NULL;
    wn_str html = {0};
    WN_TRY(wn_path_join(&path, dir, "verdict.json"));
    wn_err err = wn_json_load(&verdict, path);
    wn_free(path);
    if (err == WN_OK)
        err = wn_html_report(&html, verdict);
    if (err == WN_OK)
        err = wn_str_check(&html);
    if (err == WN_OK && common && common->out) {
        wn_out out = {0};
        err = wn_out_open(&out, common->out);
        if (err == WN_OK)
            err = wn_out_write(&out, html.p, html.len);
        if (err == WN_OK)
            err = wn_out_commit(&out);
        wn_out_abort(&out);
    } else if (err == WN_OK) {
        err = write_file(dir, "report.html", &html);
    }
    wn_str_free(&html);
    json_decref(verdict);
    return err;
}

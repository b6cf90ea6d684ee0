/* Training the subsets. Each is a file OUT.verify/N.json when it is measured; rows and trained
 * parameters are there only while they are needed. */
#include "report/verify.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/report.h"
#include "base/rng.h"
#include "io/file.h"
#include "io/manifest.h"
#include "report/real.h"
#include "report/stamp.h"
#include "search/search.h"

struct verify {
    const wn_estimate_opts *o;
    const wn_surrogate *s;
    const wn_subsets *subsets;
    wn_pool *pool;
    char *dir, *rows, *trained, *result; /* paths of the subset at hand */
    wn_quantity quantity;
};

static wn_err path_of(char **out, const char *dir, size_t m, const char *tail)
{
    char name[64];
    wn_free(*out);
    *out = NULL;
    snprintf(name, sizeof name, "%zu%s", m, tail);
    return wn_path_join(out, dir, name);
}

/* ---- rows of a subset ---- */

static wn_err write_rows(const struct verify *v, const uint8_t *member)
{
    const wn_groups *g = &v->s->groups;
    uint64_t *in;
    wn_out out;
    WN_NEW(in, wn_pool_rows(v->pool) / 64 + 1);
    wn_err err = WN_OK;
    for (uint32_t t = 0; t < g->T; t++)
        for (uint64_t i = g->start[t]; member[t] && err == WN_OK && i < g->start[t + 1]; i++) {
            wn_span id = wn_store_id(v->s->store, g->at[i]);
            uint64_t row = wn_pool_find(v->pool, id.p, id.len);
            if (row == UINT64_MAX)
                err = wn_fail(WN_EARG, "%s: no row %.*s, which %s has", wn_pool_path(v->pool),
                              (int)id.len, id.p, wn_store_path(v->s->store));
            else
                wn_bit_set(in, row);
        }
    if (err == WN_OK)
        err = wn_out_open(&out, v->rows);
    if (err == WN_OK) {
        for (uint64_t r = 0; r < wn_pool_rows(v->pool) && err == WN_OK; r++) {
            if (!wn_bit(in, r))
                continue;
            wn_span raw = wn_pool_raw(v->pool, r);
            err = wn_out_write(&out, raw.p, raw.len);
            if (err == WN_OK)
                err = wn_out_write(&out, "\n", 1);
        }
        if (err == WN_OK)
            err = wn_out_commit(&out);
        wn_out_abort(&out);
    }
    wn_free(in);
    return err;
}

/* ---- one subset ---- */

static bool trains_full(const wn_estimate_opts *o)
{
    return o->train.method && strcmp(o->train.method, "full") == 0;
}

static wn_err measure(double *measured, double *loss, const struct verify *v, bool trained)
{
    wn_train_opts at = v->o->train;
    wn_real real;
    if (trained && trains_full(v->o))
        at.model = v->trained;
    else if (trained)
        at.adapter = v->trained;
    WN_TRY(wn_real_open(&real, &at, v->o->target_rows, v->o->map, &v->o->common, v->quantity));
    double *work = wn_calloc(2 * real.N, sizeof *work);
    wn_err err = work ? wn_real_means(loss, measured, &real, work) : WN_ENOMEM;
    wn_free(work);
    wn_real_close(&real);
    return err;
}

static wn_err read_result(double *measured, double *loss, const struct verify *v)
{
    json_t *r;
    WN_TRY(wn_json_load(&r, v->result));
    wn_err err = wn_json_get_number(measured, r, "measured", true, v->result);
    if (err == WN_OK)
        err = wn_json_get_number(loss, r, "loss", true, v->result);
    json_decref(r);
    return err;
}

static wn_err train_and_measure(double *measured, double *loss, const struct verify *v, size_t m)
{
    wn_train_opts t = v->o->train;
    WN_TRY(write_rows(v, v->subsets->member + m * v->s->groups.T));
    t.common = v->o->common;
    t.common.out = v->trained;
    t.common.overwrite = false;
    t.data = v->rows;
    t.map = NULL;
    if (!wn_is_dir(v->trained)) /* a kill between training and measuring */
        WN_TRY(wn_train_job(&t));
    WN_TRY(measure(measured, loss, v, true));
    json_t *r = json_pack("{s:f, s:f}", "measured", *measured, "loss", *loss);
    wn_err err = r ? wn_manifest_write(v->result, r) : wn_fail_nomem(64, "result");
    json_decref(r);
    WN_TRY(err);
    WN_TRY(wn_remove_tree(v->trained));
    return wn_remove_tree(v->rows);
}

static wn_err one(double *measured, double *loss, struct verify *v, size_t m)
{
    WN_TRY(path_of(&v->rows, v->dir, m, ".jsonl"));
    WN_TRY(path_of(&v->trained, v->dir, m, ".trained"));
    WN_TRY(path_of(&v->result, v->dir, m, ".json"));
    if (wn_file_exists(v->result))
        return read_result(measured, loss, v);
    return train_and_measure(measured, loss, v, m);
}

/* ---- the folder ---- */

static json_t *text_or_null(const char *s)
{
    return s ? json_string(s) : json_null();
}

static wn_err put_sha(json_t *m, const char *name, const char *path)
{
    char hex[WN_SHA_HEX];
    if (!path)
        return WN_OK;
    WN_TRY(wn_tree_sha(hex, path));
    json_object_set_new(m, name, json_string(hex));
    return WN_OK;
}

static wn_err inputs(json_t *m, const struct verify *v)
{
    char sha[WN_SHA_HEX];
    WN_TRY(wn_sha_bytes(sha, v->subsets->member, v->subsets->M * v->s->groups.T));
    json_object_set_new(m, "subsets", json_string(sha));
    WN_TRY(wn_pool_sha(v->pool, sha));
    json_object_set_new(m, "pool", json_string(sha));
    WN_TRY(put_sha(m, "model", v->o->train.model));
    WN_TRY(put_sha(m, "adapter", v->o->train.adapter));
    return put_sha(m, "target_rows", v->o->target_rows);
}

/* What a measured subset depends on, of what the command line can ask for. */
static wn_err settings(json_t **out, const struct verify *v)
{
    const wn_train_opts *t = &v->o->train;
    json_t *m;
    WN_TRY(wn_manifest_new(&m, "winnow-verify-1", &v->o->common, NULL));
    wn_err err = inputs(m, v);
    json_object_set_new(m, "store", json_string(wn_store_sha(v->s->store)));
    json_object_set_new(m, "target", json_string(wn_store_sha(v->s->target)));
    json_object_set_new(m, "method", text_or_null(t->method));
    json_object_set_new(m, "epochs", json_real(t->epochs));
    json_object_set_new(m, "steps", json_integer((json_int_t)t->steps));
    json_object_set_new(m, "batch", json_integer((json_int_t)t->batch));
    json_object_set_new(m, "lr", json_real(t->lr));
    json_object_set_new(m, "rank", json_integer((json_int_t)t->rank));
    json_object_set_new(m, "alpha", json_real(t->alpha));
    json_object_set_new(m, "targets", text_or_null(t->targets));
    json_object_set_new(m, "optimizer", text_or_null(t->optimizer));
    json_object_set_new(m, "schedule", text_or_null(t->schedule));
    json_object_set_new(m, "max_tokens", json_integer((json_int_t)t->max_tokens));
    json_object_set_new(m, "template", text_or_null(t->tmpl));
    if (t->system)
        json_object_set_new(m, "system", json_string(t->system));
    if (err != WN_OK)
        json_decref(m);
    else
        *out = m;
    return err;
}

static wn_err open_folder(struct verify *v)
{
    wn_str s = {0};
    char *path = NULL;
    json_t *now = NULL, *old = NULL;
    wn_str_printf(&s, "%s.verify", v->o->common.out);
    WN_TRY(wn_str_check(&s));
    v->dir = s.p;
    wn_err err = wn_path_join(&path, v->dir, "settings.json");
    if (err == WN_OK)
        err = settings(&now, v);
    if (err == WN_OK && wn_file_exists(path))
        err = wn_json_load(&old, path);
    if (err == WN_OK && old && wn_manifest_match(old, now, v->dir, NULL) != WN_OK) {
        if (v->o->common.overwrite) {
            err = wn_remove_tree(v->dir);
            json_decref(old);
            old = NULL;
        } else {
            err = WN_EARG;
        }
    }
    if (err == WN_OK && !old)
        err = wn_mkdirs(v->dir);
    if (err == WN_OK && !old)
        err = wn_manifest_write(path, now);
    json_decref(now);
    json_decref(old);
    wn_free(path);
    return err;
}

/* Which subsets: the front of a shuffle. */
static wn_err draw(uint8_t *chosen, const struct verify *v)
{
    uint64_t *order, M = v->subsets->M;
    wn_rng rng = {v->o->common.seed, WN_STREAM_SUBSETS, (uint64_t)1 << 63};
    WN_NEW(order, M);
    for (uint64_t m = 0; m < M; m++)
        order[m] = m;
    wn_rng_shuffle(&rng, order, (size_t)M);
    for (uint64_t i = 0; i < M && i < v->o->verify; i++)
        chosen[order[i]] = 1;
    wn_free(order);
    return WN_OK;
}

static wn_err train_all(double *measured, double *loss, struct verify *v, const uint8_t *chosen)
{
    uint64_t done = 0, total = 0;
    for (size_t m = 0; m < v->subsets->M; m++)
        total += chosen[m];
    for (size_t m = 0; m < v->subsets->M; m++) {
        if (!chosen[m])
            continue;
        WN_TRY(one(&measured[m], &loss[m], v, m));
        WN_TRY(wn_progress("verify", "subsets", ++done, total, NULL));
    }
    return WN_OK;
}

wn_err wn_verify_train(double *measured, double *loss, double *start_loss,
                       const wn_estimate_opts *o, const wn_surrogate *s, wn_pool *pool,
                       const wn_subsets *subsets)
{
    struct verify v = {.o = o, .s = s, .subsets = subsets, .pool = pool};
    double unused;
    v.quantity = wn_real_quantity(s->target);
    for (size_t m = 0; m < subsets->M; m++)
        measured[m] = loss[m] = NAN;
    uint8_t *chosen = wn_calloc(subsets->M + 1, 1);
    wn_err err = chosen ? open_folder(&v) : WN_ENOMEM;
    if (err == WN_OK)
        err = draw(chosen, &v);
    if (err == WN_OK)
        err = measure(&unused, start_loss, &v, false);
    if (err == WN_OK)
        err = train_all(measured, loss, &v, chosen);
    wn_free(chosen);
    wn_free(v.dir);
    wn_free(v.rows);
    wn_free(v.trained);
    wn_free(v.result);
    return err;
}

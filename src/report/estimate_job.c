/* `winnow estimate`: subsets of a gradient store's groups to the target's estimated loss. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/report.h"
#include "io/file.h"
#include "io/manifest.h"
#include "kernel/kernel.h"
#include "report/forward.h"
#include "report/verify.h"

#define FORMAT "winnow-estimates-1"
enum { BATCH = 512, LEAST_VERIFIED = 5 };

struct job {
    const wn_estimate_opts *o;
    wn_store *store, *target;
    wn_pool *pool;
    wn_surrogate s;
    wn_subsets subsets;
    double *estimate, *low, *high; /* [M]; low, high: with a bootstrap */
    wn_logit_fact *fact;
    bool forward;
    double *linear, *softplus, *length;  /* [M] of the real model; linear: the linear estimates */
    double begin[2];                     /* its loss and margins' loss before */
    double *measured, *loss, start_loss; /* [M] with verification; NaN where not trained */
    json_t *figures;
    wn_first_order *first_order; /* [M, n_scales] instead of all of these */
    size_t n_scales;
};

static wn_err check_verify(const wn_estimate_opts *o)
{
    const char *out = o->common.out;
    if (!o->verify)
        return WN_OK;
    if (!o->train.model || !o->pool || !o->target_rows || !out || strcmp(out, "-") == 0)
        return wn_fail(WN_EUSE, "--verify: needs --model, --pool, --target-rows and --out");
    if (o->verify < LEAST_VERIFIED)
        return wn_fail(WN_EARG, "--verify: expected at least %d subsets, found %llu",
                       LEAST_VERIFIED, (unsigned long long)o->verify);
    return WN_OK;
}

static wn_err check_forward(struct job *j)
{
    const wn_estimate_opts *o = j->o;
    const char *how = o->evaluate ? o->evaluate : "linear";
    j->forward = strcmp(how, "forward") == 0;
    if (!j->forward && strcmp(how, "linear") != 0)
        return wn_fail(WN_EARG, "--evaluate: expected linear or forward, found %s", how);
    if (!j->forward && (o->scale != 0 || o->norm != 0))
        return wn_fail(WN_EUSE, "--scale, --norm: only with --evaluate forward");
    if (o->scale != 0 && o->norm != 0)
        return wn_fail(WN_EUSE, "--scale and --norm: expected one of them");
    if (j->forward && o->bootstrap)
        return wn_fail(WN_EUSE, "--bootstrap: refits for every resample, which --evaluate forward "
                                "does not do");
    if (o->first_order && (j->forward || o->verify || o->bootstrap))
        return wn_fail(WN_EUSE, "--first-order: is an answer of its own: expected no --evaluate "
                                "forward, --verify or --bootstrap");
    return WN_OK;
}

static wn_err open_inputs(struct job *j)
{
    const wn_estimate_opts *o = j->o;
    WN_TRY(check_forward(j));
    if (!o->store || !o->target)
        return wn_fail(WN_EUSE, "estimate: %s is required", o->store ? "--target" : "--store");
    if (!o->subsets && !o->random)
        return wn_fail(WN_EUSE, "estimate: expected --subsets FILE, or --random N to draw some");
    if (o->subsets && o->random)
        return wn_fail(WN_EUSE, "estimate: --subsets and --random: expected one of them");
    if (!(o->share >= 0 && o->share <= 1))
        return wn_fail(WN_EARG, "--share: expected a share from 0 to 1, found %g", o->share);
    WN_TRY(check_verify(o));
    WN_TRY(wn_out_refuse(o->common.out, o->common.overwrite));
    WN_TRY(wn_store_open(&j->store, o->store));
    WN_TRY(wn_store_open(&j->target, o->target));
    if (o->pool) {
        WN_TRY(wn_pool_open(&j->pool, o->pool, o->map, false));
        wn_pool_say_rejected(j->pool);
    }
    WN_TRY(wn_surrogate_open(&j->s, j->store, j->target, j->pool, NULL, &o->how, o->common.seed));
    if (o->subsets)
        return wn_subsets_read(&j->subsets, &j->s.groups, o->subsets);
    return wn_subsets_draw(&j->subsets, &j->s.groups, o->random, o->share != 0 ? o->share : 0.5,
                           o->common.seed, 0);
}

/* The estimates of the real model take the place of the linear ones. */
static wn_err real_model(struct job *j)
{
    size_t M = j->subsets.M;
    j->linear = j->estimate;
    j->estimate = NULL;
    WN_NEW(j->estimate, M);
    WN_NEW(j->softplus, M);
    WN_NEW(j->length, M);
    return wn_forward_estimates(j->estimate, j->softplus, j->length, j->begin, j->o, &j->s,
                                j->subsets.member, M);
}

static wn_err estimate(struct job *j)
{
    size_t M = j->subsets.M;
    uint32_t T = j->s.groups.T;
    WN_NEW(j->estimate, M);
    WN_NEW(j->fact, M);
    for (size_t at = 0; at < M; at += BATCH) {
        size_t n = M - at < BATCH ? M - at : BATCH;
        WN_TRY(wn_surrogate_estimate(j->estimate + at, j->fact + at, NULL, &j->s,
                                     j->subsets.member + at * T, n));
        WN_TRY(wn_progress("estimate", "subsets", at + n, M, NULL));
    }
    if (j->forward)
        WN_TRY(real_model(j));
    if (!j->o->bootstrap)
        return WN_OK;
    WN_NEW(j->low, M);
    WN_NEW(j->high, M);
    return wn_surrogate_bootstrap(j->low, j->high, NULL, &j->s, j->subsets.member, M,
                                  j->o->bootstrap, j->o->common.seed);
}

/* ---- verification ---- */

/* The figures of those that were trained, and a line for people. */
static wn_err compare(struct job *j)
{
    size_t M = j->subsets.M, n = 0;
    double *e, *m, *r, *l;
    WN_NEW(e, 4 * M);
    m = e + M, r = m + M, l = r + M;
    for (size_t i = 0; i < M; i++) {
        if (!isfinite(j->measured[i]))
            continue;
        e[n] = j->estimate[i];
        m[n] = j->forward ? j->loss[i] : j->measured[i];
        l[n] = j->loss[i];
        r[n++] = j->fact[i].rows;
    }
    wn_err err = n < LEAST_VERIFIED
                     ? wn_fail(WN_EARG, "--verify: expected at least %d subsets, found %zu",
                               LEAST_VERIFIED, n)
                     : wn_verify_figures(&j->figures, e, m, r, n,
                                         j->forward ? j->begin[0] : j->s.begin, j->o->common.seed);
    double with_loss, rho;
    if (err == WN_OK)
        err = wn_spearman(&with_loss, e, l, n);
    if (err == WN_OK)
        err = wn_spearman(&rho, e, m, n);
    if (err == WN_OK) {
        json_object_set_new(j->figures, "start_loss", json_real(j->start_loss));
        json_object_set_new(j->figures, "spearman_with_loss",
                            isfinite(with_loss) ? json_real(with_loss) : json_null());
        wn_message("%zu subsets trained: relative error %.4f (start for all: %.4f, by size: %.4f), "
                   "rank correlation %.2f: %s",
                   n, json_number_value(json_object_get(j->figures, "relative_error")),
                   json_number_value(json_object_get(json_object_get(j->figures, "zero_order"),
                                                     "relative_error")),
                   json_number_value(
                       json_object_get(json_object_get(j->figures, "size_only"), "relative_error")),
                   rho, json_string_value(json_object_get(j->figures, "verdict")));
    }
    wn_free(e);
    return err;
}

static wn_err verify(struct job *j)
{
    if (!j->o->verify)
        return WN_OK;
    WN_NEW(j->measured, j->subsets.M);
    WN_NEW(j->loss, j->subsets.M);
    WN_TRY(
        wn_verify_train(j->measured, j->loss, &j->start_loss, j->o, &j->s, j->pool, &j->subsets));
    return compare(j);
}

/* ---- output ---- */

static void add_number(wn_str *line, const char *name, double v)
{
    wn_str_printf(line, ", \"%s\": ", name);
    wn_json_f64(line, v);
}

static void add_names(wn_str *line, const struct job *j, size_t m)
{
    const wn_groups *g = &j->s.groups;
    const char *between = "";
    wn_str_puts(line, "{\"subset\": [");
    for (uint32_t t = 0; t < g->T; t++) {
        if (!j->subsets.member[m * g->T + t])
            continue;
        wn_str_puts(line, between);
        wn_json_cstring(line, g->name[t]);
        between = ", ";
    }
    wn_str_putc(line, ']');
}

static void subset_line(wn_str *line, const struct job *j, size_t m)
{
    add_names(line, j, m);
    add_number(line, "estimate", j->estimate[m]);
    if (j->low) {
        add_number(line, "low", j->low[m]);
        add_number(line, "high", j->high[m]);
    }
    if (j->measured && isfinite(j->measured[m])) {
        add_number(line, "measured", j->measured[m]);
        add_number(line, "measured_loss", j->loss[m]);
    }
    add_number(line, "start", j->forward ? j->begin[0] : j->s.begin);
    if (j->forward) {
        add_number(line, "margin_estimate", j->softplus[m]);
        add_number(line, "linear_estimate", j->linear[m]);
        add_number(line, "length", j->length[m]);
    }
    add_number(line, "rows", j->fact[m].rows);
    if (j->s.logit) {
        add_number(line, "norm", j->fact[m].norm);
        add_number(line, "gradient", j->fact[m].gradient);
        wn_str_printf(line, ", \"iterations\": %u", j->fact[m].iterations);
    }
    wn_str_puts(line, "}\n");
}

/* One length of one subset. */
static void first_order_line(wn_str *line, const struct job *j, size_t i)
{
    const wn_first_order *f = &j->first_order[i];
    add_names(line, j, i / j->n_scales);
    add_number(line, "scale", f->scale);
    add_number(line, "length", f->length);
    add_number(line, "error", f->error[0]);
    add_number(line, "relative_error", f->relative[0]);
    add_number(line, "squared_relative_error", f->squared[0]);
    add_number(line, "without_gradient", f->error[1]);
    add_number(line, "without_gradient_relative_error", f->relative[1]);
    add_number(line, "without_gradient_squared_relative_error", f->squared[1]);
    wn_str_puts(line, "}\n");
}

static wn_err write_lines(wn_out *out, const struct job *j)
{
    wn_str line = {0};
    wn_err err = WN_OK;
    size_t n = j->first_order ? j->subsets.M * j->n_scales : j->subsets.M;
    for (size_t m = 0; m < n && err == WN_OK; m++) {
        wn_str_clear(&line);
        if (j->first_order)
            first_order_line(&line, j, m);
        else
            subset_line(&line, j, m);
        err = wn_str_check(&line);
        if (err == WN_OK)
            err = wn_out_write(out, line.p, line.len);
    }
    wn_str_free(&line);
    return err;
}

static wn_err write_manifest(const struct job *j)
{
    const wn_estimate_opts *o = j->o;
    json_t *m;
    wn_str path = {0};
    WN_TRY(wn_manifest_new(&m, FORMAT, &o->common, wn_kernel_name()));
    json_object_set_new(m, "how", wn_surrogate_about(&j->s, &o->how));
    json_object_set_new(m, "inputs",
                        json_pack("{s:s, s:s}", "store", wn_store_sha(j->store), "target",
                                  wn_store_sha(j->target)));
    json_object_set_new(m, "subsets", json_integer((json_int_t)j->subsets.M));
    json_object_set_new(m, "bootstrap", json_integer((json_int_t)o->bootstrap));
    json_object_set_new(m, "evaluate", json_string(j->forward ? "forward" : "linear"));
    if (o->scale != 0)
        json_object_set_new(m, "scale", json_real(o->scale));
    if (o->norm != 0)
        json_object_set_new(m, "norm", json_real(o->norm));
    if (j->figures)
        json_object_set(m, "verify", j->figures);
    wn_str_printf(&path, "%s.manifest.json", o->common.out);
    wn_err err = wn_str_check(&path);
    if (err == WN_OK)
        err = wn_manifest_write(path.p, m);
    json_decref(m);
    wn_str_free(&path);
    return err;
}

static wn_err write_all(const struct job *j)
{
    wn_out out;
    WN_TRY(wn_out_open(&out, j->o->common.out));
    wn_err err = write_lines(&out, j);
    if (err == WN_OK && out.path)
        err = write_manifest(j);
    if (err == WN_OK)
        return wn_out_commit(&out);
    wn_out_abort(&out);
    return err;
}

wn_err wn_estimate_job(const wn_estimate_opts *o)
{
    struct job j = {.o = o};
    wn_err err = open_inputs(&j);
    if (err == WN_OK && o->first_order)
        err = wn_first_order_errors(&j.first_order, &j.n_scales, o, &j.s, j.subsets.member,
                                    j.subsets.M);
    else if (err == WN_OK)
        err = estimate(&j);
    if (err == WN_OK)
        err = verify(&j);
    if (err == WN_OK)
        err = write_all(&j);
    wn_surrogate_close(&j.s);
    wn_subsets_free(&j.subsets);
    wn_pool_close(j.pool);
    wn_store_close(j.store);
    wn_store_close(j.target);
    wn_free(j.estimate);
    wn_free(j.low);
    wn_free(j.high);
    wn_free(j.fact);
    wn_free(j.linear);
    wn_free(j.softplus);
    wn_free(j.length);
    wn_free(j.first_order);
    wn_free(j.measured);
    wn_free(j.loss);
    json_decref(j.figures);
    return err;
}

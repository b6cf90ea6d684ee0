#include "report/displace.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"

static const char *text_of(const wn_store *s, const char *key)
{
    return json_string_value(json_object_get(wn_store_manifest(s), key));
}

static bool of_adapter(const wn_store *s)
{
    const char *params = text_of(s, "params");
    return params && strcmp(params, "lora") == 0;
}

void wn_displace_model_opts(wn_model_opts *mo, const wn_store *s)
{
    mo->train_full = !of_adapter(s);
}

/* ---- what the store says ---- */

static wn_err check_store(const wn_store *s)
{
    const char *kind = text_of(s, "kind");
    if (!kind || strcmp(kind, "gradient") != 0 || !text_of(s, "params"))
        return wn_fail(
            WN_EARG,
            "%s: kind: expected gradients made by winnow grad, found %s; how to map them "
            "back is not known",
            wn_store_path(s), kind ? kind : "none");
    if (json_object_get(wn_store_manifest(s), "adam"))
        return wn_fail(WN_EARG, "%s: adam: expected plain gradients, found preconditioned ones",
                       wn_store_path(s));
    return WN_OK;
}

static wn_err check_model(const wn_store *s, wn_model *m)
{
    json_t *now;
    const json_t *then = json_object_get(wn_store_manifest(s), "model");
    WN_TRY(wn_model_manifest(&now, m));
    const char *a = json_string_value(json_object_get(then, "sha256")),
               *b = json_string_value(json_object_get(now, "sha256"));
    wn_err err =
        a && b && strcmp(a, b) == 0
            ? WN_OK
            : wn_fail(WN_EARG, "%s: model: sha256 is %s there, but %s of %s", wn_store_path(s),
                      a ? a : "none", b ? b : "none", wn_model_facts_of(m)->path);
    json_decref(now);
    return err;
}

static wn_err put_adapter(const wn_store *s, wn_model *m)
{
    const json_t *a = json_object_get(wn_store_manifest(s), "new_adapter");
    if (!a)
        return WN_OK;
    const wn_lora_opts o = {
        .rank = (size_t)json_integer_value(json_object_get(a, "rank")),
        .alpha = json_number_value(json_object_get(a, "alpha")),
        .targets = json_string_value(json_object_get(a, "targets")),
        .seed = (uint64_t)json_integer_value(json_object_get(wn_store_manifest(s), "seed"))};
    return wn_model_add_lora(m, &o);
}

static wn_err make_projection(wn_displace *d, const wn_store *s, uint64_t max_memory)
{
    const json_t *m = wn_store_manifest(s);
    wn_projection_kind kind;
    d->d = wn_store_dim(s);
    d->raw = json_integer_value(json_object_get(m, "project")) == 0;
    if (d->raw && d->chosen.p != d->d)
        return wn_fail(WN_EARG, "%s: dim: expected the model's %llu parameters, found %zu",
                       wn_store_path(s), (unsigned long long)d->chosen.p, d->d);
    if (d->raw)
        return WN_OK;
    WN_TRY(wn_projection_parse(&kind, text_of(s, "projection")));
    return wn_projection_init(&d->projection, kind, d->d,
                              (uint64_t)json_integer_value(json_object_get(m, "projection_seed")),
                              &d->chosen, max_memory);
}

/* ---- the parameters ---- */

static wn_err keep_start(wn_displace *d)
{
    double sum = 0;
    d->adapter = true;
    d->start = wn_malloc(d->chosen.p * sizeof *d->start);
    if (!d->start)
        return WN_ENOMEM;
    for (size_t i = 0; i < d->chosen.n; i++) {
        const wn_param *p = d->chosen.param[i];
        size_t n = p->rows * p->cols;
        if (!p->value)
            return wn_fail(WN_EARG, "parameter %s: is frozen, so it cannot be moved", p->name);
        memcpy(d->start + d->chosen.at[i], p->value, n * sizeof *d->start);
        sum += wn_sum_squares(p->value, n);
        d->adapter = d->adapter && p->adapter;
    }
    d->norm = sqrt(sum);
    return WN_OK;
}

static wn_err open_all(wn_displace *d, const wn_store *s, uint64_t max_memory)
{
    WN_TRY(check_store(s));
    WN_TRY(check_model(s, d->real->model));
    WN_TRY(put_adapter(s, d->real->model));
    if (!of_adapter(s))
        WN_TRY(wn_model_train_full(d->real->model));
    WN_TRY(wn_choose(&d->chosen, d->real->model, text_of(s, "params")));
    WN_TRY(make_projection(d, s, max_memory));
    return keep_start(d);
}

wn_err wn_displace_open(wn_displace *d, wn_real *real, const wn_store *s, uint64_t max_memory)
{
    *d = (wn_displace){.real = real};
    wn_err err = open_all(d, s, max_memory);
    if (err != WN_OK)
        wn_displace_close(d);
    return err;
}

void wn_displace_close(wn_displace *d)
{
    wn_projection_free(&d->projection);
    wn_chosen_free(&d->chosen);
    wn_free(d->start);
    *d = (wn_displace){0};
}

wn_err wn_displace_directions(float *out, const wn_displace *d, const double *w, size_t ldw,
                              size_t M)
{
    float *f;
    WN_NEW(f, M * d->d);
    for (size_t m = 0; m < M; m++)
        for (size_t k = 0; k < d->d; k++)
            f[m * d->d + k] = (float)w[m * ldw + k];
    wn_err err = WN_OK;
    if (d->raw)
        memcpy(out, f, M * d->d * sizeof *f);
    else
        err = wn_project_back(out, d->chosen.p, &d->projection, f, d->d, M, 0, d->chosen.p);
    wn_free(f);
    return err;
}

void wn_displace_move(wn_displace *d, const float *direction, double factor)
{
    for (size_t i = 0; i < d->chosen.n; i++) {
        wn_param *p = d->chosen.param[i];
        size_t n = p->rows * p->cols;
        memcpy(p->value, d->start + d->chosen.at[i], n * sizeof *p->value);
        if (direction)
            wn_axpy(p->value, (float)factor, direction + d->chosen.at[i], n);
    }
    if (!d->adapter)
        wn_model_refresh(d->real->model);
}

/* LoRA (Hu et al. 2021, arXiv 2106.09685) in PEFT's layout: adapter_config.json says which modules,
 * rank and alpha; adapter_model.safetensors holds base_model.model.MODULE.lora_A.weight [r, K] and
 * lora_B.weight [N, r]. */
#include "model/adapter.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/rng.h"
#include "io/file.h"

#define PREFIX "base_model.model."

static const char *last_part(const char *module)
{
    const char *dot = strrchr(module, '.');
    return dot ? dot + 1 : module;
}

/* PEFT's rule: a target is the whole module name or its end behind a dot. */
static bool target_is(const char *target, size_t len, const char *module)
{
    size_t n = strlen(module);
    return n >= len && strncmp(module + n - len, target, len) == 0 &&
           (n == len || module[n - len - 1] == '.');
}

/* Adds lora_A and lora_B of a layer to the parameters, zeroed. */
static wn_err put_on(wn_model *m, wn_linear *l, size_t r, float scale, double dropout)
{
    char name[300];
    size_t a, b;
    snprintf(name, sizeof name, PREFIX "%s.lora_A.weight", l->module);
    WN_TRY(wn_params_add(&m->params, &a, name, r, l->K, true));
    WN_NEW(m->params.p[a].value, r * l->K);
    snprintf(name, sizeof name, PREFIX "%s.lora_B.weight", l->module);
    WN_TRY(wn_params_add(&m->params, &b, name, l->N, r, true));
    WN_NEW(m->params.p[b].value, l->N * r);
    m->params.p[a].adapter = m->params.p[b].adapter = true;
    l->lora_a = (int)a;
    l->lora_b = (int)b;
    l->r = r;
    l->scale = scale;
    l->dropout = dropout;
    return WN_OK;
}

static bool matches(const char *targets, const char *module)
{
    if (strcmp(targets, "all-linear") == 0)
        return true;
    for (const char *t = targets; *t;) {
        size_t len = strcspn(t, ",");
        if (len && target_is(t, len, module))
            return true;
        t += len + (t[len] == ',');
    }
    return false;
}

/* Every name must fit some module: a misspelt one would silently train less. */
static wn_err check_targets(wn_model *m, const char *targets)
{
    for (const char *t = targets; *t && strcmp(targets, "all-linear") != 0;) {
        size_t len = strcspn(t, ",");
        bool found = false;
        wn_linear *l;
        for (size_t i = 0; (l = wn_model_linear(m, i)) && !found; i++)
            found = l->N && target_is(t, len, l->module);
        if (!found) {
            char known[256] = "";
            for (int k = 0, n = 0; k < WN_LAYER_LINEARS; k++) {
                l = wn_layer_linear(&m->stack.layer[0], k);
                if (l->N)
                    n += snprintf(known + n, sizeof known - (size_t)n, "%s%s", n ? ", " : "",
                                  last_part(l->module));
            }
            return wn_fail(WN_EARG, "LoRA target \"%.*s\": no such linear layer (the model has %s)",
                           (int)len, t, known);
        }
        t += len + (t[len] == ',');
    }
    return WN_OK;
}

wn_err wn_model_add_lora(wn_model *m, const wn_lora_opts *o)
{
    const char *targets = o->targets ? o->targets : "all-linear";
    if (m->adapter_sha[0])
        return wn_fail(WN_EARG, "the model has an adapter already");
    if (o->rank == 0 || o->rank > 4096)
        return wn_fail(WN_EARG, "LoRA rank %zu: expected 1 to 4096", o->rank);
    if (!(o->dropout >= 0 && o->dropout < 1))
        return wn_fail(WN_EARG, "dropout %g: expected 0 or more, below 1", o->dropout);
    WN_TRY(check_targets(m, targets));
    for (size_t i = 0; i < m->params.n; i++)
        m->params.p[i].trainable = false;
    wn_linear *l;
    for (size_t i = 0; (l = wn_model_linear(m, i)); i++) {
        if (!l->N || !matches(targets, l->module))
            continue;
        WN_TRY(put_on(m, l, o->rank, (float)(o->alpha / (double)o->rank), o->dropout));
        wn_param *a = &m->params.p[l->lora_a];
        double bound = 1 / sqrt((double)l->K); /* kaiming uniform with a = sqrt(5), as PEFT */
        for (size_t e = 0; e < o->rank * l->K; e++)
            a->value[e] =
                (float)(bound *
                        (2 * wn_rng_uniform(o->seed, WN_STREAM_LORA, l->number << 32 | e) - 1));
        a->trainable = m->params.p[l->lora_b].trainable = true;
    }
    return WN_OK;
}

/* ---- PEFT folders
 * ------------------------------------------------------------------------------------------ */

struct peft {
    double alpha, dropout;
    uint64_t r;
    bool rslora;
};

static wn_err read_config(struct peft *c, const json_t *j, const char *path)
{
    const char *kind = NULL, *bias = "none";
    bool dora = false, fan = false;
    WN_TRY(wn_json_get_string(&kind, j, "peft_type", true, path));
    if (strcmp(kind, "LORA") != 0)
        return wn_fail(WN_EFORMAT, "%s: peft_type %s is not supported (known: LORA)", path, kind);
    if (json_is_boolean(json_object_get(j, "use_dora")))
        WN_TRY(wn_json_get_bool(&dora, j, "use_dora", false, path));
    if (dora)
        return wn_fail(WN_EFORMAT, "%s: use_dora is not supported", path);
    if (json_is_boolean(json_object_get(j, "fan_in_fan_out")))
        WN_TRY(wn_json_get_bool(&fan, j, "fan_in_fan_out", false, path));
    if (fan)
        return wn_fail(WN_EFORMAT, "%s: fan_in_fan_out is not supported", path);
    if (json_is_string(json_object_get(j, "bias")))
        WN_TRY(wn_json_get_string(&bias, j, "bias", false, path));
    if (strcmp(bias, "none") != 0)
        return wn_fail(WN_EFORMAT, "%s: bias \"%s\" is not supported (known: none)", path, bias);
    static const char *const per_module[] = {"rank_pattern", "alpha_pattern"};
    for (int i = 0; i < 2; i++)
        if (json_object_size(json_object_get(j, per_module[i])))
            return wn_fail(WN_EFORMAT, "%s: %s is not supported", path, per_module[i]);
    if (json_is_boolean(json_object_get(j, "use_rslora")))
        WN_TRY(wn_json_get_bool(&c->rslora, j, "use_rslora", false, path));
    WN_TRY(wn_json_get_u64(&c->r, j, "r", true, path));
    WN_TRY(wn_json_get_number(&c->alpha, j, "lora_alpha", true, path));
    if (c->r == 0 || c->r > 4096)
        return wn_fail(WN_EFORMAT, "%s: r: expected 1 to 4096, found %llu", path,
                       (unsigned long long)c->r);
    return WN_OK;
}

static wn_err read_factor(float *out, const wn_safetensors *st, const char *module,
                          const char *factor, size_t rows, size_t cols, bool *found)
{
    char name[300];
    snprintf(name, sizeof name, PREFIX "%s.lora_%s.weight", module, factor);
    const wn_tensor *t = wn_safetensors_find(st, name);
    *found = t != NULL;
    if (!t || !out)
        return WN_OK;
    if (t->ndim != 2 || t->dim[0] != rows || t->dim[1] != cols)
        return wn_fail(WN_EFORMAT,
                       "%s: tensor %s: expected shape [%zu, %zu], found [%llu, %llu]: an adapter "
                       "for another model",
                       wn_safetensors_path(st), name, rows, cols, (unsigned long long)t->dim[0],
                       (unsigned long long)(t->ndim > 1 ? t->dim[1] : 0));
    WN_TRY(wn_tensor_to_f32(out, t, 0, rows * cols));
    if (!wn_all_finite(out, rows * cols))
        return wn_fail(WN_EFORMAT, "%s: tensor %s: expected finite numbers, found NaN or infinity",
                       wn_safetensors_path(st), name);
    return WN_OK;
}

static wn_err load_factors(wn_model *m, const wn_safetensors *st, const struct peft *c)
{
    double root = c->rslora ? sqrt((double)c->r) : (double)c->r;
    size_t used = 0;
    wn_linear *l;
    for (size_t i = 0; (l = wn_model_linear(m, i)); i++) {
        bool has_a = false, has_b = false;
        if (!l->N)
            continue;
        WN_TRY(read_factor(NULL, st, l->module, "A", 0, 0, &has_a));
        WN_TRY(read_factor(NULL, st, l->module, "B", 0, 0, &has_b));
        if (!has_a && !has_b)
            continue;
        if (!has_a || !has_b)
            return wn_fail(WN_EFORMAT, "%s: module %s has one LoRA factor of two",
                           wn_safetensors_path(st), l->module);
        WN_TRY(put_on(m, l, (size_t)c->r, (float)(c->alpha / root), 0));
        WN_TRY(read_factor(m->params.p[l->lora_a].value, st, l->module, "A", l->r, l->K, &has_a));
        WN_TRY(read_factor(m->params.p[l->lora_b].value, st, l->module, "B", l->N, l->r, &has_b));
        used += 2;
    }
    if (used == wn_safetensors_count(st))
        return WN_OK;
    for (size_t i = 0; i < wn_safetensors_count(st); i++)
        if (!wn_params_find(&m->params, wn_safetensors_at(st, i)->name))
            return wn_fail(
                WN_EFORMAT,
                "%s: tensor %s: the model has no such layer: an adapter for another model",
                wn_safetensors_path(st), wn_safetensors_at(st, i)->name);
    return WN_OK;
}

wn_err wn_adapter_load(wn_model *m, const char *dir)
{
    char *config = NULL, *weights = NULL, hex[2][WN_SHA_HEX];
    json_t *j = NULL;
    wn_safetensors *st = NULL;
    struct peft c = {0};
    wn_err e = wn_path_join(&config, dir, "adapter_config.json");
    if (!e)
        e = wn_path_join(&weights, dir, "adapter_model.safetensors");
    if (!e)
        e = wn_json_load(&j, config);
    if (!e)
        e = read_config(&c, j, config);
    if (!e)
        e = wn_safetensors_open(&st, weights);
    if (!e)
        e = load_factors(m, st, &c);
    if (!e)
        e = wn_sha_file(hex[0], config);
    if (!e)
        e = wn_sha_file(hex[1], weights);
    if (!e)
        e = wn_sha_bytes(m->adapter_sha, hex, sizeof hex);
    wn_safetensors_close(st);
    json_decref(j);
    wn_free(config);
    wn_free(weights);
    return e;
}

static void add_name(json_t *list, const char *name)
{
    size_t i;
    json_t *one;
    json_array_foreach(list, i, one) if (strcmp(json_string_value(one), name) == 0) return;
    json_array_append_new(list, json_string(name));
}

static json_t *config_json(const wn_model *m, const char *base)
{
    json_t *targets = json_array();
    double alpha = 0, dropout = 0;
    size_t r = 0;
    wn_linear *l;
    for (size_t i = 0; (l = wn_model_linear((wn_model *)m, i)); i++) {
        if (!l->r)
            continue;
        add_name(targets, last_part(l->module));
        r = l->r;
        alpha = (double)l->scale * (double)r;
        dropout = l->dropout;
    }
    /* scale is a float: alpha = scale * r must read back as what was given */
    alpha = round(alpha * 1e4) / 1e4;
    return json_pack(
        "{s:s, s:s, s:s, s:i, s:f, s:f, s:s, s:o, s:b, s:b, s:b, s:b, s:n, s:n, s:{}, s:{}}",
        "peft_type", "LORA", "task_type", m->encoder.L ? "SEQ_2_SEQ_LM" : "CAUSAL_LM",
        "base_model_name_or_path", base, "r", (int)r, "lora_alpha", alpha, "lora_dropout", dropout,
        "bias", "none", "target_modules", targets, "use_rslora", 0, "use_dora", 0, "fan_in_fan_out",
        0, "inference_mode", 1, "modules_to_save", "layers_to_transform", "rank_pattern",
        "alpha_pattern");
}

wn_err wn_model_save_adapter(const wn_model *m, const char *dir, const char *base)
{
    static const char *const metadata[] = {"format", "pt", NULL};
    wn_str text = {0};
    char *config = NULL, *weights = NULL;
    wn_tensor *t = wn_calloc(m->params.n, sizeof *t);
    json_t *j = config_json(m, base);
    size_t n = 0;
    wn_err e = t && j ? WN_OK : WN_ENOMEM;
    for (size_t i = 0; !e && i < m->params.n; i++) {
        const wn_param *p = &m->params.p[i];
        if (p->adapter)
            t[n++] = (wn_tensor){.name = p->name,
                                 .dtype = WN_F32,
                                 .ndim = 2,
                                 .dim = {p->rows, p->cols},
                                 .data = p->value,
                                 .bytes = (uint64_t)p->rows * p->cols * sizeof(float)};
    }
    if (!e)
        e = wn_mkdirs(dir);
    if (!e)
        e = wn_path_join(&config, dir, "adapter_config.json");
    if (!e)
        e = wn_path_join(&weights, dir, "adapter_model.safetensors");
    if (!e)
        e = wn_json_dump(&text, j, 2, true);
    if (!e)
        wn_str_putc(&text, '\n');
    if (!e)
        e = wn_str_check(&text);
    if (!e)
        e = wn_safetensors_write(weights, t, n, metadata);
    if (!e)
        e = wn_file_write(config, text.p, text.len);
    json_decref(j);
    wn_str_free(&text);
    wn_free(t);
    wn_free(config);
    wn_free(weights);
    return e;
}

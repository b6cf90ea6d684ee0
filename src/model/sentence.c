/* Files are few and small: they are read at once, and their bytes make the hash that a store's
 * manifest holds. Vectors are one a text, so the parts behind the pooling are plain loops with
 * double sums: next to the model they cost nothing, and a row's result cannot depend on others. */
#include "model/sentence.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "io/file.h"
#include "io/safetensors.h"
#include "kernel/kernel.h"

enum { MOST_WIDTH = 65536, MOST_FILE = 1 << 28 };

/* ---- names ------------------------------------------------------------------------------- */

static const struct {
    const char *name;   /* ours */
    const char *own;    /* pooling_mode of newer folders */
    const char *legacy; /* the switch of older ones */
} modes[WN_POOLINGS] = {
    [WN_POOL_MEAN] = {"mean", "mean", "pooling_mode_mean_tokens"},
    [WN_POOL_WEIGHTED] = {"weighted", "weightedmean", "pooling_mode_weightedmean_tokens"},
    [WN_POOL_LAST] = {"last", "lasttoken", "pooling_mode_lasttoken"},
    [WN_POOL_CLS] = {"cls", "cls", "pooling_mode_cls_token"},
    [WN_POOL_MAX] = {"max", "max", "pooling_mode_max_tokens"},
    [WN_POOL_MEAN_SQRT] = {"mean-sqrt", "mean_sqrt_len_tokens",
                           "pooling_mode_mean_sqrt_len_tokens"},
};

/* Several switches of an older folder: their results lie in this order. */
static const wn_pooling order[WN_POOLINGS] = {WN_POOL_CLS,       WN_POOL_MAX,      WN_POOL_MEAN,
                                              WN_POOL_MEAN_SQRT, WN_POOL_WEIGHTED, WN_POOL_LAST};

const char *wn_pooling_name(wn_pooling p)
{
    return modes[p].name;
}

static bool find_pooling(wn_pooling *p, const char *name, size_t len)
{
    for (int i = 0; i < WN_POOLINGS; i++)
        if (strlen(modes[i].name) == len && strncmp(name, modes[i].name, len) == 0) {
            *p = (wn_pooling)i;
            return true;
        }
    return false;
}

wn_err wn_pooling_parse(wn_pooling p[WN_POOLINGS], size_t *n, const char *names)
{
    *n = 0;
    for (const char *s = names;; s += *s == '+') {
        size_t len = strcspn(s, "+");
        if (*n == WN_POOLINGS || !find_pooling(&p[*n], s, len))
            return wn_fail(
                WN_EARG,
                "pooling \"%s\": expected mean, weighted, last, cls, max or mean-sqrt, or "
                "several of them joined by +",
                names);
        (*n)++;
        s += len;
        if (!*s)
            return WN_OK;
    }
}

/* ---- files ------------------------------------------------------------------------------- */

typedef struct reader {
    wn_sentence *s;
    const char *folder;
    wn_sha *sha;
} reader;

/* A JSON object FOLDER/name; *out NULL where it is missing and not required. *place, owned by the
 * caller, is its path. */
static wn_err load(json_t **out, char **place, reader *r, const char *dir, const char *name,
                   bool required)
{
    char *text = NULL;
    size_t len = 0;
    *out = NULL;
    WN_TRY(wn_path_join(place, dir, name));
    if (!required && !wn_file_exists(*place))
        return WN_OK;
    WN_TRY(wn_file_read(&text, &len, *place, MOST_FILE));
    wn_sha_add(r->sha, name, strlen(name) + 1);
    wn_sha_add(r->sha, text, len);
    wn_err e = wn_json_parse(out, text, len, *place);
    wn_free(text);
    return e;
}

static const char *text_of(const json_t *o, const char *key)
{
    return json_string_value(json_object_get(o, key));
}

/* The class's own name: folders of every age spell its package differently. */
static const char *last_name(const char *dotted)
{
    const char *dot = strrchr(dotted, '.');
    return dot ? dot + 1 : dotted;
}

/* Older and newer folders let parts work on single tokens' vectors; this one must not. */
static wn_err on_sentences(const json_t *c, const char *place)
{
    static const char *const keys[] = {"module_input_name", "module_output_name"};
    for (size_t i = 0; i < 2; i++) {
        const char *v = text_of(c, keys[i]);
        if (v && strcmp(v, "sentence_embedding") != 0)
            return wn_fail(WN_EFORMAT, "%s: %s \"%s\": expected sentence_embedding", place, keys[i],
                           v);
    }
    return WN_OK;
}

/* ---- pooling ------------------------------------------------------------------------------ */

static wn_err push_mode(wn_sentence *s, const char *own, const char *place)
{
    for (int i = 0; i < WN_POOLINGS; i++)
        if (own && strcmp(own, modes[i].own) == 0) {
            if (s->n_pooling == WN_POOLINGS)
                return wn_fail(WN_EFORMAT, "%s: pooling_mode: more than %d modes", place,
                               WN_POOLINGS);
            s->pooling[s->n_pooling++] = (wn_pooling)i;
            return WN_OK;
        }
    return wn_fail(WN_EFORMAT, "%s: pooling_mode \"%s\" is not supported", place, own ? own : "");
}

static wn_err pooling_modes(wn_sentence *s, const json_t *c, const char *place)
{
    const json_t *own = json_object_get(c, "pooling_mode");
    if (json_is_array(own)) {
        for (size_t i = 0; i < json_array_size(own); i++)
            WN_TRY(push_mode(s, json_string_value(json_array_get(own, i)), place));
        return WN_OK;
    }
    if (own)
        return push_mode(s, json_string_value(own), place);
    for (int i = 0; i < WN_POOLINGS; i++)
        if (json_is_true(json_object_get(c, modes[order[i]].legacy)))
            s->pooling[s->n_pooling++] = order[i];
    if (s->n_pooling == 0)
        s->pooling[s->n_pooling++] = WN_POOL_MEAN;
    return WN_OK;
}

static wn_err read_pooling(reader *r, const char *dir)
{
    char *place = NULL;
    json_t *c = NULL;
    bool include = true;
    wn_err e = load(&c, &place, r, dir, "config.json", true);
    if (!e && r->s->n_pooling)
        e = wn_fail(WN_EFORMAT, "%s: expected one Pooling module, found a second", place);
    if (!e)
        e = pooling_modes(r->s, c, place);
    if (!e)
        e = wn_json_get_bool(&include, c, "include_prompt", false, place);
    r->s->skip_prompt = !include;
    json_decref(c);
    wn_free(place);
    return e;
}

/* ---- parts with weights ------------------------------------------------------------------- */

static wn_err tensor(float **out, reader *r, const wn_safetensors *st, const char *name,
                     size_t rows, size_t cols)
{
    const wn_tensor *t = wn_safetensors_find(st, name);
    const char *file = wn_safetensors_path(st);
    if (!t)
        return wn_fail(WN_EFORMAT, "%s: tensor %s is missing", file, name);
    bool same = cols ? t->ndim == 2 && t->dim[0] == rows && t->dim[1] == cols
                     : t->ndim == 1 && t->dim[0] == rows;
    size_t n = rows * (cols ? cols : 1);
    if (!same)
        return wn_fail(WN_EFORMAT, "%s: tensor %s: expected %zu x %zu", file, name, rows,
                       cols ? cols : 1);
    WN_NEW(*out, n);
    WN_TRY(wn_tensor_to_f32(*out, t, 0, n));
    wn_sha_add(r->sha, *out, n * sizeof **out);
    return wn_all_finite(*out, n)
               ? WN_OK
               : wn_fail(WN_EFORMAT, "%s: tensor %s holds NaN or infinity", file, name);
}

static wn_err new_part(wn_sentence_part **out, wn_sentence *s, wn_part_kind kind)
{
    if (!WN_GROW(s->part, s->n_part, s->part_cap))
        return WN_ENOMEM;
    *out = &s->part[s->n_part++];
    **out = (wn_sentence_part){.kind = kind};
    return WN_OK;
}

static wn_err width_of(size_t *out, const json_t *c, const char *key, const char *place)
{
    uint64_t n = 0;
    WN_TRY(wn_json_get_u64(&n, c, key, true, place));
    if (n == 0 || n > MOST_WIDTH)
        return wn_fail(WN_EFORMAT, "%s: %s: expected 1 to %d, found %llu", place, key, MOST_WIDTH,
                       (unsigned long long)n);
    *out = (size_t)n;
    return WN_OK;
}

static wn_err dense_config(wn_sentence_part *p, bool *bias, const json_t *c, const char *place)
{
    static const char *const acts[] = {
        [WN_DENSE_IDENTITY] = "Identity", [WN_DENSE_TANH] = "Tanh", [WN_DENSE_RELU] = "ReLU",
        [WN_DENSE_GELU] = "GELU",         [WN_DENSE_SILU] = "SiLU", [WN_DENSE_SIGMOID] = "Sigmoid"};
    const char *name = text_of(c, "activation_function");
    size_t act = 0;
    *bias = true;
    WN_TRY(on_sentences(c, place));
    WN_TRY(width_of(&p->in, c, "in_features", place));
    WN_TRY(width_of(&p->out, c, "out_features", place));
    WN_TRY(wn_json_get_bool(bias, c, "bias", false, place));
    WN_TRY(wn_json_get_bool(&p->residual, c, "use_residual", false, place));
    for (name = name ? last_name(name) : "Tanh";
         act < sizeof acts / sizeof *acts && strcmp(acts[act], name) != 0; act++)
        ;
    if (act == sizeof acts / sizeof *acts)
        return wn_fail(WN_EFORMAT,
                       "%s: activation_function \"%s\": expected Identity, Tanh, ReLU, GELU, SiLU "
                       "or Sigmoid",
                       place, name);
    p->act = (wn_dense_act)act;
    return WN_OK;
}

static wn_err dense_weights(wn_sentence_part *p, bool bias, reader *r, const wn_safetensors *st)
{
    WN_TRY(tensor(&p->weight, r, st, "linear.weight", p->out, p->in));
    if (bias)
        WN_TRY(tensor(&p->bias, r, st, "linear.bias", p->out, 0));
    if (p->residual && p->in != p->out)
        WN_TRY(tensor(&p->residual_weight, r, st, "residual.weight", p->out, p->in));
    return WN_OK;
}

static wn_err weights_of(wn_safetensors **st, const char *dir)
{
    char *path = NULL;
    WN_TRY(wn_path_join(&path, dir, "model.safetensors"));
    wn_err e = wn_file_exists(path) ? wn_safetensors_open(st, path)
                                    : wn_fail(WN_EIO,
                                              "%s: expected this file, found none (weights in "
                                              "pytorch_model.bin are not read)",
                                              path);
    wn_free(path);
    return e;
}

static wn_err read_weighted(reader *r, const char *dir, wn_part_kind kind)
{
    char *place = NULL;
    json_t *c = NULL;
    wn_safetensors *st = NULL;
    wn_sentence_part *p = NULL;
    bool bias = true;
    wn_err e = new_part(&p, r->s, kind);
    if (!e)
        e = load(&c, &place, r, dir, "config.json", true);
    if (!e)
        e = kind == WN_PART_DENSE ? dense_config(p, &bias, c, place)
                                  : width_of(&p->in, c, "dimension", place);
    if (!e)
        e = weights_of(&st, dir);
    if (!e && kind == WN_PART_DENSE) {
        e = dense_weights(p, bias, r, st);
    } else if (!e) {
        p->out = p->in;
        e = tensor(&p->weight, r, st, "norm.weight", p->in, 0);
        if (!e)
            e = tensor(&p->bias, r, st, "norm.bias", p->in, 0);
    }
    wn_safetensors_close(st);
    json_decref(c);
    wn_free(place);
    return e;
}

static wn_err read_normalize(reader *r, const char *dir)
{
    char *place = NULL;
    json_t *c = NULL;
    wn_sentence_part *p;
    wn_err e = new_part(&p, r->s, WN_PART_NORMALIZE);
    if (!e)
        e = load(&c, &place, r, dir, "config.json", false);
    if (!e && c)
        e = on_sentences(c, place);
    json_decref(c);
    wn_free(place);
    return e;
}

/* ---- the Transformer's own settings -------------------------------------------------------- */

/* What the reference takes where the folder gives no length: the tokenizer's. */
static wn_err tokenizer_length(reader *r)
{
    char *place = NULL;
    json_t *c = NULL;
    wn_err e = load(&c, &place, r, r->s->model, "tokenizer_config.json", false);
    double n = json_number_value(json_object_get(c, "model_max_length"));
    if (!e && n >= 1 && n < 1e9)
        r->s->max_seq_length = (size_t)n;
    json_decref(c);
    wn_free(place);
    return e;
}

static wn_err transformer_settings(reader *r, const json_t *c, const char *place)
{
    const char *task = text_of(c, "transformer_task");
    uint64_t most = 0;
    if (task && strcmp(task, "feature-extraction") != 0)
        return wn_fail(WN_EFORMAT, "%s: transformer_task \"%s\": expected feature-extraction",
                       place, task);
    if (!json_is_null(json_object_get(c, "max_seq_length")))
        WN_TRY(wn_json_get_u64(&most, c, "max_seq_length", false, place));
    r->s->max_seq_length = (size_t)most;
    return wn_json_get_bool(&r->s->lower, c, "do_lower_case", false, place);
}

static wn_err read_transformer(reader *r, const char *dir)
{
    static const char *const names[] = {
        "sentence_bert_config.json",       "sentence_roberta_config.json",
        "sentence_distilbert_config.json", "sentence_camembert_config.json",
        "sentence_albert_config.json",     "sentence_xlm-roberta_config.json",
        "sentence_xlnet_config.json"};
    wn_err e = WN_OK;
    json_t *c = NULL;
    r->s->model = wn_strdup(dir);
    if (!r->s->model)
        return WN_ENOMEM;
    for (size_t i = 0; !e && !c && i < sizeof names / sizeof *names; i++) {
        char *place = NULL;
        e = load(&c, &place, r, dir, names[i], false);
        if (!e && c)
            e = transformer_settings(r, c, place);
        wn_free(place);
    }
    json_decref(c);
    return e || r->s->max_seq_length ? e : tokenizer_length(r);
}

/* ---- modules.json --------------------------------------------------------------------------- */

static wn_err read_module(reader *r, size_t i, const json_t *one, const char *modules)
{
    const char *type = NULL, *path = NULL;
    char *dir = NULL;
    WN_TRY(wn_json_get_string(&type, one, "type", true, modules));
    WN_TRY(wn_json_get_string(&path, one, "path", true, modules));
    const char *kind = last_name(type);
    bool known = strncmp(type, "sentence_transformers.", 22) == 0, model = i == 0;
    if (!known || model != (strcmp(kind, "Transformer") == 0))
        return wn_fail(WN_EFORMAT, "%s: module %zu is %s: expected sentence-transformers' %s",
                       modules, i, type,
                       model ? "Transformer" : "Pooling, Dense, LayerNorm or Normalize");
    if (!model && strcmp(kind, "Pooling") != 0 && strcmp(kind, "Dropout") != 0 && !r->s->n_pooling)
        return wn_fail(WN_EFORMAT, "%s: module %zu is %s: expected Pooling before it", modules, i,
                       type);
    WN_TRY(path[0]                        ? wn_path_join(&dir, r->folder, path)
           : (dir = wn_strdup(r->folder)) ? WN_OK
                                          : WN_ENOMEM);
    wn_err e = WN_OK;
    if (model)
        e = read_transformer(r, dir);
    else if (strcmp(kind, "Pooling") == 0)
        e = read_pooling(r, dir);
    else if (strcmp(kind, "Normalize") == 0)
        e = read_normalize(r, dir);
    else if (strcmp(kind, "Dense") == 0 || strcmp(kind, "LayerNorm") == 0)
        e = read_weighted(r, dir, kind[0] == 'D' ? WN_PART_DENSE : WN_PART_LAYER_NORM);
    else if (strcmp(kind, "Dropout") != 0) /* which does nothing outside of training */
        e = wn_fail(
            WN_EFORMAT,
            "%s: module %s is not supported (known: Transformer, Pooling, Dense, LayerNorm, "
            "Normalize)",
            modules, type);
    wn_free(dir);
    return e;
}

static wn_err read_prompts(reader *r)
{
    char *place = NULL;
    json_t *c = NULL;
    const char *name;
    json_t *text;
    wn_err e = load(&c, &place, r, r->folder, "config_sentence_transformers.json", false);
    json_t *prompts = json_object_get(c, "prompts");
    if (!e && prompts && !json_is_null(prompts) && !json_is_object(prompts))
        e = wn_fail(WN_EFORMAT, "%s: prompts: expected an object of texts", place);
    json_object_foreach(prompts, name, text) if (!e && !json_is_string(text) && !json_is_null(text))
        e = wn_fail(WN_EFORMAT, "%s: prompts: %s: expected a text", place, name);
    const char *usual = text_of(c, "default_prompt_name");
    if (!e && usual && !json_object_get(prompts, usual))
        e = wn_fail(WN_EFORMAT, "%s: default_prompt_name \"%s\" is none of its prompts", place,
                    usual);
    if (!e && json_is_object(prompts)) {
        r->s->prompts = json_incref(prompts);
        name = usual ? json_object_iter_key(json_object_iter_at(prompts, usual)) : NULL;
        r->s->default_prompt = name;
    }
    json_decref(c);
    wn_free(place);
    return e;
}

static wn_err read_all(reader *r)
{
    char *modules = NULL;
    json_t *list = NULL;
    wn_err e = load(&list, &modules, r, r->folder, "modules.json", true);
    if (!e && (!json_is_array(list) || json_array_size(list) == 0))
        e = wn_fail(WN_EFORMAT, "%s: expected a list of modules", modules);
    for (size_t i = 0; !e && i < json_array_size(list); i++)
        e = read_module(r, i, json_array_get(list, i), modules);
    if (!e && !r->s->n_pooling)
        e = wn_fail(WN_EFORMAT, "%s: expected a Pooling module, found none", modules);
    json_decref(list);
    wn_free(modules);
    return e ? e : read_prompts(r);
}

wn_err wn_sentence_open(wn_sentence **out, const char *folder)
{
    char *modules = NULL;
    *out = NULL;
    WN_TRY(wn_path_join(&modules, folder, "modules.json"));
    bool there = wn_file_exists(modules);
    wn_free(modules);
    if (!there)
        return WN_OK;
    reader r = {.folder = folder};
    WN_NEW(r.s, 1);
    wn_err e = wn_sha_new(&r.sha);
    if (!e) {
        e = read_all(&r);
        wn_sha_hex(r.sha, r.s->sha);
    }
    if (e)
        wn_sentence_close(r.s);
    else
        *out = r.s;
    return e;
}

void wn_sentence_close(wn_sentence *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->n_part; i++) {
        wn_free(s->part[i].weight);
        wn_free(s->part[i].bias);
        wn_free(s->part[i].residual_weight);
    }
    wn_free(s->part);
    wn_free(s->model);
    json_decref(s->prompts);
    wn_free(s);
}

/* ---- at work -------------------------------------------------------------------------------- */

wn_err wn_sentence_width(size_t *width, const wn_sentence *s, size_t parts, size_t D, size_t n,
                         const char *folder)
{
    *width = n * D;
    for (size_t i = 0; i < parts; i++) {
        const wn_sentence_part *p = &s->part[i];
        if (p->kind == WN_PART_NORMALIZE)
            continue;
        if (p->in != *width)
            return wn_fail(WN_EFORMAT,
                           "%s: the part behind the pooling takes vectors of width %zu: expected "
                           "%zu, the model's width %zu in %zu pooling%s",
                           folder, p->in, *width, D, n, n == 1 ? "" : "s");
        *width = p->out;
    }
    return WN_OK;
}

static double activate(double x, wn_dense_act act)
{
    switch (act) {
    case WN_DENSE_TANH:
        return tanh(x);
    case WN_DENSE_RELU:
        return x > 0 ? x : 0;
    case WN_DENSE_GELU:
        return 0.5 * x * (1 + erf(x * sqrt(0.5)));
    case WN_DENSE_SILU:
        return x / (1 + exp(-x));
    case WN_DENSE_SIGMOID:
        return 1 / (1 + exp(-x));
    case WN_DENSE_IDENTITY:
        break;
    }
    return x;
}

static void dense(float *out, const float *v, const wn_sentence_part *p)
{
    for (size_t i = 0; i < p->out; i++) {
        double x = wn_dot64(p->weight + i * p->in, v, p->in) + (p->bias ? (double)p->bias[i] : 0);
        x = activate(x, p->act);
        if (p->residual)
            x += p->residual_weight ? wn_dot64(p->residual_weight + i * p->in, v, p->in)
                                    : (double)v[i];
        out[i] = (float)x;
    }
}

void wn_sentence_apply(float *out, const float *v, const wn_sentence_part *p)
{
    if (p->kind == WN_PART_DENSE)
        dense(out, v, p);
    else
        wn_layernorm(out, NULL, NULL, v, p->weight, p->bias, 1, p->in, 1e-5F);
}

wn_err wn_sentence_prompt(const char **out, const wn_sentence *s, const char *name,
                          const char *folder)
{
    const char *key;
    json_t *text;
    wn_str known = {0};
    *out = NULL;
    if (!name) {
        *out = s && s->default_prompt ? text_of(s->prompts, s->default_prompt) : NULL;
        return WN_OK;
    }
    text = s ? json_object_get(s->prompts, name) : NULL;
    if (text) {
        *out = json_string_value(text);
        return WN_OK;
    }
    json_object_foreach(s ? s->prompts : NULL, key, text)
        wn_str_printf(&known, "%s%s", known.len ? ", " : "", key);
    wn_err e = wn_fail(WN_EARG, "%s: prompt \"%s\": the model has %s%s", folder, name,
                       known.len ? "only " : "no prompts", known.len ? known.p : "");
    wn_str_free(&known);
    return e;
}

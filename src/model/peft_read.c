/* Reading PEFT's folders: adapter_config.json says what kind of adapter it is and with which
 * numbers; adapter_model.safetensors holds base_model.model.MODULE.lora_A.weight [r, K] and
 * lora_B.weight [N, r], or MODULE.ia3_l [N, 1], [1, K] where it multiplies the input, and
 * MODULE.bias where biases were trained. The tensors say which modules have an adapter, so
 * target_modules is not read. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "io/file.h"
#include "model/adapter.h"
#include "token/pattern.h"

struct peft {
    const char *path; /* of the config */
    bool ia3, rslora;
    double alpha;
    uint64_t r;
    json_t *ranks, *alphas; /* by module, borrowed */
};

/* ---- reading the config ---- */

static bool is_set(const json_t *j, const char *key)
{
    const json_t *v = json_object_get(j, key);
    return v && !json_is_null(v) && !json_is_false(v) &&
           !(json_is_array(v) && json_array_size(v) == 0) &&
           !(json_is_object(v) && json_object_size(v) == 0);
}

/* What would change the formula, or replace more than this adapter's own tensors. */
static wn_err refuse_unknown(const json_t *j, const char *path)
{
    static const char *const members[] = {
        "use_dora",          "modules_to_save",   "lora_bias",
        "use_qalora",        "use_bdlora",        "alora_invocation_tokens",
        "layer_replication", "target_parameters", "trainable_token_indices",
        "arrow_config",      "kasa_config",       "velora_config",
        "monteclora_config"};
    static const char *const starts[] = {"pissa", "olora", "corda", "loftq", "lora_ga"};
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        if (is_set(j, members[i]))
            return wn_fail(WN_EFORMAT, "%s: %s is not supported", path, members[i]);
    const char *start = json_string_value(json_object_get(j, "init_lora_weights"));
    for (size_t i = 0; start && i < sizeof starts / sizeof *starts; i++)
        if (strncmp(start, starts[i], strlen(starts[i])) == 0)
            return wn_fail(WN_EFORMAT,
                           "%s: init_lora_weights \"%s\": its base weights are not the model's; "
                           "expected an adapter converted to plain LoRA",
                           path, start);
    return WN_OK;
}

static wn_err read_config(struct peft *c, const json_t *j)
{
    const char *kind = NULL, *path = c->path;
    WN_TRY(wn_json_get_string(&kind, j, "peft_type", true, path));
    c->ia3 = strcmp(kind, "IA3") == 0;
    if (!c->ia3 && strcmp(kind, "LORA") != 0)
        return wn_fail(WN_EFORMAT, "%s: peft_type %s is not supported (known: LORA, IA3)", path,
                       kind);
    WN_TRY(refuse_unknown(j, path));
    if (c->ia3)
        return WN_OK;
    if (is_set(j, "use_rslora"))
        WN_TRY(wn_json_get_bool(&c->rslora, j, "use_rslora", false, path));
    WN_TRY(wn_json_get_u64(&c->r, j, "r", true, path));
    WN_TRY(wn_json_get_number(&c->alpha, j, "lora_alpha", true, path));
    c->ranks = json_object_get(j, "rank_pattern");
    c->alphas = json_object_get(j, "alpha_pattern");
    if (c->r == 0 || c->r > 4096)
        return wn_fail(WN_EFORMAT, "%s: r: expected 1 to 4096, found %llu", path,
                       (unsigned long long)c->r);
    return WN_OK;
}

/* The number that a pattern object has for a module: its first key that, as an expression, is the
 * name or its end behind a dot. */
static wn_err pattern_number(double *out, const json_t *patterns, const char *module,
                             const struct peft *c)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)patterns, key, value)
    {
        wn_pattern p = {0};
        wn_match match = {0};
        wn_search at = {0};
        wn_str text = {0};
        bool found = false;
        size_t start = 0, end = 0;
        wn_str_printf(&text, "\\A(?:.*\\.)?(?:%s)\\z", key);
        wn_err e = wn_str_check(&text);
        if (!e)
            e = wn_pattern_regex(&p, text.p, text.len, true);
        if (!e)
            e = wn_pattern_next(&p, &match, module, strlen(module), &at, &found, &start, &end);
        wn_match_free(&match);
        wn_pattern_free(&p);
        wn_str_free(&text);
        WN_TRY(e);
        if (found && !json_is_number(value))
            return wn_fail(WN_EFORMAT, "%s: pattern %s: expected a number", c->path, key);
        if (found) {
            *out = json_number_value(value);
            return WN_OK;
        }
    }
    return WN_OK;
}

/* ---- reading the tensors ---- */

enum part { LORA_A, LORA_B, IA3, BASE, OWN_BIAS, BIAS, N_PARTS };

static const char *const suffix[N_PARTS] = {".lora_A.weight",     ".lora_B.weight",   ".ia3_l",
                                            ".base_layer.weight", ".base_layer.bias", ".bias"};

struct found {
    const wn_tensor *tensor;
    enum part part;
    wn_linear *layer; /* of a factor or vector */
    int param;        /* of a bias */
};

struct load {
    wn_model *m;
    const wn_safetensors *st;
    const struct peft *c;
    struct found *f; /* [n] */
    size_t n;
};

/* The same module, or one with one more component at the beginning. */
static bool same_module(const char *a, size_t a_len, const char *b, size_t b_len)
{
    if (a_len == b_len)
        return memcmp(a, b, a_len) == 0;
    const char *long_name = a_len > b_len ? a : b;
    size_t more = a_len > b_len ? a_len - b_len : b_len - a_len,
           least = a_len > b_len ? b_len : a_len;
    return long_name[more - 1] == '.' && !memchr(long_name, '.', more - 1) &&
           memcmp(a + a_len - least, b + b_len - least, least) == 0;
}

static wn_err no_place(const struct load *l, const char *name)
{
    return wn_fail(WN_EFORMAT,
                   "%s: tensor %s: the model has no such layer: an adapter for another model",
                   wn_safetensors_path(l->st), name);
}

static wn_err place(struct found *f, const struct load *l)
{
    const char *name = f->tensor->name;
    size_t head = strlen(WN_PEFT_PREFIX), n = strlen(name), tail = 0;
    int part = 0;
    for (; part < N_PARTS; part++) {
        tail = strlen(suffix[part]);
        if (n > head + tail && strcmp(name + n - tail, suffix[part]) == 0)
            break;
    }
    if (strncmp(name, WN_PEFT_PREFIX, head) != 0 || part == N_PARTS)
        return no_place(l, name);
    bool bias = part == OWN_BIAS || part == BIAS;
    f->part = bias ? BIAS : (enum part)part;
    f->param = WN_NO_PARAM;
    if (!bias && part != BASE && (part == IA3) != l->c->ia3)
        return wn_fail(WN_EFORMAT, "%s: tensor %s does not belong to the kind of %s",
                       wn_safetensors_path(l->st), name, l->c->path);
    wn_linear *lin;
    for (size_t i = 0; !bias && (lin = wn_model_linear(l->m, i)); i++)
        if (lin->N && same_module(name + head, n - head - tail, lin->module, strlen(lin->module)))
            f->layer = lin;
    for (size_t i = 0; bias && i < l->m->params.n; i++) {
        const char *own = l->m->params.p[i].name;
        size_t m = strlen(own);
        if (m > 5 && strcmp(own + m - 5, ".bias") == 0 &&
            same_module(name + head, n - head - tail, own, m - 5))
            f->param = (int)i;
    }
    if (part == BASE && f->layer != &l->m->output)
        f->layer = NULL;
    return f->layer || f->param != WN_NO_PARAM ? WN_OK : no_place(l, name);
}

/* cols 0: a vector. */
static wn_err check_shape(const struct load *l, const wn_tensor *t, size_t rows, size_t cols)
{
    if (t->ndim == (cols ? 2 : 1) && t->dim[0] == rows && (!cols || t->dim[1] == cols))
        return WN_OK;
    return wn_fail(WN_EFORMAT,
                   "%s: tensor %s: expected shape [%zu, %zu], found [%llu, %llu]: an adapter for "
                   "another model",
                   wn_safetensors_path(l->st), t->name, rows, cols ? cols : 1,
                   (unsigned long long)(t->ndim ? t->dim[0] : 1),
                   (unsigned long long)(t->ndim > 1 ? t->dim[1] : 1));
}

/* With an adapter on the output matrix PEFT saves the matrix too. It must be the model's own, but
 * for rounding; a GGUF file's is quantised and may be further off. */
static wn_err same_base(const struct load *l, const wn_tensor *theirs)
{
    const wn_linear *out = &l->m->output;
    const wn_weights *files = &l->m->files;
    const wn_tensor *ours = wn_weights_find(files, l->m->params.p[out->weight].name);
    WN_TRY(check_shape(l, theirs, out->N, out->K));
    float *row = wn_malloc(2 * out->K * sizeof *row), *other = row + out->K;
    wn_err e = row ? WN_OK : WN_ENOMEM;
    for (size_t n = 0; !e && ours && !files->is_gguf && n < out->N; n++) {
        e = wn_weights_rows(row, files, ours, n, 1, (wn_row_order){0});
        if (!e)
            e = wn_tensor_to_f32(other, theirs, n * out->K, out->K);
        for (size_t k = 0; !e && k < out->K; k++)
            if (!(fabsf(row[k] - other[k]) <= fabsf(row[k]) / 256 + 1e-6F))
                e = wn_fail(WN_EFORMAT,
                            "%s: tensor %s differs from the model's own (row %zu: %g, the model's "
                            "%g): an output matrix that was trained whole is not supported",
                            wn_safetensors_path(l->st), theirs->name, n, (double)other[k],
                            (double)row[k]);
    }
    wn_free(row);
    return e;
}

static const wn_tensor *part_of(const struct load *l, const wn_linear *layer, enum part part)
{
    for (size_t i = 0; i < l->n; i++)
        if (l->f[i].layer == layer && l->f[i].part == part)
            return l->f[i].tensor;
    return NULL;
}

static wn_err read_into(float *out, const struct load *l, const wn_tensor *t, size_t rows,
                        size_t cols)
{
    size_t n = rows * (cols ? cols : 1);
    WN_TRY(check_shape(l, t, rows, cols));
    WN_TRY(wn_tensor_to_f32(out, t, 0, n));
    if (!wn_all_finite(out, n))
        return wn_fail(WN_EFORMAT, "%s: tensor %s: expected finite numbers, found NaN or infinity",
                       wn_safetensors_path(l->st), t->name);
    return WN_OK;
}

static wn_err load_lora(const struct load *l, wn_linear *layer)
{
    const wn_tensor *a = part_of(l, layer, LORA_A), *b = part_of(l, layer, LORA_B);
    if (!a && !b)
        return WN_OK;
    if (!a || !b)
        return wn_fail(WN_EFORMAT, "%s: module %s has one LoRA factor of two",
                       wn_safetensors_path(l->st), layer->module);
    double r = (double)l->c->r, alpha = l->c->alpha;
    WN_TRY(pattern_number(&r, l->c->ranks, layer->module, l->c));
    WN_TRY(pattern_number(&alpha, l->c->alphas, layer->module, l->c));
    if (!(r >= 1 && r <= 4096 && r == floor(r)))
        return wn_fail(WN_EFORMAT, "%s: rank_pattern: expected ranks of 1 to 4096, found %g",
                       l->c->path, r);
    WN_TRY(wn_put_lora(l->m, layer, (size_t)r, alpha, l->c->rslora));
    wn_param *p = l->m->params.p;
    WN_TRY(read_into(p[layer->lora_a].value, l, a, layer->r, layer->K));
    return read_into(p[layer->lora_b].value, l, b, layer->N, layer->r);
}

static wn_err load_ia3(const struct load *l, wn_linear *layer)
{
    const wn_tensor *t = part_of(l, layer, IA3);
    if (!t)
        return WN_OK;
    bool in = t->ndim == 2 && t->dim[0] == 1 && layer->N != 1;
    WN_TRY(wn_put_ia3(l->m, layer, in));
    return read_into(l->m->params.p[layer->ia3].value, l, t, in ? 1 : layer->N, in ? layer->K : 1);
}

static wn_err load_tensors(struct load *l)
{
    size_t biases = 0;
    for (size_t i = 0; i < l->n; i++) {
        l->f[i].tensor = wn_safetensors_at(l->st, i);
        WN_TRY(place(&l->f[i], l));
    }
    wn_linear *layer;
    for (size_t i = 0; (layer = wn_model_linear(l->m, i)); i++)
        if (layer->N)
            WN_TRY(l->c->ia3 ? load_ia3(l, layer) : load_lora(l, layer));
    for (size_t i = 0; i < l->n; i++) {
        if (l->f[i].part == BASE)
            WN_TRY(same_base(l, l->f[i].tensor));
        if (l->f[i].part != BIAS)
            continue;
        wn_param *p = &l->m->params.p[l->f[i].param];
        WN_TRY(read_into(p->value, l, l->f[i].tensor, p->rows, 0));
        p->adapter = true;
        biases++;
    }
    if (biases == l->n)
        return wn_fail(WN_EFORMAT, "%s: expected an adapter's tensors, found none",
                       wn_safetensors_path(l->st));
    return WN_OK;
}

static wn_err load_folder(wn_model *m, const char *config, const char *weights)
{
    char hex[2][WN_SHA_HEX];
    json_t *j = NULL;
    wn_safetensors *st = NULL;
    struct peft c = {.path = config};
    struct load l = {.m = m, .c = &c};
    wn_err e = wn_json_load(&j, config);
    if (!e)
        e = read_config(&c, j);
    if (!e)
        e = wn_safetensors_open(&st, weights);
    if (!e) {
        l.st = st;
        l.n = wn_safetensors_count(st);
        l.f = wn_calloc(l.n + 1, sizeof *l.f);
        e = l.f ? load_tensors(&l) : WN_ENOMEM;
    }
    if (!e)
        e = wn_sha_file(hex[0], config);
    if (!e)
        e = wn_sha_file(hex[1], weights);
    if (!e)
        e = wn_sha_bytes(m->adapter_sha, hex, sizeof hex);
    wn_free(l.f);
    wn_safetensors_close(st);
    json_decref(j);
    return e;
}

wn_err wn_adapter_load(wn_model *m, const char *dir)
{
    char *config = NULL, *weights = NULL;
    wn_err e = wn_path_join(&config, dir, "adapter_config.json");
    if (!e)
        e = wn_path_join(&weights, dir, "adapter_model.safetensors");
    if (!e)
        e = load_folder(m, config, weights);
    wn_free(config);
    wn_free(weights);
    return e;
}

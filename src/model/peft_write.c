/* Writing PEFT's folders. */
#include <stdio.h>
#include <string.h>

#include "io/file.h"
#include "model/adapter.h"

static bool same_kind(const wn_linear *a, const wn_linear *b)
{
    return (a->r > 0) == (b->r > 0) && (a->ia3 == WN_NO_PARAM) == (b->ia3 == WN_NO_PARAM) &&
           a->ia3_in == b->ia3_in;
}

/* The shortest end of the module's name that no layer of another kind ends in: what PEFT is told as
 * target. PEFT takes feed-forward names as bare ends, without a dot before them. */
static const char *shortest(wn_model *m, const wn_linear *l)
{
    const char *name = l->module + strlen(l->module);
    for (;;) {
        do
            name--;
        while (name > l->module && name[-1] != '.');
        size_t len = strlen(name);
        bool alone = true;
        wn_linear *o;
        for (size_t i = 0; (o = wn_model_linear(m, i)) && alone; i++) {
            size_t n = o->N ? strlen(o->module) : 0;
            if (n < len || same_kind(o, l) || strcmp(o->module + n - len, name) != 0)
                continue;
            alone = n > len && o->module[n - len - 1] != '.' && !l->ia3_in;
        }
        if (alone || name == l->module)
            return name;
        name--;
    }
}

static void add_name(json_t *list, const char *name)
{
    size_t i;
    json_t *one;
    json_array_foreach(list, i, one) if (strcmp(json_string_value(one), name) == 0) return;
    json_array_append_new(list, json_string(name));
}

/* Whether parameter i is a trained bias of the base: of a layer with an adapter, or another's. */
enum bias { NO_BIAS, LAYER_BIAS, OTHER_BIAS };

static enum bias bias_of(wn_model *m, size_t i)
{
    const wn_param *p = &m->params.p[i];
    if (!p->adapter || strncmp(p->name, WN_PEFT_PREFIX, strlen(WN_PEFT_PREFIX)) == 0)
        return NO_BIAS;
    wn_linear *l;
    for (size_t k = 0; (l = wn_model_linear(m, k)); k++)
        if (l->r && l->bias == (int)i)
            return LAYER_BIAS;
    return OTHER_BIAS;
}

static const char *bias_kind(wn_model *m)
{
    enum bias most = NO_BIAS;
    for (size_t i = 0; i < m->params.n; i++)
        most = bias_of(m, i) > most ? bias_of(m, i) : most;
    return most == OTHER_BIAS ? "all" : most == LAYER_BIAS ? "lora_only" : "none";
}

static json_t *common_json(const wn_model *m, const char *kind, const char *base, json_t *targets)
{
    return json_pack("{s:s, s:s, s:s, s:o, s:b, s:n}", "peft_type", kind, "task_type",
                     m->encoder.L ? "SEQ_2_SEQ_LM" : "CAUSAL_LM", "base_model_name_or_path", base,
                     "target_modules", targets, "inference_mode", 1, "modules_to_save");
}

static json_t *ia3_json(wn_model *m, const char *base)
{
    json_t *targets = json_array(), *first = json_array();
    bool turned = false;
    wn_linear *l;
    for (size_t i = 0; (l = wn_model_linear(m, i)); i++) {
        if (!l->N || l->ia3 == WN_NO_PARAM)
            continue;
        add_name(targets, shortest(m, l));
        if (l->ia3_in)
            add_name(first, shortest(m, l));
        turned = l->transposed;
    }
    json_t *j = common_json(m, "IA3", base, targets);
    json_object_set_new(j, "feedforward_modules", first);
    json_object_set_new(j, "fan_in_fan_out", json_boolean(turned));
    json_object_set_new(j, "init_ia3_weights", json_true());
    return j;
}

static json_t *lora_json(wn_model *m, const char *base)
{
    json_t *targets = json_array(), *ranks = json_object(), *alphas = json_object();
    const wn_linear *first = NULL;
    wn_linear *l;
    for (size_t i = 0; (l = wn_model_linear(m, i)); i++) {
        if (!l->r)
            continue;
        first = first ? first : l;
        add_name(targets, shortest(m, l));
        if (l->r != first->r)
            json_object_set_new(ranks, l->module, json_integer((json_int_t)l->r));
        if (l->alpha != first->alpha)
            json_object_set_new(alphas, l->module, json_real(l->alpha));
    }
    json_t *j = common_json(m, "LORA", base, targets);
    json_object_set_new(j, "r", json_integer((json_int_t)first->r));
    json_object_set_new(j, "lora_alpha", json_real(first->alpha));
    json_object_set_new(j, "lora_dropout", json_real(first->dropout));
    json_object_set_new(j, "bias", json_string(bias_kind(m)));
    json_object_set_new(j, "use_rslora", json_boolean(first->rslora));
    json_object_set_new(j, "use_dora", json_false());
    json_object_set_new(j, "fan_in_fan_out", json_boolean(first->transposed));
    json_object_set_new(j, "rank_pattern", ranks);
    json_object_set_new(j, "alpha_pattern", alphas);
    return j;
}

static bool has_ia3(wn_model *m)
{
    wn_linear *l;
    for (size_t i = 0; (l = wn_model_linear(m, i)); i++)
        if (l->N && l->ia3 != WN_NO_PARAM)
            return true;
    return false;
}

static wn_err write_tensors(wn_model *m, const char *path)
{
    static const char *const metadata[] = {"format", "pt", NULL};
    wn_tensor *t = wn_calloc(m->params.n, sizeof *t);
    char(*name)[300] = wn_calloc(m->params.n, sizeof *name);
    size_t n = 0;
    wn_err e = t && name ? WN_OK : WN_ENOMEM;
    for (size_t i = 0; !e && i < m->params.n; i++) {
        const wn_param *p = &m->params.p[i];
        if (!p->adapter)
            continue;
        enum bias base = bias_of(m, i);
        int stem = (int)strlen(p->name) - (base ? 5 : 0); /* without .bias */
        snprintf(name[n], sizeof *name, "%s%.*s%s", base ? WN_PEFT_PREFIX : "", stem, p->name,
                 base == LAYER_BIAS   ? ".base_layer.bias"
                 : base == OTHER_BIAS ? ".bias"
                                      : "");
        t[n] = (wn_tensor){.name = name[n],
                           .dtype = WN_F32,
                           .ndim = base ? 1 : 2,
                           .dim = {p->rows, base ? 0 : p->cols},
                           .data = p->value,
                           .bytes = (uint64_t)p->rows * p->cols * sizeof(float)};
        n++;
    }
    if (!e)
        e = wn_safetensors_write(path, t, n, metadata);
    wn_free(name);
    wn_free(t);
    return e;
}

wn_err wn_model_save_adapter(const wn_model *m, const char *dir, const char *base)
{
    wn_str text = {0};
    char *config = NULL, *weights = NULL;
    wn_model *all = (wn_model *)m; /* only read */
    json_t *j = has_ia3(all) ? ia3_json(all, base) : lora_json(all, base);
    wn_err e = j ? wn_mkdirs(dir) : WN_ENOMEM;
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
        e = write_tensors(all, weights);
    if (!e)
        e = wn_file_write(config, text.p, text.len);
    json_decref(j);
    wn_str_free(&text);
    wn_free(config);
    wn_free(weights);
    return e;
}

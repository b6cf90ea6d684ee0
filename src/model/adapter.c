/* Putting adapters on: which layers, and with which numbers they start. */
#include "model/adapter.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/rng.h"

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
static wn_err check_targets(wn_model *m, const char *kind, const char *targets)
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
            return wn_fail(WN_EARG, "%s target \"%.*s\": no such linear layer (the model has %s)",
                           kind, (int)len, t, known);
        }
        t += len + (t[len] == ',');
    }
    return WN_OK;
}

static wn_err freeze(wn_model *m)
{
    if (m->adapter_sha[0])
        return wn_fail(WN_EARG, "the model has an adapter already");
    for (size_t i = 0; i < m->params.n; i++)
        m->params.p[i].trainable = false;
    return WN_OK;
}

static wn_err add_param(wn_model *m, int *index, const wn_linear *l, const char *part, size_t rows,
                        size_t cols)
{
    char name[300];
    size_t i;
    snprintf(name, sizeof name, WN_PEFT_PREFIX "%s.%s", l->module, part);
    WN_TRY(wn_params_add(&m->params, &i, name, rows, cols, true));
    m->params.p[i].adapter = true;
    WN_NEW(m->params.p[i].value, rows * cols);
    *index = (int)i;
    return WN_OK;
}

/* ---- LoRA ---- */

wn_err wn_put_lora(wn_model *m, wn_linear *l, size_t r, double alpha, bool rslora)
{
    int a, b;
    WN_TRY(add_param(m, &a, l, "lora_A.weight", r, l->K));
    WN_TRY(add_param(m, &b, l, "lora_B.weight", l->N, r));
    l->lora_a = a;
    l->lora_b = b;
    l->r = r;
    l->alpha = alpha;
    l->rslora = rslora;
    l->scale = (float)(alpha / (rslora ? sqrt((double)r) : (double)r));
    return WN_OK;
}

wn_err wn_model_add_lora(wn_model *m, const wn_lora_opts *o)
{
    const char *targets = o->targets ? o->targets : "all-linear";
    if (o->rank == 0 || o->rank > 4096)
        return wn_fail(WN_EARG, "LoRA rank %zu: expected 1 to 4096", o->rank);
    if (!(o->dropout >= 0 && o->dropout < 1))
        return wn_fail(WN_EARG, "dropout %g: expected 0 or more, below 1", o->dropout);
    WN_TRY(check_targets(m, "LoRA", targets));
    WN_TRY(freeze(m));
    wn_linear *l;
    for (size_t i = 0; (l = wn_model_linear(m, i)); i++) {
        if (!l->N || !matches(targets, l->module))
            continue;
        WN_TRY(wn_put_lora(m, l, o->rank, o->alpha, false));
        l->dropout = o->dropout;
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

/* ---- IA3 ---- */

wn_err wn_put_ia3(wn_model *m, wn_linear *l, bool in)
{
    int v;
    size_t n = in ? l->K : l->N;
    WN_TRY(add_param(m, &v, l, "ia3_l", in ? 1 : n, in ? n : 1));
    for (size_t i = 0; i < n; i++)
        m->params.p[v].value[i] = 1;
    l->ia3 = v;
    l->ia3_in = in;
    return WN_OK;
}

/* Keys and values, or the matrix that holds them, and the last feed-forward layer; `at` counts a
 * layer's linear layers. */
static bool is_usual(const wn_layer *layer, int at)
{
    const wn_linear *l = wn_layer_linear((wn_layer *)layer, at);
    return l == &layer->down || l == &layer->cross_k || l == &layer->cross_v ||
           (layer->n_qkv == 1 ? l == &layer->qkv[0] : l == &layer->qkv[1] || l == &layer->qkv[2]);
}

static const wn_layer *layer_at(const wn_model *m, size_t i)
{
    return i < m->encoder.L ? &m->encoder.layer[i] : &m->stack.layer[i - m->encoder.L];
}

wn_err wn_model_add_ia3(wn_model *m, const wn_ia3_opts *o)
{
    const char *first = o->feedforward ? o->feedforward : "";
    if (o->targets)
        WN_TRY(check_targets(m, "IA3", o->targets));
    WN_TRY(check_targets(m, "IA3 feed-forward", first));
    wn_linear *l;
    for (size_t i = 0; o->feedforward && (l = wn_model_linear(m, i)); i++)
        if (l->N && matches(first, l->module) &&
            !(o->targets
                  ? matches(o->targets, l->module)
                  : is_usual(layer_at(m, i / WN_LAYER_LINEARS), (int)(i % WN_LAYER_LINEARS))))
            return wn_fail(WN_EARG, "IA3 feed-forward target %s: expected one of the targets",
                           l->module);
    WN_TRY(freeze(m));
    for (size_t i = 0; (l = wn_model_linear(m, i)); i++) {
        const wn_layer *layer = layer_at(m, i / WN_LAYER_LINEARS);
        if (!l->N || !(o->targets ? matches(o->targets, l->module)
                                  : is_usual(layer, (int)(i % WN_LAYER_LINEARS))))
            continue;
        WN_TRY(wn_put_ia3(m, l, o->feedforward ? matches(first, l->module) : l == &layer->down));
        m->params.p[l->ia3].trainable = true;
    }
    return WN_OK;
}

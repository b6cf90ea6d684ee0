/* Putting adapters on: which layers, and with which numbers they start. */
#include "model/adapter.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/pattern_list.h"
#include "base/rng.h"

static const char *last_part(const char *module)
{
    const char *dot = strrchr(module, '.');
    return dot ? dot + 1 : module;
}

/* The layers a text of targets chooses: patterns, "all-linear" (but the output matrix). */
struct targets {
    wn_pattern_list list;
    bool all;
};

static bool matches(struct targets *t, const wn_model *m, const wn_linear *l)
{
    return t->all ? l != &m->output : wn_patterns_match(&t->list, l->module);
}

static wn_err no_such_layer(wn_model *m, const char *kind, const char *target)
{
    char known[256] = "";
    wn_linear *l;
    size_t first = m->encoder.L * WN_LAYER_LINEARS;
    for (size_t i = first, n = 0; (l = wn_model_linear(m, i)); i++) {
        const wn_layer *layer = wn_model_layer_of(m, i);
        if (l->N && (!layer || layer == m->stack.layer) && n < sizeof known)
            n += (size_t)snprintf(known + n, sizeof known - n, "%s%s", n ? ", " : "",
                                  last_part(l->module));
    }
    return wn_fail(WN_EARG, "%s target \"%s\": no such linear layer (the model has %s)", kind,
                   target, known);
}

/* Every name must fit some module: a misspelt one would silently train less. text NULL: nothing. */
static wn_err open_targets(struct targets *t, wn_model *m, const char *kind, const char *text)
{
    wn_linear *l;
    *t = (struct targets){.all = text && strcmp(text, "all-linear") == 0};
    if (!text || t->all)
        return WN_OK;
    WN_TRY(wn_patterns_open(&t->list, "targets", text, false));
    for (size_t i = 0; (l = wn_model_linear(m, i)); i++)
        if (l->N)
            wn_patterns_match(&t->list, l->module);
    const char *unused = wn_patterns_unused(&t->list);
    wn_err e = unused ? no_such_layer(m, kind, unused) : WN_OK;
    if (e)
        wn_patterns_close(&t->list);
    return e;
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

/* A kaiming-uniform with a = sqrt(5), as PEFT; B stays zero. */
static wn_err start_lora(wn_model *m, wn_linear *l, const wn_lora_opts *o)
{
    WN_TRY(wn_put_lora(m, l, o->rank, o->alpha, o->rslora));
    l->dropout = o->dropout;
    wn_param *a = &m->params.p[l->lora_a];
    double bound = 1 / sqrt((double)l->K);
    for (size_t e = 0; e < o->rank * l->K; e++)
        a->value[e] =
            (float)(bound * (2 * wn_rng_uniform(o->seed, WN_STREAM_LORA, l->number << 32 | e) - 1));
    a->trainable = m->params.p[l->lora_b].trainable = true;
    return WN_OK;
}

/* Biases that are trained and saved beside the factors: of the layers that have some, or all. */
static wn_err train_biases(wn_model *m, const char *which)
{
    static const char end[] = ".bias";
    wn_linear *l;
    bool all = which && strcmp(which, "all") == 0;
    if (!which || strcmp(which, "none") == 0)
        return WN_OK;
    if (!all && strcmp(which, "lora-only") != 0)
        return wn_fail(WN_EARG, "lora-bias \"%s\": expected none, lora-only or all", which);
    for (size_t i = 0; (l = wn_model_linear(m, i)); i++)
        if (l->N && l->r && l->bias != WN_NO_PARAM)
            m->params.p[l->bias].adapter = true;
    for (size_t i = 0; i < m->params.n; i++) {
        wn_param *p = &m->params.p[i];
        size_t n = strlen(p->name);
        if (all && p->cols == 1 && n > sizeof end && strcmp(p->name + n + 1 - sizeof end, end) == 0)
            p->adapter = true;
        p->trainable |= p->adapter;
    }
    return WN_OK;
}

void wn_lora_defaults(size_t *rank, double *alpha)
{
    *rank = *rank ? *rank : 8;
    *alpha = *alpha > 0 ? *alpha : 2.0 * (double)*rank;
}

wn_err wn_model_add_lora(wn_model *m, const wn_lora_opts *given)
{
    struct targets t;
    wn_linear *l;
    wn_lora_opts full = *given, *o = &full;
    wn_lora_defaults(&full.rank, &full.alpha);
    if (o->rank > 4096)
        return wn_fail(WN_EARG, "LoRA rank %zu: expected 1 to 4096", o->rank);
    if (!(o->dropout >= 0 && o->dropout < 1))
        return wn_fail(WN_EARG, "dropout %g: expected 0 or more, below 1", o->dropout);
    WN_TRY(open_targets(&t, m, "LoRA", o->targets ? o->targets : "all-linear"));
    wn_err e = freeze(m);
    for (size_t i = 0; !e && (l = wn_model_linear(m, i)); i++)
        if (l->N && matches(&t, m, l))
            e = start_lora(m, l, o);
    wn_patterns_close(&t.list);
    return e ? e : train_biases(m, o->bias);
}

void wn_model_take_off(wn_model *m)
{
    wn_linear *l;
    for (size_t i = 0; (l = wn_model_linear(m, i)); i++) {
        l->lora_a = l->lora_b = l->ia3 = WN_NO_PARAM;
        l->r = 0;
        l->dropout = 0;
        l->ia3_in = false;
    }
    for (size_t i = 0; i < m->params.n; i++)
        m->params.p[i].trainable = false;
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

/* Whether layer i gets a vector, and whether it multiplies the input. */
static bool gets_ia3(bool *in, wn_model *m, size_t i, const wn_ia3_opts *o, struct targets *t,
                     struct targets *first)
{
    const wn_linear *l = wn_model_linear(m, i);
    const wn_layer *layer = wn_model_layer_of(m, i);
    if (!l->N)
        return false;
    *in = o->feedforward ? matches(first, m, l) : layer && l == &layer->down;
    return o->targets ? matches(t, m, l) : layer && is_usual(layer, (int)(i % WN_LAYER_LINEARS));
}

static wn_err add_ia3(wn_model *m, const wn_ia3_opts *o, struct targets *t, struct targets *first)
{
    wn_linear *l;
    bool in;
    for (size_t i = 0; (l = wn_model_linear(m, i)); i++)
        if (l->N && !gets_ia3(&in, m, i, o, t, first) && o->feedforward && in)
            return wn_fail(WN_EARG, "IA3 feed-forward target %s: expected one of the targets",
                           l->module);
    WN_TRY(freeze(m));
    for (size_t i = 0; (l = wn_model_linear(m, i)); i++) {
        if (!gets_ia3(&in, m, i, o, t, first))
            continue;
        WN_TRY(wn_put_ia3(m, l, in));
        m->params.p[l->ia3].trainable = true;
    }
    return WN_OK;
}

wn_err wn_model_add_ia3(wn_model *m, const wn_ia3_opts *o)
{
    struct targets t, first;
    WN_TRY(open_targets(&t, m, "IA3", o->targets));
    wn_err e = open_targets(&first, m, "IA3 feed-forward", o->feedforward);
    if (!e)
        e = add_ia3(m, o, &t, &first);
    wn_patterns_close(&t.list);
    wn_patterns_close(&first.list);
    return e;
}

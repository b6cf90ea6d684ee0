/* From files to layers: the pieces every family's page is written in. Matrices are read, checked
 * for NaN and packed in parallel, some rows at a time, so no second copy of a model is ever in
 * memory. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/par.h"
#include "model/internal.h"

/* ---- config
 * ---------------------------------------------------------------------------------------- */

wn_err wn_config_size(size_t *out, const wn_model *m, const char *key, size_t fallback,
                      bool required)
{
    uint64_t v = fallback;
    json_t *found = json_object_get(m->files.config, key);
    if (json_is_null(found) && !required) {
        *out = fallback;
        return WN_OK;
    }
    WN_TRY(wn_json_get_u64(&v, m->files.config, key, required, m->files.place));
    if (v > 1u << 24 || (required && v == 0))
        return wn_fail(WN_EFORMAT, "%s: %s: expected a size, found %llu", m->files.place, key,
                       (unsigned long long)v);
    *out = (size_t)v;
    return WN_OK;
}

wn_err wn_config_real(double *out, const wn_model *m, const char *key, double fallback)
{
    *out = fallback;
    if (json_is_null(json_object_get(m->files.config, key)))
        return WN_OK;
    return wn_json_get_number(out, m->files.config, key, false, m->files.place);
}

wn_err wn_config_flag(bool *out, const wn_model *m, const char *key, bool fallback)
{
    *out = fallback;
    if (json_is_null(json_object_get(m->files.config, key)))
        return WN_OK;
    return wn_json_get_bool(out, m->files.config, key, false, m->files.place);
}

const char *wn_config_text(const wn_model *m, const char *key, const char *fallback)
{
    const char *s = json_string_value(json_object_get(m->files.config, key));
    return s ? s : fallback;
}

wn_err wn_config_act(wn_act *out, const wn_model *m, const char *key)
{
    static const struct {
        const char *name;
        wn_act act;
    } known[] = {{"silu", WN_ACT_SILU},
                 {"swish", WN_ACT_SILU},
                 {"gelu", WN_ACT_GELU},
                 {"gelu_new", WN_ACT_GELU_TANH},
                 {"gelu_pytorch_tanh", WN_ACT_GELU_TANH},
                 {"gelu_fast", WN_ACT_GELU_TANH},
                 {"relu", WN_ACT_RELU}};
    const char *name = wn_config_text(m, key, "");
    for (size_t i = 0; i < sizeof known / sizeof *known; i++)
        if (strcmp(known[i].name, name) == 0) {
            *out = known[i].act;
            return WN_OK;
        }
    return wn_fail(WN_EFORMAT, "%s: %s: activation \"%s\" is not supported", m->files.place, key,
                   name);
}

/* ---- matrices
 * ------------------------------------------------------------------------------------- */

enum { PACK_ROWS = 64 }; /* a multiple of WN_NR */

struct pack_job {
    const wn_weights *files;
    const wn_tensor *tensor;
    wn_mat *mat; /* NULL: only check or keep */
    float *keep; /* the master, NULL: none */
    size_t rows, cols;
    wn_row_order order;
};

static wn_err pack_rows(void *ctx, size_t i, int thread)
{
    (void)thread;
    struct pack_job *j = ctx;
    size_t first = i * PACK_ROWS, n = j->rows - first < PACK_ROWS ? j->rows - first : PACK_ROWS;
    float *rows = j->keep ? j->keep + first * j->cols : wn_malloc(n * j->cols * sizeof *rows);
    if (!rows)
        return WN_ENOMEM;
    wn_err e = wn_weights_rows(rows, j->files, j->tensor, first, n, j->order);
    if (!e && j->mat)
        wn_mat_pack(j->mat, rows, first, n);
    if (!j->keep)
        wn_free(rows);
    return e;
}

static wn_err pack(const wn_model *m, const wn_tensor *t, wn_mat *mat, float *keep, size_t rows,
                   size_t cols, wn_row_order order)
{
    struct pack_job j = {&m->files, t, mat, keep, rows, cols, order};
    return wn_par_for((rows + PACK_ROWS - 1) / PACK_ROWS, pack_rows, &j);
}

/* Where int8 costs most: values, and the way out of the feed-forward part. On MiniLM the least
 * cosine to f32 is .9981 (of 184 vectors) with everything int8, .9993 (of 600) with these in bf16.
 */
static bool sensitive(const wn_model *m, const wn_linear *l)
{
    const wn_stack *stacks[] = {&m->encoder, &m->stack};
    for (int s = 0; s < 2; s++)
        for (size_t i = 0; i < stacks[s]->L; i++) {
            const wn_layer *y = &stacks[s]->layer[i];
            if (l == &y->qkv[2] || l == &y->cross_v || l == &y->down)
                return true;
        }
    return false;
}

/* At int8 the output matrix (l NULL) stays bf16 too: it is multiplied at supervised positions only,
 * and losses are made of nothing else. */
static wn_mat_kind kind_of(const wn_model *m, const wn_linear *l, size_t K)
{
    wn_precision p = m->facts.precision;
    if (m->base != WN_BASE_AUTO)
        return m->base == WN_BASE_Q4 && l ? WN_MAT_Q4 : WN_MAT_Q8;
    if (p == WN_PRECISION_INT8 && l && K <= WN_INT8_K && !sensitive(m, l))
        return WN_MAT_INT8;
    return p == WN_PRECISION_F32 ? WN_MAT_F32 : WN_MAT_BF16;
}

static wn_err mat_new(const wn_model *m, wn_mat *mat, size_t N, size_t K, wn_mat_kind kind)
{
    bool f32 = m->facts.precision == WN_PRECISION_F32;
    *mat = (wn_mat){.N = N, .K = K, .kind = kind, .f32 = f32};
    mat->panel = wn_malloc(wn_mat_bytes(kind, N, K));
    return mat->panel ? WN_OK : WN_ENOMEM;
}

struct repack_job {
    wn_mat *mat;
    const float *value;
    bool transposed;
};

static wn_err repack_rows(void *ctx, size_t i, int thread)
{
    (void)thread;
    struct repack_job *j = ctx;
    size_t first = i * PACK_ROWS, left = j->mat->N - first, n = left < PACK_ROWS ? left : PACK_ROWS,
           K = j->mat->K;
    if (!j->transposed) {
        wn_mat_pack(j->mat, j->value + first * K, first, n);
        return WN_OK;
    }
    float *rows = wn_malloc(n * K * sizeof *rows);
    if (!rows)
        return WN_ENOMEM;
    for (size_t k = 0; k < K; k++)
        for (size_t r = 0; r < n; r++)
            rows[r * K + k] = j->value[k * j->mat->N + first + r];
    wn_mat_pack(j->mat, rows, first, n);
    wn_free(rows);
    return WN_OK;
}

static wn_err repack(wn_mat *mat, const float *value, bool transposed)
{
    struct repack_job j = {mat, value, transposed};
    return wn_par_for((mat->N + PACK_ROWS - 1) / PACK_ROWS, repack_rows, &j);
}

void wn_repack(wn_mat *mat, const float *value, bool transposed)
{
    WN_ASSERT(repack(mat, value, transposed) == WN_OK); /* a few rows of scratch */
}

/* A matrix whose parameter is [K, N]: read whole, then packed by its columns. GGUF files hold it
 * [N, K]. */
static wn_err pack_transposed(const wn_model *m, const wn_tensor *t, wn_mat *mat, float *keep)
{
    size_t N = mat->N, K = mat->K;
    if (m->files.is_gguf && !keep)
        return pack(m, t, mat, NULL, N, K, (wn_row_order){0});
    float *all = keep && !m->files.is_gguf ? keep : wn_malloc(N * K * sizeof *all);
    if (!all)
        return WN_ENOMEM;
    wn_err e = m->files.is_gguf ? pack(m, t, mat, all, N, K, (wn_row_order){0})
                                : pack(m, t, NULL, all, K, N, (wn_row_order){0});
    if (!e && !m->files.is_gguf)
        e = repack(mat, all, true);
    for (size_t n = 0; !e && m->files.is_gguf && n < N; n++)
        for (size_t k = 0; k < K; k++)
            keep[k * N + n] = all[n * K + k];
    if (all != keep)
        wn_free(all);
    return e;
}

/* A vector parameter (norm or bias): always has a value. */
static wn_err vector(wn_model *m, int *index, const char *name, size_t n, wn_row_order order,
                     float offset)
{
    const wn_tensor *t;
    size_t i;
    bool added = m->files.is_gguf; /* by the converter */
    WN_TRY(wn_weights_get(&t, &m->files, name, n, 0));
    WN_TRY(wn_params_add(&m->params, &i, name, n, 1, false));
    float *value;
    WN_NEW(value, n);
    m->params.p[i].value = value;
    m->params.p[i].offset = offset;
    *index = (int)i;
    WN_TRY(wn_weights_rows(value, &m->files, t, 0, 1, order));
    for (size_t k = 0; offset != 0 && !added && k < n; k++)
        value[k] += offset;
    return WN_OK;
}

static wn_err pack_linear(const wn_model *m, const wn_tensor *t, wn_linear *l, float *master,
                          const wn_linear_form *form)
{
    WN_TRY(mat_new(m, &l->mat, l->N, l->K, kind_of(m, l, l->K)));
    return l->transposed ? pack_transposed(m, t, &l->mat, master)
                         : pack(m, t, &l->mat, master, l->N, l->K, form->order);
}

/* Without weights; the module's name is the first n characters. */
static wn_err new_linear(wn_model *m, wn_linear *l, const char *module, size_t n, size_t N,
                         size_t K)
{
    *l = (wn_linear){.N = N,
                     .K = K,
                     .weight = WN_NO_PARAM,
                     .bias = WN_NO_PARAM,
                     .lora_a = WN_NO_PARAM,
                     .lora_b = WN_NO_PARAM,
                     .ia3 = WN_NO_PARAM,
                     .number = m->n_linear++};
    l->module = wn_strndup(module, n);
    return l->module ? WN_OK : WN_ENOMEM;
}

wn_err wn_build_linear(wn_model *m, wn_linear *l, const char *module, size_t N, size_t K,
                       const wn_linear_form *form)
{
    char name[256];
    bool turned = form->transposed;
    WN_TRY(new_linear(m, l, module, strlen(module), N, K));
    l->transposed = turned;
    l->order = form->order;
    const wn_tensor *t;
    size_t i;
    snprintf(name, sizeof name, "%s.weight", module);
    bool stored = turned && !m->files.is_gguf;
    WN_TRY(wn_weights_get(&t, &m->files, name, stored ? K : N, stored ? N : K));
    if (!m->facts.dtype)
        m->facts.dtype = wn_dtype_name(t->dtype);
    WN_TRY(wn_params_add(&m->params, &i, name, turned ? K : N, turned ? N : K, true));
    l->weight = (int)i;
    if (m->train_full)
        WN_NEW(m->params.p[i].value, N * K);
    m->params.p[i].bf16 = m->facts.precision == WN_PRECISION_BF16;
    if (!m->unpacked)
        WN_TRY(pack_linear(m, t, l, m->params.p[i].value, form));
    if (!form->bias)
        return WN_OK;
    snprintf(name, sizeof name, "%s.bias", module);
    return vector(m, &l->bias, name, N, form->order, 0);
}

wn_err wn_build_idle(wn_model *m, wn_linear *l, const char *module, size_t N, size_t K)
{
    char name[256];
    size_t i;
    const wn_tensor *t;
    WN_TRY(new_linear(m, l, module, strlen(module), N, K));
    snprintf(name, sizeof name, "%s.weight", module);
    if (m->files.made_up || !wn_weights_find(&m->files, name))
        return WN_OK;
    WN_TRY(wn_weights_get(&t, &m->files, name, N, K));
    WN_TRY(wn_params_add(&m->params, &i, name, N, K, true));
    l->weight = (int)i;
    snprintf(name, sizeof name, "%s.bias", module);
    return vector(m, &l->bias, name, N, (wn_row_order){0}, 0);
}

wn_err wn_param_read(float *out, const wn_model *m, const wn_param *p)
{
    size_t n = p->rows * p->cols;
    const wn_linear *l = NULL, *found = NULL;
    for (size_t k = 0; p->value && k < n; k++)
        out[k] = p->value[k] - p->offset;
    if (p->value)
        return WN_OK;
    const wn_tensor *t = wn_weights_find(&m->files, p->name);
    WN_ASSERT(t);
    for (size_t i = 0; (l = wn_model_linear((wn_model *)m, i)) && !found; i++)
        if (l->N && l->weight == (int)(p - m->params.p))
            found = l;
    if (!found || !found->transposed || !m->files.is_gguf)
        return pack(m, t, NULL, out, p->rows, p->cols, found ? found->order : (wn_row_order){0});
    float *turned = wn_malloc(n * sizeof *turned);
    if (!turned)
        return WN_ENOMEM;
    wn_err e = pack(m, t, NULL, turned, p->cols, p->rows, (wn_row_order){0});
    for (size_t r = 0; !e && r < p->rows; r++)
        for (size_t c = 0; c < p->cols; c++)
            out[r * p->cols + c] = turned[c * p->rows + r];
    wn_free(turned);
    return e;
}

wn_norm wn_no_norm(void)
{
    return (wn_norm){.gain = WN_NO_PARAM, .bias = WN_NO_PARAM};
}

wn_err wn_build_norm(wn_model *m, wn_norm *n, const char *module, size_t D,
                     const wn_norm_form *form)
{
    char name[256];
    *n = (wn_norm){.gain = WN_NO_PARAM, .bias = WN_NO_PARAM, .eps = form->eps, .rms = form->rms};
    snprintf(name, sizeof name, "%s.weight", module);
    WN_TRY(vector(m, &n->gain, name, D, (wn_row_order){0}, form->gain_offset));
    if (!form->bias)
        return WN_OK;
    snprintf(name, sizeof name, "%s.bias", module);
    return vector(m, &n->bias, name, D, (wn_row_order){0}, 0);
}

wn_err wn_build_table(wn_model *m, wn_table *t, const char *name, size_t rows, size_t D)
{
    size_t i;
    WN_TRY(wn_weights_get(&t->tensor, &m->files, name, rows, D));
    WN_TRY(wn_params_add(&m->params, &i, name, rows, D, true));
    m->params.p[i].use = WN_PARAM_LOOKUP;
    t->param = (int)i;
    t->rows = rows;
    if (!m->train_full)
        return WN_OK; /* rows are read, and checked for NaN, as they are looked up */
    WN_NEW(m->params.p[i].value, rows * D);
    return pack(m, t->tensor, NULL, m->params.p[i].value, rows, D, (wn_row_order){0});
}

wn_err wn_build_head(wn_model *m, const char *name, bool tied)
{
    size_t V = m->facts.vocab, D = m->project_out.N ? m->project_out.N : m->facts.width,
           i = (size_t)m->token.param;
    const wn_tensor *t = m->token.tensor;
    wn_linear *l = &m->output;
    if (m->states_only ||
        ((m->headless || m->unpacked) && !tied && !wn_weights_find(&m->files, name)))
        return WN_OK;
    if (!tied) {
        WN_TRY(wn_weights_get(&t, &m->files, name, V, D));
        WN_TRY(wn_params_add(&m->params, &i, name, V, D, true));
        if (m->train_full)
            WN_NEW(m->params.p[i].value, V * D);
    }
    WN_TRY(new_linear(m, l, name, strlen(name) - strlen(".weight"), V, D));
    l->weight = (int)i;
    m->params.p[i].bf16 = m->facts.precision == WN_PRECISION_BF16;
    m->head = (wn_head){.norm = m->final_norm,
                        .project = m->project_out.N ? &m->project_out : NULL,
                        .output = l,
                        .V = V,
                        .D = m->facts.width,
                        .scale = 1,
                        .softcap = m->head.softcap};
    if (m->unpacked)
        return WN_OK;
    WN_TRY(mat_new(m, &l->mat, V, D, kind_of(m, NULL, D)));
    return pack(m, t, &l->mat, m->params.p[i].value, V, D, (wn_row_order){0});
}

wn_err wn_layer_new(const wn_model *m, wn_stack *s)
{
    size_t tensors = m->files.made_up   ? SIZE_MAX
                     : m->files.is_gguf ? wn_gguf_count(m->files.gguf)
                                        : wn_safetensors_count(m->files.st);
    if (s->L > tensors)
        return wn_fail(WN_EFORMAT, "%s: %zu layers: the file has %zu tensors", m->files.place, s->L,
                       tensors);
    WN_NEW(s->layer, s->L);
    for (size_t i = 0; i < s->L; i++) {
        wn_layer *l = &s->layer[i];
        l->attn_in = l->attn_out = l->mlp_in = l->mlp_out = l->q_norm = l->k_norm = l->cross_in =
            wn_no_norm();
        l->rope = -1;
    }
    return WN_OK;
}

wn_linear *wn_model_linear(wn_model *m, size_t i)
{
    wn_linear *alone[] = {&m->project_in, &m->project_out, &m->output, &m->pooler};
    const wn_layer *layer = wn_model_layer_of(m, i);
    size_t behind = i - (m->encoder.L + m->stack.L) * WN_LAYER_LINEARS;
    if (layer)
        return wn_layer_linear((wn_layer *)layer, (int)(i % WN_LAYER_LINEARS));
    return behind < sizeof alone / sizeof *alone ? alone[behind] : NULL;
}

const wn_layer *wn_model_layer_of(const wn_model *m, size_t i)
{
    size_t layer = i / WN_LAYER_LINEARS, L = m->encoder.L;
    if (layer >= L + m->stack.L)
        return NULL;
    return layer < L ? &m->encoder.layer[layer] : &m->stack.layer[layer - L];
}

struct rope_job {
    float *table;
    const double *freq;
    size_t rot, positions;
    double scale;
};

enum { ROPE_ROWS = 256 };

void wn_rope_angle(float *out, size_t half, int32_t position, double freq, double scale)
{
    /* the reference multiplies in float32; the angle's rounding is part of the model */
    float angle = (float)position * (float)freq;
    out[0] = (float)(cos((double)angle) * scale);
    out[half] = (float)(sin((double)angle) * scale);
}

static void rope_rows(void *ctx, size_t i, int thread)
{
    (void)thread;
    const struct rope_job *j = ctx;
    size_t rot = j->rot, end = (i + 1) * ROPE_ROWS;
    for (size_t p = i * ROPE_ROWS; p < end && p < j->positions; p++)
        for (size_t k = 0; k < rot / 2; k++)
            wn_rope_angle(j->table + p * rot + k, rot / 2, (int32_t)p, j->freq[k], j->scale);
}

wn_err wn_build_rope(float **table, const double *freq, size_t rot, size_t positions, double scale)
{
    WN_NEW(*table, positions * rot);
    struct rope_job j = {*table, freq, rot, positions, scale};
    wn_par_do((positions + ROPE_ROWS - 1) / ROPE_ROWS, rope_rows, &j);
    return WN_OK;
}

/* Decoder-only models, every family a row of one table: names of the weights, and what is peculiar
 * to it. The loop they share is stack.c. To add one: a row here, its model_type in model.c, a
 * golden in tests/goldens. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "model/internal.h"
#include "model/rope.h"

enum {
    LAYER_NORM = 1,  /* with bias; else root mean square norms */
    GAIN_LESS_1 = 2, /* files hold a norm's gain less 1 */
    CONV1D = 4,      /* weights are stored [inputs, outputs] */
    EMBED_SCALE = 8, /* embeddings times sqrt(width) */
    QKV_MIXED = 16,  /* the fused matrix holds q, k, v of head 0, then of head 1, ... */
    ALIBI = 32,
    UNSCALED = 64, /* scores are not divided by sqrt(head width) */
    NO_ROPE = 128,
    QK_WHOLE = 256, /* norms of queries and keys over all heads together */
    ATTN_BIAS = 512,
    OUT_BIAS = 1024,
    MLP_BIAS = 2048,  /* always there */
    TIED = 4096,      /* where config.json does not say */
    WINDOWED = 8192,  /* sliding_window is obeyed */
    ANY_BIAS = 16384, /* attention_bias is obeyed */
    MLP_ANY = 32768   /* mlp_bias is obeyed */
};

typedef struct row {
    const char *type, *layers; /* model_type; prefix of the layers' names */
    const char *embed, *position, *embed_norm;
    const char *attn_in, *attn_out, *mlp_in, *mlp_out;
    const char *q, *k, *v; /* k NULL: q is the fused matrix */
    const char *q_norm, *k_norm, *out;
    const char *gate, *up, *down; /* up NULL: gate is gate|up; gate NULL: not gated */
    const char *final, *head;
    unsigned flags;
    /* where config.json does not say */
    wn_act act;
    double theta, eps, cap, last_cap; /* 0: 10000, 1e-6 or 1e-5 of layer norms, none, none */
    size_t window;
    wn_err (*peculiar)(wn_model *m); /* after the config was read, before weights */
} row;

#define LLAMA(kind)                                                                                \
    .type = kind, .layers = "model.layers", .embed = "model.embed_tokens.weight",                  \
    .out = "self_attn.o_proj", .down = "mlp.down_proj", .final = "model.norm",                     \
    .head = "lm_head.weight"
#define LLAMA_NORMS .attn_in = "input_layernorm", .mlp_in = "post_attention_layernorm"
#define LLAMA_QKV   .q = "self_attn.q_proj", .k = "self_attn.k_proj", .v = "self_attn.v_proj"
#define LLAMA_GATE  .gate = "mlp.gate_proj", .up = "mlp.up_proj"
#define QK_NORMS    .q_norm = "self_attn.q_norm", .k_norm = "self_attn.k_norm"

/* Which layers see a window of keys, where config.json has no layer_types. */
static bool is_sliding(const wn_model *m, const char *type, size_t i, size_t every, size_t from)
{
    const json_t *kinds = json_object_get(m->files.config, "layer_types");
    if (json_is_array(kinds) && strcmp(type, "mistral") != 0 && strcmp(type, "phi3") != 0) {
        const char *kind = json_string_value(json_array_get(kinds, i));
        return kind && strcmp(kind, "sliding_attention") == 0;
    }
    if (strcmp(type, "gemma2") == 0)
        return i % 2 == 0;
    if (strcmp(type, "gemma3_text") == 0)
        return every && (i + 1) % every != 0;
    return i >= from;
}

static wn_err windows(wn_model *m, const char *type, size_t window)
{
    size_t every, from;
    bool use;
    bool smollm = strcmp(type, "smollm3") == 0, qwen = strncmp(type, "qwen", 4) == 0;
    if (json_object_get(m->files.config, "sliding_window"))
        WN_TRY(wn_config_size(&window, m, "sliding_window", 0, false));
    WN_TRY(wn_config_size(&every, m, "sliding_window_pattern", 6, false));
    WN_TRY(wn_config_size(&from, m, "max_window_layers", 28, false));
    WN_TRY(wn_config_flag(&use, m, "use_sliding_window", !qwen && !smollm));
    for (size_t i = 0; i < m->stack.L; i++)
        m->stack.layer[i].window =
            window && use && is_sliding(m, type, i, every, qwen ? from : 0) ? window : 0;
    return WN_OK;
}

static wn_err gemma(wn_model *m)
{
    double query;
    wn_stack *s = &m->stack;
    bool first = strcmp(m->facts.family, "gemma") == 0;
    const char *key =
        wn_config_text(m, "hidden_activation", NULL) || !first ? "hidden_activation" : "hidden_act";
    s->act = WN_ACT_GELU_TANH;
    /* the first models' files say "gelu" and mean the other */
    if (wn_config_text(m, key, NULL) && !(first && !strcmp(wn_config_text(m, key, ""), "gelu")))
        WN_TRY(wn_config_act(&s->act, m, key));
    WN_TRY(wn_config_real(&query, m, "query_pre_attn_scalar", first ? (double)s->d : 256));
    s->scale = (float)(1 / sqrt(query));
    return WN_OK;
}

/* EmbeddingGemma: every token sees all others, or a window half to each side. */
static wn_err gemma3(wn_model *m)
{
    wn_stack *s = &m->stack;
    bool both;
    WN_TRY(gemma(m));
    WN_TRY(wn_config_flag(&both, m, "use_bidirectional_attention", false));
    s->causal = !both;
    for (size_t i = 0; both && i < s->L; i++)
        if (s->layer[i].window)
            s->layer[i].window = s->layer[i].window / 2 + 1;
    return WN_OK;
}

/* Layers without rotary positions: 0 in no_rope_layers, or every n-th. */
static wn_err smollm3(wn_model *m)
{
    const json_t *kinds = json_object_get(m->files.config, "no_rope_layers");
    size_t every;
    WN_TRY(wn_config_size(&every, m, "no_rope_layer_interval", 4, false));
    for (size_t i = 0; i < m->stack.L; i++) {
        bool rotated = json_is_array(kinds) ? json_integer_value(json_array_get(kinds, i)) != 0
                                            : (i + 1) % every != 0;
        m->stack.layer[i].rope = rotated ? 0 : -1;
        if (rotated && !json_object_get(m->files.config, "layer_types"))
            m->stack.layer[i].window = 0;
    }
    return WN_OK;
}

/* attention_layers, or attention_types [[[kinds...], repeats]...] unrolled: global or local by
 * turns. */
static wn_err gpt_neo(wn_model *m)
{
    const json_t *layers = json_object_get(m->files.config, "attention_layers");
    const json_t *types = json_object_get(m->files.config, "attention_types");
    size_t window, at = 0;
    WN_TRY(wn_config_size(&window, m, "window_size", 256, false));
    for (size_t i = 0; i < m->stack.L && json_is_array(layers); i++)
        if (strcmp(json_string_value(json_array_get(layers, i))
                       ? json_string_value(json_array_get(layers, i))
                       : "",
                   "local") == 0)
            m->stack.layer[i].window = window;
    for (size_t g = 0; !json_is_array(layers) && g < json_array_size(types); g++) {
        const json_t *kinds = json_array_get(json_array_get(types, g), 0);
        json_int_t n = json_integer_value(json_array_get(json_array_get(types, g), 1));
        for (json_int_t r = 0; r < n; r++)
            for (size_t k = 0; k < json_array_size(kinds) && at < m->stack.L; k++, at++) {
                const char *kind = json_string_value(json_array_get(kinds, k));
                m->stack.layer[at].window = kind && strcmp(kind, "local") == 0 ? window : 0;
            }
    }
    return WN_OK;
}

static wn_err gpt_neox(wn_model *m)
{
    return wn_config_flag(&m->stack.parallel, m, "use_parallel_residual", true);
}

static wn_err opt(wn_model *m)
{
    bool before;
    m->position_offset = 2;
    WN_TRY(wn_config_flag(&before, m, "do_layer_norm_before", true));
    m->stack.post_norm = !before;
    return WN_OK;
}

/* OPT 350m: token vectors and output matrix are narrower than the state, with a projection between.
 */
static wn_err projections(wn_model *m, size_t narrow)
{
    size_t D = m->stack.D;
    if (narrow == D)
        return WN_OK;
    WN_TRY(wn_build_linear(m, &m->project_in, "model.decoder.project_in", D, narrow,
                           &(wn_linear_form){0}));
    return wn_build_linear(m, &m->project_out, "model.decoder.project_out", narrow, D,
                           &(wn_linear_form){0});
}

/* Slopes 2^(-8i/n) for the largest power of two n <= H, then every other one of 2n (Press et al.
 * 2021, arXiv 2108.12409). */
static wn_err bloom(wn_model *m)
{
    size_t H = m->stack.H, n = 1;
    WN_TRY(wn_config_flag(&m->stack.normed_residual, m, "apply_residual_connection_post_layernorm",
                          false));
    while (2 * n <= H)
        n *= 2;
    WN_NEW(m->stack.slope, H);
    for (size_t h = 0; h < H; h++)
        m->stack.slope[h] = (float)(h < n ? pow(2, -8.0 * (double)(h + 1) / (double)n)
                                          : pow(2, -4.0 * (double)(2 * (h - n) + 1) / (double)n));
    m->stack.act = WN_ACT_GELU_TANH;
    return WN_OK;
}

static const row table[] = {
    {LLAMA("llama"), LLAMA_NORMS, LLAMA_QKV, LLAMA_GATE, .flags = ANY_BIAS | MLP_ANY},
    {LLAMA("mistral"), LLAMA_NORMS, LLAMA_QKV, LLAMA_GATE, .flags = WINDOWED, .window = 4096},
    {LLAMA("qwen2"), LLAMA_NORMS, LLAMA_QKV, LLAMA_GATE, .flags = ATTN_BIAS | WINDOWED,
     .window = 4096},
    {LLAMA("qwen3"), LLAMA_NORMS, LLAMA_QKV, LLAMA_GATE, QK_NORMS, .flags = ANY_BIAS | WINDOWED,
     .window = 4096},
    {LLAMA("smollm3"), LLAMA_NORMS, LLAMA_QKV, LLAMA_GATE,
     .flags = TIED | ANY_BIAS | MLP_ANY | WINDOWED, .theta = 2e6, .peculiar = smollm3},
    {LLAMA("gemma"), LLAMA_NORMS, LLAMA_QKV, LLAMA_GATE,
     .flags = GAIN_LESS_1 | EMBED_SCALE | TIED | ANY_BIAS, .peculiar = gemma},
    {LLAMA("gemma2"), LLAMA_QKV, LLAMA_GATE, .attn_in = "input_layernorm",
     .attn_out = "post_attention_layernorm", .mlp_in = "pre_feedforward_layernorm",
     .mlp_out = "post_feedforward_layernorm",
     .flags = GAIN_LESS_1 | EMBED_SCALE | TIED | ANY_BIAS | WINDOWED, .cap = 50, .last_cap = 30,
     .window = 4096, .peculiar = gemma},
    {LLAMA("gemma3_text"), LLAMA_QKV, LLAMA_GATE, QK_NORMS, .attn_in = "input_layernorm",
     .attn_out = "post_attention_layernorm", .mlp_in = "pre_feedforward_layernorm",
     .mlp_out = "post_feedforward_layernorm",
     .flags = GAIN_LESS_1 | EMBED_SCALE | TIED | ANY_BIAS | WINDOWED, .theta = 1e6, .window = 4096,
     .peculiar = gemma3},
    {LLAMA("phi3"), LLAMA_NORMS, .q = "self_attn.qkv_proj", .gate = "mlp.gate_up_proj",
     .flags = WINDOWED, .eps = 1e-5},
    {LLAMA("olmo2"), LLAMA_QKV, LLAMA_GATE, QK_NORMS, .attn_out = "post_attention_layernorm",
     .mlp_out = "post_feedforward_layernorm", .flags = QK_WHOLE | ANY_BIAS, .eps = 1e-5},
    {.type = "gpt2",
     .layers = "transformer.h",
     .embed = "transformer.wte.weight",
     .position = "transformer.wpe.weight",
     .attn_in = "ln_1",
     .mlp_in = "ln_2",
     .q = "attn.c_attn",
     .out = "attn.c_proj",
     .up = "mlp.c_fc",
     .down = "mlp.c_proj",
     .final = "transformer.ln_f",
     .head = "lm_head.weight",
     .act = WN_ACT_GELU_TANH,
     .flags = LAYER_NORM | CONV1D | ATTN_BIAS | OUT_BIAS | MLP_BIAS | NO_ROPE | TIED},
    {.type = "gpt_neo",
     .layers = "transformer.h",
     .embed = "transformer.wte.weight",
     .position = "transformer.wpe.weight",
     .attn_in = "ln_1",
     .mlp_in = "ln_2",
     .q = "attn.attention.q_proj",
     .k = "attn.attention.k_proj",
     .v = "attn.attention.v_proj",
     .out = "attn.attention.out_proj",
     .up = "mlp.c_fc",
     .down = "mlp.c_proj",
     .final = "transformer.ln_f",
     .head = "lm_head.weight",
     .act = WN_ACT_GELU_TANH,
     .flags = LAYER_NORM | OUT_BIAS | MLP_BIAS | NO_ROPE | UNSCALED | TIED,
     .peculiar = gpt_neo},
    {.type = "gpt_neox",
     .layers = "gpt_neox.layers",
     .embed = "gpt_neox.embed_in.weight",
     .attn_in = "input_layernorm",
     .mlp_in = "post_attention_layernorm",
     .q = "attention.query_key_value",
     .out = "attention.dense",
     .up = "mlp.dense_h_to_4h",
     .down = "mlp.dense_4h_to_h",
     .final = "gpt_neox.final_layer_norm",
     .head = "embed_out.weight",
     .act = WN_ACT_GELU,
     .flags = LAYER_NORM | ANY_BIAS | MLP_BIAS | QKV_MIXED,
     .peculiar = gpt_neox},
    {.type = "opt",
     .layers = "model.decoder.layers",
     .embed = "model.decoder.embed_tokens.weight",
     .position = "model.decoder.embed_positions.weight",
     .attn_in = "self_attn_layer_norm",
     .mlp_in = "final_layer_norm",
     .q = "self_attn.q_proj",
     .k = "self_attn.k_proj",
     .v = "self_attn.v_proj",
     .out = "self_attn.out_proj",
     .up = "fc1",
     .down = "fc2",
     .final = "model.decoder.final_layer_norm",
     .head = "lm_head.weight",
     .act = WN_ACT_RELU,
     .flags = LAYER_NORM | ATTN_BIAS | OUT_BIAS | MLP_BIAS | NO_ROPE | TIED,
     .peculiar = opt},
    {.type = "bloom",
     .layers = "transformer.h",
     .embed = "transformer.word_embeddings.weight",
     .embed_norm = "transformer.word_embeddings_layernorm",
     .attn_in = "input_layernorm",
     .mlp_in = "post_attention_layernorm",
     .q = "self_attention.query_key_value",
     .out = "self_attention.dense",
     .up = "mlp.dense_h_to_4h",
     .down = "mlp.dense_4h_to_h",
     .final = "transformer.ln_f",
     .head = "lm_head.weight",
     .flags = LAYER_NORM | ATTN_BIAS | OUT_BIAS | MLP_BIAS | QKV_MIXED | NO_ROPE | ALIBI | TIED,
     .peculiar = bloom},
};

bool wn_decoder_knows(const char *model_type)
{
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strcmp(table[i].type, model_type) == 0)
            return true;
    return false;
}

const char *wn_decoder_name(size_t i)
{
    return i < sizeof table / sizeof *table ? table[i].type : NULL;
}

/* ---- config
 * ----------------------------------------------------------------------------------------------------
 */

/* The first of up to three keys that is there: families name the same thing differently. */
static wn_err any_size(size_t *out, const wn_model *m, const char *a, const char *b, const char *c,
                       size_t fallback, bool required)
{
    const char *keys[] = {a, b, c};
    for (int i = 0; i < 3; i++)
        if (keys[i] && json_is_number(json_object_get(m->files.config, keys[i])))
            return wn_config_size(out, m, keys[i], fallback, required);
    *out = fallback;
    return required ? wn_config_size(out, m, a, 0, true) : WN_OK;
}

/* null says none, a missing key the family's own. */
static wn_err soft_cap(double *out, const wn_model *m, const char *key, double absent)
{
    *out = json_object_get(m->files.config, key) ? 0 : absent;
    return wn_config_real(out, m, key, *out);
}

static wn_err read_config(wn_model *m, const row *r, double *eps)
{
    wn_stack *s = &m->stack;
    double cap;
    WN_TRY(any_size(&s->D, m, "hidden_size", "n_embd", "n_embed", 0, true));
    WN_TRY(any_size(&s->L, m, "num_hidden_layers", "n_layer", "num_layers", 0, true));
    WN_TRY(any_size(&s->H, m, "num_attention_heads", "n_head", "num_heads", 0, true));
    WN_TRY(any_size(&s->G, m, "num_key_value_heads", NULL, NULL, s->H, false));
    WN_TRY(any_size(&s->d, m, "head_dim", NULL, NULL, s->D / s->H, false));
    WN_TRY(any_size(&s->F, m, "intermediate_size", "n_inner", "ffn_dim", 4 * s->D, false));
    WN_TRY(wn_config_size(&m->facts.vocab, m, "vocab_size", 0, true));
    WN_TRY(any_size(&m->facts.max_positions, m, "max_position_embeddings", "n_positions",
                    "seq_length", r->flags & ALIBI ? 2048 : 0, !(r->flags & ALIBI)));
    *eps = 1e-5;
    WN_TRY(wn_config_real(eps, m, "layer_norm_epsilon", *eps));
    WN_TRY(wn_config_real(eps, m, "layer_norm_eps", *eps));
    WN_TRY(wn_config_real(eps, m, "rms_norm_eps",
                          r->flags & LAYER_NORM ? *eps
                          : r->eps > 0          ? r->eps
                                                : 1e-6));
    s->act = r->act;
    const char *act =
        wn_config_text(m, "activation_function", NULL) ? "activation_function" : "hidden_act";
    if (wn_config_text(m, act, NULL))
        WN_TRY(wn_config_act(&s->act, m, act));
    if (s->G == 0 || s->H % s->G || s->d == 0 || s->d > 1024)
        return wn_fail(WN_EFORMAT,
                       "%s: %zu heads over %zu key/value heads of width %zu: expected a multiple",
                       m->files.place, s->H, s->G, s->d);
    s->causal = true;
    s->gated = r->gate != NULL;
    s->scale = r->flags & UNSCALED ? 1 : (float)(1 / sqrt((double)s->d));
    s->positions = m->facts.max_positions;
    s->qkv_mixed = r->flags & QKV_MIXED;
    s->qk_whole = r->flags & QK_WHOLE;
    WN_TRY(soft_cap(&cap, m, "final_logit_softcapping", r->last_cap));
    m->head.softcap = (float)cap;
    WN_TRY(soft_cap(&cap, m, "attn_logit_softcapping", r->cap));
    s->softcap = (float)cap;
    m->facts.family = r->type;
    m->facts.shape = WN_SHAPE_DECODER;
    m->facts.width = s->D;
    return WN_OK;
}

static wn_err build_positions(wn_model *m, const row *r)
{
    wn_stack *s = &m->stack;
    wn_rope_rule rule;
    if (r->flags & NO_ROPE)
        return WN_OK;
    WN_TRY(wn_rope_read(&rule, m, "full_attention", r->theta > 0 ? r->theta : 10000));
    WN_TRY(wn_rope_build(m, 0, &rule));
    if (strcmp(r->type, "gemma3_text") != 0)
        return WN_OK;
    /* local layers rotate by a base of their own, without stretching */
    if (json_is_object(json_object_get(json_object_get(m->files.config, "rope_parameters"),
                                       "sliding_attention"))) {
        WN_TRY(wn_rope_read(&rule, m, "sliding_attention", 10000));
    } else {
        WN_TRY(wn_config_real(&rule.theta, m, "rope_local_base_freq", 10000));
        rule.more = NULL;
    }
    WN_TRY(wn_rope_build(m, 1, &rule));
    for (size_t i = 0; i < s->L; i++)
        s->layer[i].rope = s->layer[i].window ? 1 : 0;
    return WN_OK;
}

/* ---- weights
 * ------------------------------------------------------------------------------------------------------
 */

typedef struct builder {
    wn_model *m;
    const row *r;
    size_t layer;
    double eps;
    bool attn_bias, out_bias, mlp_bias;
} builder;

static wn_err norm(builder *b, wn_norm *n, const char *part, size_t width)
{
    char name[160];
    if (!part)
        return WN_OK;
    snprintf(name, sizeof name, "%s.%zu.%s", b->r->layers, b->layer, part);
    bool layer_norm = b->r->flags & LAYER_NORM;
    return wn_build_norm(
        b->m, n, name, width,
        &(wn_norm_form){(float)b->eps, !layer_norm, layer_norm, b->r->flags & GAIN_LESS_1 ? 1 : 0});
}

static wn_err linear(builder *b, wn_linear *l, const char *part, size_t N, size_t K, bool bias,
                     wn_row_order order)
{
    char name[160];
    snprintf(name, sizeof name, "%s.%zu.%s", b->r->layers, b->layer, part);
    return wn_build_linear(
        b->m, l, name, N, K,
        &(wn_linear_form){.bias = bias, .order = order, .transposed = b->r->flags & CONV1D});
}

static wn_err build_layer(builder *b)
{
    const wn_stack *s = &b->m->stack;
    const row *r = b->r;
    wn_layer *l = &s->layer[b->layer];
    size_t q = s->H * s->d, kv = s->G * s->d;
    wn_row_order plain = {0}, heads = {.head = s->d},
                 mixed = {.head = s->qkv_mixed ? s->d : 0, .mixed = true};
    bool post = s->post_norm; /* OPT's first models: the same norms, behind the residual sums */
    WN_TRY(norm(b, post ? &l->attn_out : &l->attn_in, r->attn_in, s->D));
    if (r->k) {
        l->n_qkv = 3;
        WN_TRY(linear(b, &l->qkv[0], r->q, q, s->D, b->attn_bias, heads));
        WN_TRY(linear(b, &l->qkv[1], r->k, kv, s->D, b->attn_bias, heads));
        WN_TRY(linear(b, &l->qkv[2], r->v, kv, s->D, b->attn_bias, plain));
    } else {
        l->n_qkv = 1;
        WN_TRY(linear(b, &l->qkv[0], r->q, q + 2 * kv, s->D, b->attn_bias, mixed));
    }
    WN_TRY(norm(b, &l->q_norm, r->q_norm, s->qk_whole ? q : s->d));
    WN_TRY(norm(b, &l->k_norm, r->k_norm, s->qk_whole ? kv : s->d));
    WN_TRY(linear(b, &l->out, r->out, s->D, q, b->out_bias, plain));
    if (!post)
        WN_TRY(norm(b, &l->attn_out, r->attn_out, s->D));
    WN_TRY(norm(b, post ? &l->mlp_out : &l->mlp_in, r->mlp_in, s->D));
    l->n_up = r->gate && r->up ? 2 : 1;
    const char *first = r->gate ? r->gate : r->up;
    WN_TRY(linear(b, &l->up[0], first, s->gated && !r->up ? 2 * s->F : s->F, s->D, b->mlp_bias,
                  plain));
    if (l->n_up == 2)
        WN_TRY(linear(b, &l->up[1], r->up, s->F, s->D, b->mlp_bias, plain));
    WN_TRY(linear(b, &l->down, r->down, s->D, s->F, b->mlp_bias, plain));
    return post ? WN_OK : norm(b, &l->mlp_out, r->mlp_out, s->D);
}

static wn_err build_rest(builder *b, bool tied)
{
    wn_model *m = b->m;
    const row *r = b->r;
    bool layer_norm = r->flags & LAYER_NORM;
    wn_norm_form form = {(float)b->eps, !layer_norm, layer_norm, r->flags & GAIN_LESS_1 ? 1 : 0};
    if (!m->stack.post_norm)
        WN_TRY(wn_build_norm(m, &m->final_norm, r->final, m->stack.D, &form));
    /* transformers 5 writes GPT-NeoX's embed_out as lm_head */
    const char *head = wn_weights_find(&m->files, r->head) ? r->head : "lm_head.weight";
    return wn_build_head(m, head, tied);
}

/* A fine-tuned checkpoint may hold the stack alone, without the prefix of the model with a head. */
static void find_prefix(wn_model *m, const row *r)
{
    const char *dot = strchr(r->embed, '.');
    if (!wn_weights_find(&m->files, r->embed) && dot)
        m->files.skip = (size_t)(dot - r->embed) + 1;
    if (!wn_weights_find(&m->files, r->embed))
        m->files.skip = 0;
}

wn_err wn_build_decoder(wn_model *m)
{
    const char *type = wn_config_text(m, "model_type", "");
    const row *r = table;
    while (strcmp(r->type, type) != 0)
        r++;
    builder b = {.m = m, .r = r};
    bool tied;
    size_t narrow;
    wn_stack *s = &m->stack;
    WN_TRY(read_config(m, r, &b.eps));
    b.attn_bias = r->flags & ATTN_BIAS;
    b.out_bias = r->flags & OUT_BIAS;
    b.mlp_bias = r->flags & MLP_BIAS;
    if (r->flags & ANY_BIAS) {
        WN_TRY(wn_config_flag(&b.attn_bias, m, "attention_bias", r->flags & LAYER_NORM));
        b.out_bias = b.attn_bias;
    }
    if (r->flags & MLP_ANY)
        WN_TRY(wn_config_flag(&b.mlp_bias, m, "mlp_bias", false));
    WN_TRY(wn_config_flag(&tied, m, "tie_word_embeddings", r->flags & TIED));
    WN_TRY(wn_layer_new(m, &m->stack));
    for (size_t i = 0; i < s->L; i++)
        s->layer[i].rope = r->flags & NO_ROPE ? -1 : 0;
    if (r->flags & WINDOWED)
        WN_TRY(windows(m, type, r->window));
    if (r->peculiar)
        WN_TRY(r->peculiar(m));
    find_prefix(m, r);
    WN_TRY(wn_config_size(&narrow, m, "word_embed_proj_dim", s->D, false));
    WN_TRY(wn_build_table(m, &m->token, r->embed, m->facts.vocab, narrow));
    WN_TRY(projections(m, narrow));
    if (r->flags & EMBED_SCALE)
        m->embed_scale = sqrtf((float)s->D);
    if (r->position)
        WN_TRY(
            wn_build_table(m, &m->position, r->position, s->positions + m->position_offset, s->D));
    if (r->embed_norm)
        WN_TRY(wn_build_norm(m, &m->embed_norm, r->embed_norm, s->D,
                             &(wn_norm_form){(float)b.eps, false, true, 0}));
    for (b.layer = 0; b.layer < s->L; b.layer++)
        WN_TRY(build_layer(&b));
    WN_TRY(build_positions(m, r)); /* large: only for a shape that the weights have */
    return build_rest(&b, tied);
}

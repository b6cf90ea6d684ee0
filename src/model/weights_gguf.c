/* What a GGUF file does not say, its architecture's name stands for: activations, which layers see
 * a window, where rotation is left out. llama.cpp has these in its code; here they are in the table
 * and in the functions behind it. Sizes that the tensors show are taken from them. */
#include "model/weights_gguf.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

enum {
    PERMUTED = 1,   /* rows of queries and keys */
    SPLIT_QKV = 2,  /* rows of the fused matrix */
    LAYER_NORM = 4, /* its epsilon's key */
    UNROTATED = 8
};

typedef const char *pair[2];

/* Names of modules, without .weight and .bias: ours, the file's. Both lists end in NULL. */
struct wn_gguf_arch {
    const char *name, *model_type, *act;
    unsigned flags;
    const pair *whole;
    struct {
        const char *ours, *theirs; /* before and behind a layer's number: "model.layers." "blk." */
        const pair *part;
    } stack[2];
    wn_err (*more)(json_t *c, const wn_gguf *g, const char *arch);
};

/* ---- metadata ---- */

static const char *key_of(char out[128], const char *arch, const char *name)
{
    snprintf(out, 128, "%s.%s", arch, name);
    return out;
}

/* Member `key` of the config from metadata key ARCH.name. */
static wn_err set(json_t *c, const char *key, const wn_gguf *g, const char *arch, const char *name,
                  bool required)
{
    char full[128];
    int64_t whole;
    double real;
    size_t n;
    key_of(full, arch, name);
    if (wn_gguf_array(g, full, &n))
        return wn_fail(WN_EFORMAT, "%s: metadata key %s: expected one number for all layers",
                       wn_gguf_path(g), full);
    if (wn_gguf_i64(g, full, &whole))
        json_object_set_new(c, key, json_integer(whole));
    else if (wn_gguf_f64(g, full, &real))
        json_object_set_new(c, key, json_real(real));
    else if (required)
        return wn_fail(WN_EFORMAT, "%s: metadata key %s is missing", wn_gguf_path(g), full);
    return WN_OK;
}

static bool number(double *out, const wn_gguf *g, const char *arch, const char *name)
{
    char full[128];
    return wn_gguf_f64(g, key_of(full, arch, name), out);
}

static bool has(const wn_gguf *g, const char *tensor)
{
    return wn_gguf_find(g, tensor) != NULL;
}

/* Member `key` from a dim of a tensor that must be there, divided by `by`. */
static wn_err set_dim(json_t *c, const char *key, const wn_gguf *g, const char *tensor, int dim,
                      unsigned by)
{
    const wn_tensor *t = wn_gguf_find(g, tensor);
    if (!t || t->ndim != 2)
        return wn_fail(WN_EFORMAT, "%s: tensor %s is %s", wn_gguf_path(g), tensor,
                       t ? "no matrix" : "missing");
    json_object_set_new(c, key, json_integer((json_int_t)(t->dim[dim] / by)));
    return WN_OK;
}

/* ---- positions ---- */

/* Divisors of the rotation's frequencies: the "longrope" factors of that name. */
static wn_err rope_factors(json_t *rope, const wn_gguf *g, const wn_tensor *t, const char *key)
{
    size_t n = (size_t)wn_tensor_count(t);
    float *f = wn_malloc((n ? n : 1) * sizeof *f);
    if (!f)
        return WN_ENOMEM;
    wn_err e = t->ndim == 1 ? wn_tensor_to_f32(f, t, 0, n)
                            : wn_fail(WN_EFORMAT, "%s: tensor %s: expected a vector",
                                      wn_gguf_path(g), t->name);
    json_t *list = json_array();
    for (size_t i = 0; !e && i < n; i++) {
        if (!(f[i] > 0 && isfinite(f[i])))
            e = wn_fail(WN_EFORMAT, "%s: tensor %s, element %zu: expected a factor above 0",
                        wn_gguf_path(g), t->name, i);
        json_array_append_new(list, json_real(f[i]));
    }
    wn_free(f);
    json_object_set_new(rope, key, list);
    return e;
}

static wn_err rope_kind(json_t *rope, const wn_gguf *g, const char *arch)
{
    char full[128];
    wn_span kind = {"linear", 6};
    double factor = 1, attention = 1;
    bool named = wn_gguf_string(g, key_of(full, arch, "rope.scaling.type"), &kind);
    bool scaled = number(&factor, g, arch, "rope.scaling.factor") ||
                  number(&factor, g, arch, "rope.scale_linear");
    if (wn_span_is(kind, "none") || (!named && !scaled))
        return WN_OK;
    if (wn_span_is(kind, "linear")) {
        json_object_set_new(rope, "rope_type", json_string("linear"));
    } else if (wn_span_is(kind, "yarn")) {
        json_object_set_new(rope, "rope_type", json_string("yarn"));
        WN_TRY(set(rope, "original_max_position_embeddings", g, arch,
                   "rope.scaling.original_context_length", true));
        WN_TRY(set(rope, "beta_fast", g, arch, "rope.scaling.yarn_beta_fast", false));
        WN_TRY(set(rope, "beta_slow", g, arch, "rope.scaling.yarn_beta_slow", false));
        if (number(&attention, g, arch, "rope.scaling.attn_factor"))
            json_object_set_new(rope, "attention_factor",
                                json_real(attention * (0.1 * log(factor) + 1)));
    } else if (wn_span_is(kind, "longrope")) {
        return WN_OK; /* its tensors say it */
    } else {
        return wn_fail(WN_EFORMAT, "%s: rope scaling \"%.*s\" is not supported", wn_gguf_path(g),
                       (int)(kind.len < 100 ? kind.len : 100), kind.p);
    }
    json_object_set_new(rope, "factor", json_real(factor));
    return WN_OK;
}

static wn_err positions(json_t *c, const wn_gguf *g, const char *arch)
{
    double theta = 10000, width = 0, rotated = 0, context = 0, original, attention = 1;
    json_t *rope = json_object();
    json_object_set_new(c, "rope_parameters", rope);
    number(&theta, g, arch, "rope.freq_base");
    number(&context, g, arch, "context_length");
    json_object_set_new(rope, "rope_theta", json_real(theta));
    WN_TRY(rope_kind(rope, g, arch));
    original = context;
    const wn_tensor *t = wn_gguf_find(g, "rope_freqs.weight");
    if (!t && (t = wn_gguf_find(g, "rope_factors_short.weight"))) {
        number(&original, g, arch, "rope.scaling.original_context_length");
        attention = original < context ? sqrt(1 + log(context / original) / log(original)) : 1;
        number(&attention, g, arch, "rope.scaling.attn_factor");
    }
    if (t) {
        WN_TRY(rope_factors(rope, g, t, "short_factor"));
        json_object_set_new(rope, "rope_type", json_string("longrope"));
        json_object_set_new(rope, "original_max_position_embeddings", json_real(original));
        json_object_set_new(rope, "attention_factor", json_real(attention));
    }
    const wn_tensor *more = wn_gguf_find(g, "rope_factors_long.weight");
    if (t && more)
        WN_TRY(rope_factors(rope, g, more, "long_factor"));
    if (!number(&width, g, arch, "attention.key_length"))
        width = json_number_value(json_object_get(c, "hidden_size")) /
                json_number_value(json_object_get(c, "num_attention_heads"));
    if (number(&rotated, g, arch, "rope.dimension_count") && rotated > 0 && rotated < width)
        json_object_set_new(rope, "partial_rotary_factor", json_real(rotated / width));
    return WN_OK;
}

/* ---- decoders ---- */

static wn_err decoder(json_t *c, const wn_gguf *g, const char *arch, unsigned flags)
{
    bool layer_norm = flags & LAYER_NORM;
    const char *eps =
        layer_norm ? "attention.layer_norm_epsilon" : "attention.layer_norm_rms_epsilon";
    WN_TRY(set(c, "hidden_size", g, arch, "embedding_length", true));
    WN_TRY(set(c, "num_hidden_layers", g, arch, "block_count", true));
    WN_TRY(set(c, "num_attention_heads", g, arch, "attention.head_count", true));
    WN_TRY(set(c, "num_key_value_heads", g, arch, "attention.head_count_kv", false));
    WN_TRY(set(c, "head_dim", g, arch, "attention.key_length", false));
    WN_TRY(set(c, "max_position_embeddings", g, arch, "context_length", true));
    WN_TRY(set(c, layer_norm ? "layer_norm_epsilon" : "rms_norm_eps", g, arch, eps, true));
    WN_TRY(set(c, "sliding_window", g, arch, "attention.sliding_window", false));
    WN_TRY(set_dim(c, "intermediate_size", g, "blk.0.ffn_down.weight", 1, 1));
    WN_TRY(set_dim(c, "vocab_size", g, "token_embd.weight", 0, 1));
    json_object_set_new(c, "tie_word_embeddings", json_boolean(!has(g, "output.weight")));
    json_object_set_new(c, "attention_bias",
                        json_boolean(has(g, "blk.0.attn_q.bias") || has(g, "blk.0.attn_qkv.bias")));
    json_object_set_new(c, "mlp_bias", json_boolean(has(g, "blk.0.ffn_down.bias")));
    return flags & UNROTATED ? WN_OK : positions(c, g, arch);
}

static wn_err neox(json_t *c, const wn_gguf *g, const char *arch)
{
    char full[128];
    bool parallel;
    if (wn_gguf_bool(g, key_of(full, arch, "use_parallel_residual"), &parallel))
        json_object_set_new(c, "use_parallel_residual", json_boolean(parallel));
    return WN_OK;
}

/* attention.sliding_window_pattern: a flag a layer, or every n-th layer sees all keys. */
static wn_err window_pattern(json_t *c, const wn_gguf *g, const char *arch)
{
    char full[128];
    size_t n;
    if (!wn_gguf_array(g, key_of(full, arch, "attention.sliding_window_pattern"), &n))
        return set(c, "sliding_window_pattern", g, arch, "attention.sliding_window_pattern", false);
    json_t *kinds = json_array();
    for (size_t i = 0; i < n; i++) {
        int64_t windowed = 0;
        wn_gguf_array_i64(g, full, i, &windowed);
        json_array_append_new(kinds,
                              json_string(windowed ? "sliding_attention" : "full_attention"));
    }
    json_object_set_new(c, "layer_types", kinds);
    return WN_OK;
}

/* Scores are divided by the root of the head's width, but in the 27B models by that of the width
 * over the heads, unless the file says. */
static wn_err gemma2(json_t *c, const wn_gguf *g, const char *arch)
{
    double heads = json_number_value(json_object_get(c, "num_attention_heads")),
           width = json_number_value(json_object_get(c, "hidden_size")), scale;
    double head = json_number_value(json_object_get(c, "head_dim"));
    json_int_t layers = json_integer_value(json_object_get(c, "num_hidden_layers"));
    bool largest = layers == (strcmp(arch, "gemma2") == 0 ? 46 : 62);
    if (number(&scale, g, arch, "attention.scale") && scale > 0)
        json_object_set_new(c, "query_pre_attn_scalar", json_real(1 / (scale * scale)));
    else
        json_object_set_new(c, "query_pre_attn_scalar",
                            json_real(largest && heads > 0 ? width / heads
                                      : head > 0           ? head
                                                           : width / heads));
    WN_TRY(set(c, "attn_logit_softcapping", g, arch, "attn_logit_softcapping", false));
    WN_TRY(set(c, "final_logit_softcapping", g, arch, "final_logit_softcapping", false));
    return window_pattern(c, g, arch);
}

/* Windowed layers rotate by a base of their own. */
static wn_err gemma3(json_t *c, const wn_gguf *g, const char *arch)
{
    double theta = 10000;
    json_t *global = json_incref(json_object_get(c, "rope_parameters"));
    if (!json_object_get(global, "rope_theta") || !number(&theta, g, arch, "rope.freq_base"))
        json_object_set_new(global, "rope_theta", json_real(1000000));
    theta = 10000;
    number(&theta, g, arch, "rope.freq_base_swa");
    json_object_set_new(c, "rope_parameters",
                        json_pack("{s:o, s:{s:s, s:f}}", "full_attention", global,
                                  "sliding_attention", "rope_type", "default", "rope_theta",
                                  theta));
    return gemma2(c, g, arch);
}

/* ---- encoders and encoder-decoders ---- */

static wn_err bert(json_t *c, const wn_gguf *g, const char *arch)
{
    WN_TRY(set(c, "hidden_size", g, arch, "embedding_length", true));
    WN_TRY(set(c, "num_hidden_layers", g, arch, "block_count", true));
    WN_TRY(set(c, "num_attention_heads", g, arch, "attention.head_count", true));
    WN_TRY(set(c, "layer_norm_eps", g, arch, "attention.layer_norm_epsilon", true));
    WN_TRY(set_dim(c, "intermediate_size", g, "blk.0.ffn_up.weight", 0, 1));
    WN_TRY(set_dim(c, "vocab_size", g, "token_embd.weight", 0, 1));
    WN_TRY(set_dim(c, "max_position_embeddings", g, "position_embd.weight", 0, 1));
    return set_dim(c, "type_vocab_size", g, "token_types.weight", 0, 1);
}

static wn_err t5(json_t *c, const wn_gguf *g, const char *arch)
{
    bool gated = has(g, "enc.blk.0.ffn_gate.weight");
    WN_TRY(set(c, "d_model", g, arch, "embedding_length", true));
    WN_TRY(set(c, "num_layers", g, arch, "block_count", true));
    WN_TRY(set(c, "num_decoder_layers", g, arch, "decoder_block_count", false));
    WN_TRY(set(c, "num_heads", g, arch, "attention.head_count", true));
    WN_TRY(set(c, "d_kv", g, arch, "attention.key_length", true));
    WN_TRY(set(c, "layer_norm_epsilon", g, arch, "attention.layer_norm_rms_epsilon", true));
    WN_TRY(set(c, "relative_attention_num_buckets", g, arch, "attention.relative_buckets_count",
               true));
    WN_TRY(set(c, "decoder_start_token_id", g, arch, "decoder_start_token_id", false));
    WN_TRY(set_dim(c, "d_ff", g, "enc.blk.0.ffn_up.weight", 0, 1));
    WN_TRY(set_dim(c, "vocab_size", g, "token_embd.weight", 0, 1));
    json_object_set_new(c, "feed_forward_proj", json_string(gated ? "gated-gelu" : "relu"));
    json_object_set_new(c, "tie_word_embeddings", json_boolean(!has(g, "output.weight")));
    return WN_OK;
}

/* ---- names ---- */

static const pair llama_whole[] = {{"model.embed_tokens", "token_embd"},
                                   {"model.norm", "output_norm"},
                                   {"lm_head", "output"},
                                   {NULL, NULL}};

#define LLAMA_PARTS                                                                                \
    {"self_attn.q_proj", "attn_q"}, {"self_attn.k_proj", "attn_k"},                                \
        {"self_attn.v_proj", "attn_v"}, {"self_attn.o_proj", "attn_output"},                       \
        {"self_attn.qkv_proj", "attn_qkv"}, {"self_attn.q_norm", "attn_q_norm"},                   \
        {"self_attn.k_norm", "attn_k_norm"}, {"input_layernorm", "attn_norm"},                     \
        {"mlp.gate_proj", "ffn_gate"}, {"mlp.up_proj", "ffn_up"}, {"mlp.gate_up_proj", "ffn_up"},  \
        {"mlp.down_proj", "ffn_down"},                                                             \
    {                                                                                              \
        NULL, NULL                                                                                 \
    }

static const pair llama_parts[] = {{"post_attention_layernorm", "ffn_norm"}, LLAMA_PARTS};
/* Where the halves have norms behind them. */
static const pair gemma_parts[] = {{"post_attention_layernorm", "post_attention_norm"},
                                   {"pre_feedforward_layernorm", "ffn_norm"},
                                   {"post_feedforward_layernorm", "post_ffw_norm"},
                                   LLAMA_PARTS};

static const pair gpt2_whole[] = {{"transformer.wte", "token_embd"},
                                  {"transformer.wpe", "position_embd"},
                                  {"transformer.ln_f", "output_norm"},
                                  {"lm_head", "output"},
                                  {NULL, NULL}};
static const pair gpt2_parts[] = {{"ln_1", "attn_norm"},
                                  {"ln_2", "ffn_norm"},
                                  {"attn.c_attn", "attn_qkv"},
                                  {"attn.c_proj", "attn_output"},
                                  {"mlp.c_fc", "ffn_up"},
                                  {"mlp.c_proj", "ffn_down"},
                                  {NULL, NULL}};

static const pair neox_whole[] = {{"gpt_neox.embed_in", "token_embd"},
                                  {"gpt_neox.final_layer_norm", "output_norm"},
                                  {"embed_out", "output"},
                                  {NULL, NULL}};
static const pair bloom_whole[] = {{"transformer.word_embeddings", "token_embd"},
                                   {"transformer.word_embeddings_layernorm", "token_embd_norm"},
                                   {"transformer.ln_f", "output_norm"},
                                   {"lm_head", "output"},
                                   {NULL, NULL}};
static const pair neox_parts[] = {{"input_layernorm", "attn_norm"},
                                  {"post_attention_layernorm", "ffn_norm"},
                                  {"attention.query_key_value", "attn_qkv"},
                                  {"self_attention.query_key_value", "attn_qkv"},
                                  {"attention.dense", "attn_output"},
                                  {"self_attention.dense", "attn_output"},
                                  {"mlp.dense_h_to_4h", "ffn_up"},
                                  {"mlp.dense_4h_to_h", "ffn_down"},
                                  {NULL, NULL}};

static const pair bert_whole[] = {{"embeddings.word_embeddings", "token_embd"},
                                  {"embeddings.position_embeddings", "position_embd"},
                                  {"embeddings.token_type_embeddings", "token_types"},
                                  {"embeddings.LayerNorm", "token_embd_norm"},
                                  {NULL, NULL}};
static const pair bert_parts[] = {{"attention.self.query", "attn_q"},
                                  {"attention.self.key", "attn_k"},
                                  {"attention.self.value", "attn_v"},
                                  {"attention.output.dense", "attn_output"},
                                  {"attention.output.LayerNorm", "attn_output_norm"},
                                  {"intermediate.dense", "ffn_up"},
                                  {"output.dense", "ffn_down"},
                                  {"output.LayerNorm", "layer_output_norm"},
                                  {NULL, NULL}};

#define T5_ATTENTION                                                                               \
    {"layer.0.SelfAttention.q", "attn_q"}, {"layer.0.SelfAttention.k", "attn_k"},                  \
        {"layer.0.SelfAttention.v", "attn_v"}, {"layer.0.SelfAttention.o", "attn_o"},              \
        {"layer.0.SelfAttention.relative_attention_bias", "attn_rel_b"},                           \
    {                                                                                              \
        "layer.0.layer_norm", "attn_norm"                                                          \
    }
#define T5_MLP(n)                                                                                  \
    {"layer." n ".DenseReluDense.wi", "ffn_up"}, {"layer." n ".DenseReluDense.wi_0", "ffn_gate"},  \
        {"layer." n ".DenseReluDense.wi_1", "ffn_up"},                                             \
        {"layer." n ".DenseReluDense.wo", "ffn_down"}, {"layer." n ".layer_norm", "ffn_norm"},     \
    {                                                                                              \
        NULL, NULL                                                                                 \
    }
static const pair t5_whole[] = {{"shared", "token_embd"},
                                {"lm_head", "output"},
                                {"encoder.final_layer_norm", "enc.output_norm"},
                                {"decoder.final_layer_norm", "dec.output_norm"},
                                {NULL, NULL}};
static const pair t5_encoder[] = {T5_ATTENTION, T5_MLP("1")};
static const pair t5_decoder[] = {T5_ATTENTION,
                                  {"layer.1.EncDecAttention.q", "cross_attn_q"},
                                  {"layer.1.EncDecAttention.k", "cross_attn_k"},
                                  {"layer.1.EncDecAttention.v", "cross_attn_v"},
                                  {"layer.1.EncDecAttention.o", "cross_attn_o"},
                                  {"layer.1.layer_norm", "cross_attn_norm"},
                                  T5_MLP("2")};

#define LLAMA_KIND(parts) .whole = llama_whole, .stack = {{"model.layers.", "blk.", parts}}
#define T5_KIND                                                                                    \
    .whole = t5_whole,                                                                             \
    .stack = {{"encoder.block.", "enc.blk.", t5_encoder},                                          \
              {"decoder.block.", "dec.blk.", t5_decoder}},                                         \
    .more = t5

static const struct wn_gguf_arch archs[] = {
    {"llama", "llama", "silu", PERMUTED, LLAMA_KIND(llama_parts)},
    {"qwen2", "qwen2", "silu", 0, LLAMA_KIND(llama_parts)},
    {"qwen3", "qwen3", "silu", 0, LLAMA_KIND(llama_parts)},
    {"smollm3", "smollm3", "silu", PERMUTED, LLAMA_KIND(llama_parts)},
    {"gemma", "gemma", NULL, 0, LLAMA_KIND(llama_parts)},
    {"gemma2", "gemma2", NULL, 0, LLAMA_KIND(gemma_parts), .more = gemma2},
    {"gemma3", "gemma3_text", NULL, 0, LLAMA_KIND(gemma_parts), .more = gemma3},
    {"phi3", "phi3", "silu", 0, LLAMA_KIND(llama_parts)},
    {"olmo2", "olmo2", "silu", 0, LLAMA_KIND(gemma_parts)},
    {"gpt2", "gpt2", "gelu_new", LAYER_NORM | UNROTATED, .whole = gpt2_whole,
     .stack = {{"transformer.h.", "blk.", gpt2_parts}}},
    {"gptneox", "gpt_neox", "gelu", LAYER_NORM | SPLIT_QKV, .whole = neox_whole,
     .stack = {{"gpt_neox.layers.", "blk.", neox_parts}}, .more = neox},
    {"bloom", "bloom", NULL, LAYER_NORM | SPLIT_QKV | UNROTATED, .whole = bloom_whole,
     .stack = {{"transformer.h.", "blk.", neox_parts}}},
    {"bert", "bert", "gelu", 0, .whole = bert_whole,
     .stack = {{"encoder.layer.", "blk.", bert_parts}}, .more = bert},
    {"t5", "t5", NULL, 0, T5_KIND},
    {"t5encoder", "t5", NULL, 0, T5_KIND},
};
enum { N_ARCHS = sizeof archs / sizeof *archs };

static wn_err unknown(const wn_weights *w, wn_span arch)
{
    char known[256] = "";
    size_t n = 0;
    for (size_t i = 0; i < N_ARCHS && n < sizeof known; i++)
        n += (size_t)snprintf(known + n, sizeof known - n, "%s%s", i ? ", " : "", archs[i].name);
    return wn_fail(WN_EFORMAT, "%s: architecture \"%.*s\" is not supported in GGUF (known: %s)",
                   w->place, (int)(arch.len < 63 ? arch.len : 63), arch.p, known);
}

/* Experts and senses are named whatever the architecture: llama.cpp writes Mixtral's as "llama",
 * and an image encoder as a file of its own, "clip". */
static wn_err check_foreign(const wn_weights *w, wn_span arch)
{
    static const char *const senses[] = {"clip", "mllama", "qwen2vl", "qwen3vl", "cogvlm"};
    const wn_gguf *g = w->gguf;
    char name[64];
    double experts = 0;
    int len = (int)(arch.len < sizeof name ? arch.len : sizeof name - 1);
    snprintf(name, sizeof name, "%.*s", len, arch.p);
    if ((number(&experts, g, name, "expert_count") && experts > 0) ||
        has(g, "blk.0.ffn_gate_inp.weight"))
        return wn_fail(WN_EFORMAT,
                       "%s: architecture \"%s\" with %.0f experts is a mixture of experts: only "
                       "dense models are supported",
                       w->place, name, experts);
    for (size_t i = 0; i < sizeof senses / sizeof *senses; i++)
        if (strcmp(senses[i], name) == 0)
            return wn_fail(WN_EFORMAT,
                           "%s: architecture \"%s\" has more senses than text: only models of text "
                           "are supported",
                           w->place, name);
    return WN_OK;
}

wn_err wn_gguf_config(wn_weights *w)
{
    const wn_gguf *g = w->gguf;
    wn_span arch;
    if (!wn_gguf_string(g, "general.architecture", &arch))
        return wn_fail(WN_EFORMAT, "%s: metadata key general.architecture is missing", w->place);
    WN_TRY(check_foreign(w, arch));
    for (size_t i = 0; i < N_ARCHS; i++)
        if (wn_span_is(arch, archs[i].name))
            w->arch = &archs[i];
    const struct wn_gguf_arch *a = w->arch;
    if (!a)
        return unknown(w, arch);
    json_t *c = w->config = json_object();
    if (!c)
        return wn_fail_nomem(64, "a config");
    json_object_set_new(c, "model_type", json_string(a->model_type));
    if (a->act)
        json_object_set_new(c, "hidden_act", json_string(a->act));
    if (a->more != bert && a->more != t5)
        WN_TRY(decoder(c, g, a->name, a->flags));
    if (strcmp(a->name, "llama") == 0 && json_object_get(c, "sliding_window"))
        json_object_set_new(c, "model_type", json_string("mistral"));
    return a->more ? a->more(c, g, a->name) : WN_OK;
}

static const char *theirs(const pair *list, const char *ours, size_t len)
{
    for (; (*list)[0]; list++)
        if (strlen((*list)[0]) == len && memcmp((*list)[0], ours, len) == 0)
            return (*list)[1];
    return NULL;
}

bool wn_gguf_name(char *out, size_t size, const wn_weights *w, const char *name)
{
    const char *dot = strrchr(name, '.');
    if (!dot)
        return false;
    const char *found = theirs(w->arch->whole, name, (size_t)(dot - name));
    if (found)
        snprintf(out, size, "%s%s", found, dot);
    for (size_t i = 0; !found && i < 2 && w->arch->stack[i].ours; i++) {
        const char *ours = w->arch->stack[i].ours, *rest = name + strlen(ours);
        if (strncmp(name, ours, strlen(ours)) != 0)
            continue;
        size_t digits = strspn(rest, "0123456789");
        const char *part = rest + digits + 1;
        if (!digits || rest[digits] != '.' || part > dot)
            continue;
        found = theirs(w->arch->stack[i].part, part, (size_t)(dot - part));
        if (found)
            snprintf(out, size, "%s%.*s.%s%s", w->arch->stack[i].theirs, (int)digits, rest, found,
                     dot);
    }
    return found != NULL;
}

size_t wn_gguf_row(const wn_weights *w, const wn_row_order *o, size_t rows, size_t r)
{
    size_t d = o->head;
    if (!d)
        return r;
    size_t h = r / d, i = r % d;
    if (!o->mixed)
        return w->arch->flags & PERMUTED ? h * d + i % (d / 2) * 2 + i / (d / 2) : r;
    if (!(w->arch->flags & SPLIT_QKV))
        return r;
    return (h % 3 * (rows / d / 3) + h / 3) * d + i;
}

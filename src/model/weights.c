#include "model/weights.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "io/file.h"
#include "kernel/kernel.h"

/* ---- GGUF: metadata to the members of config.json that the families read --------------------- */

/* Architecture names of llama.cpp whose checkpoints are, apart from names, one of our families. */
static const struct {
    const char *arch, *model_type;
    bool permuted;
} archs[] = {
    {"llama", "llama", true},
};

/* Member `key` of the config from metadata key ARCH.name. */
static wn_err set(json_t *c, const char *key, const wn_gguf *g, const char *arch, const char *name,
                  bool required)
{
    char full[128];
    int64_t whole;
    double real;
    snprintf(full, sizeof full, "%s.%s", arch, name);
    if (wn_gguf_i64(g, full, &whole))
        json_object_set_new(c, key, json_integer(whole));
    else if (wn_gguf_f64(g, full, &real))
        json_object_set_new(c, key, json_real(real));
    else if (required)
        return wn_fail(WN_EFORMAT, "%s: metadata key %s is missing", wn_gguf_path(g), full);
    return WN_OK;
}

static wn_err config_from_gguf(wn_weights *w)
{
    const wn_gguf *g = w->gguf;
    wn_span arch_span;
    if (!wn_gguf_string(g, "general.architecture", &arch_span))
        return wn_fail(WN_EFORMAT, "%s: metadata key general.architecture is missing", w->place);
    char arch[64];
    snprintf(arch, sizeof arch, "%.*s", (int)(arch_span.len < 63 ? arch_span.len : 63),
             arch_span.p);
    const char *model_type = NULL;
    for (size_t i = 0; i < sizeof archs / sizeof *archs; i++)
        if (strcmp(archs[i].arch, arch) == 0) {
            model_type = archs[i].model_type;
            w->permuted = archs[i].permuted;
        }
    if (!model_type)
        return wn_fail(WN_EFORMAT,
                       "%s: architecture \"%s\" is not supported in GGUF (known: llama)", w->place,
                       arch);
    json_t *c = w->config = json_object();
    if (!c)
        return wn_fail_nomem(64, "a config");
    json_object_set_new(c, "model_type", json_string(model_type));
    WN_TRY(set(c, "hidden_size", g, arch, "embedding_length", true));
    WN_TRY(set(c, "num_hidden_layers", g, arch, "block_count", true));
    WN_TRY(set(c, "intermediate_size", g, arch, "feed_forward_length", true));
    WN_TRY(set(c, "num_attention_heads", g, arch, "attention.head_count", true));
    WN_TRY(set(c, "num_key_value_heads", g, arch, "attention.head_count_kv", false));
    WN_TRY(set(c, "head_dim", g, arch, "attention.key_length", false));
    WN_TRY(set(c, "max_position_embeddings", g, arch, "context_length", true));
    WN_TRY(set(c, "rms_norm_eps", g, arch, "attention.layer_norm_rms_epsilon", true));
    WN_TRY(set(c, "rope_theta", g, arch, "rope.freq_base", false));
    wn_span scaling;
    char key[128];
    snprintf(key, sizeof key, "%s.rope.scaling.type", arch);
    if (wn_gguf_string(g, key, &scaling) && !wn_span_is(scaling, "none"))
        return wn_fail(WN_EFORMAT, "%s: rope scaling \"%.*s\" is not supported", w->place,
                       (int)scaling.len, scaling.p);
    if (wn_gguf_find(g, "rope_freqs.weight"))
        return wn_fail(WN_EFORMAT, "%s: rope scaling by rope_freqs.weight is not supported",
                       w->place);
    const wn_tensor *embed = wn_gguf_find(g, "token_embd.weight");
    if (!embed || embed->ndim != 2)
        return wn_fail(WN_EFORMAT, "%s: tensor token_embd.weight is missing", w->place);
    json_object_set_new(c, "vocab_size", json_integer((json_int_t)embed->dim[0]));
    json_object_set_new(c, "tie_word_embeddings", json_boolean(!wn_gguf_find(g, "output.weight")));
    json_object_set_new(c, "attention_bias",
                        json_boolean(wn_gguf_find(g, "blk.0.attn_q.bias") != NULL));
    json_object_set_new(c, "hidden_act", json_string("silu"));
    return WN_OK;
}

/* "model.layers.7.self_attn.q_proj.weight" to "blk.7.attn_q.weight". */
static bool gguf_name(char *out, size_t size, const char *hf)
{
    static const char *const whole[][2] = {
        {"model.embed_tokens.weight", "token_embd.weight"},
        {"model.norm.weight", "output_norm.weight"},
        {"lm_head.weight", "output.weight"},
    };
    static const char *const part[][2] = {
        {"input_layernorm", "attn_norm"}, {"post_attention_layernorm", "ffn_norm"},
        {"self_attn.q_proj", "attn_q"},   {"self_attn.k_proj", "attn_k"},
        {"self_attn.v_proj", "attn_v"},   {"self_attn.o_proj", "attn_output"},
        {"mlp.gate_proj", "ffn_gate"},    {"mlp.up_proj", "ffn_up"},
        {"mlp.down_proj", "ffn_down"},
    };
    for (size_t i = 0; i < sizeof whole / sizeof *whole; i++)
        if (strcmp(hf, whole[i][0]) == 0) {
            snprintf(out, size, "%s", whole[i][1]);
            return true;
        }
    unsigned layer;
    int used = 0;
    if (sscanf(hf, "model.layers.%u.%n", &layer, &used) < 1 || !used)
        return false;
    const char *rest = hf + used, *dot = strrchr(rest, '.');
    for (size_t i = 0; dot && i < sizeof part / sizeof *part; i++)
        if (strlen(part[i][0]) == (size_t)(dot - rest) &&
            strncmp(rest, part[i][0], (size_t)(dot - rest)) == 0) {
            snprintf(out, size, "blk.%u.%s%s", layer, part[i][1], dot);
            return true;
        }
    return false;
}

/* ---- opening ------------------------------------------------------------------------------------
 */

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);
    return n >= m && strcmp(s + n - m, end) == 0;
}

static wn_err open_files(wn_weights *w, const char *path)
{
    if (!wn_file_exists(path))
        return wn_fail(
            WN_EIO, "%s: no such file or folder (expected a Hugging Face folder or a .gguf file)",
            path);
    if (!wn_is_dir(path)) {
        if (!ends_with(path, ".gguf"))
            return wn_fail(WN_EARG, "%s: expected a Hugging Face folder or a .gguf file", path);
        w->is_gguf = true;
        w->place = wn_strdup(path);
        if (!w->place)
            return WN_ENOMEM;
        WN_TRY(wn_gguf_open(&w->gguf, path));
        return config_from_gguf(w);
    }
    char *config = NULL;
    WN_TRY(wn_path_join(&config, path, "config.json"));
    w->place = config;
    WN_TRY(wn_json_load(&w->config, config));
    if (!json_is_object(w->config))
        return wn_fail(WN_EFORMAT, "%s: expected a JSON object", config);
    WN_TRY(wn_safetensors_open(&w->st, path));
    return WN_OK;
}

wn_err wn_weights_open(wn_weights *w, const char *path)
{
    *w = (wn_weights){.prefix = ""};
    w->path = wn_strdup(path);
    if (!w->path)
        return WN_ENOMEM;
    wn_err e = open_files(w, path);
    if (e)
        wn_weights_close(w);
    return e;
}

void wn_weights_close(wn_weights *w)
{
    wn_safetensors_close(w->st);
    wn_gguf_close(w->gguf);
    json_decref(w->config);
    wn_free(w->path);
    wn_free(w->place);
    *w = (wn_weights){0};
}

/* ---- reading
 * -------------------------------------------------------------------------------------- */

const wn_tensor *wn_weights_find(const wn_weights *w, const char *name)
{
    char other[256];
    if (!w->is_gguf && strlen(name) > w->skip)
        name += w->skip;
    if (w->is_gguf)
        return gguf_name(other, sizeof other, name) ? wn_gguf_find(w->gguf, other) : NULL;
    snprintf(other, sizeof other, "%s%s", w->prefix, name);
    return wn_safetensors_find(w->st, other);
}

static void shape_text(char *out, size_t size, const wn_tensor *t)
{
    size_t n = 0;
    out[0] = '\0';
    for (int i = 0; i < t->ndim && n < size; i++)
        n += (size_t)snprintf(out + n, size - n, i ? ", %llu" : "%llu",
                              (unsigned long long)t->dim[i]);
}

wn_err wn_weights_get(const wn_tensor **out, const wn_weights *w, const char *name, size_t rows,
                      size_t cols)
{
    const wn_tensor *t = wn_weights_find(w, name);
    const char *file = w->is_gguf ? w->place : wn_safetensors_path(w->st);
    if (!t)
        return wn_fail(WN_EFORMAT, "%s: tensor %s%s is missing", file, w->prefix, name);
    bool same = cols ? t->ndim == 2 && t->dim[0] == rows && t->dim[1] == cols
                     : t->ndim == 1 && t->dim[0] == rows;
    if (!same) {
        char want[64], found[96];
        snprintf(want, sizeof want, cols ? "%zu, %zu" : "%zu", rows, cols);
        shape_text(found, sizeof found, t);
        return wn_fail(WN_EFORMAT, "%s: tensor %s: expected shape [%s], found [%s]", file, t->name,
                       want, found);
    }
    *out = t;
    return WN_OK;
}

wn_err wn_weights_rows(float *out, const wn_weights *w, const wn_tensor *t, size_t first, size_t n,
                       size_t head)
{
    size_t cols = t->ndim > 1 ? (size_t)t->dim[1] : (size_t)t->dim[0];
    if (head && w->permuted && t->ndim == 1) { /* a permuted bias: reorder its elements */
        float *raw = wn_malloc(cols * sizeof *raw);
        if (!raw)
            return WN_ENOMEM;
        wn_err e = wn_tensor_to_f32(raw, t, 0, cols);
        for (size_t i = 0; !e && i < cols; i++) {
            size_t h = i / head, j = i % head / (head / 2), k = i % (head / 2);
            out[i] = raw[h * head + k * 2 + j];
        }
        wn_free(raw);
        WN_TRY(e);
    } else if (head && w->permuted) {
        for (size_t i = 0; i < n; i++) {
            size_t r = first + i, h = r / head, j = r % head / (head / 2), k = r % (head / 2);
            WN_TRY(
                wn_tensor_to_f32(out + i * cols, t, (uint64_t)(h * head + k * 2 + j) * cols, cols));
        }
    } else {
        WN_TRY(wn_tensor_to_f32(out, t, (uint64_t)first * cols, (uint64_t)n * cols));
    }
    if (!wn_all_finite(out, n * cols)) {
        size_t bad = 0;
        while (wn_all_finite(out + bad * cols, cols))
            bad++;
        return wn_fail(WN_EFORMAT,
                       "%s: tensor %s, row %zu: expected finite numbers, found NaN or infinity",
                       w->is_gguf ? w->place : wn_safetensors_path(w->st), t->name, first + bad);
    }
    return WN_OK;
}

wn_err wn_weights_sha(const wn_weights *w, char hex[WN_SHA_HEX])
{
    if (w->is_gguf)
        return wn_sha_file(hex, w->place);
    wn_sha *s;
    WN_TRY(wn_sha_new(&s));
    char **names = NULL;
    size_t n = 0;
    wn_err e = wn_dir_list(&names, &n, w->path);
    for (size_t i = 0; !e && i < n; i++) {
        if (!ends_with(names[i], ".safetensors") && strcmp(names[i], "config.json") != 0)
            continue;
        char *path = NULL, one[WN_SHA_HEX];
        e = wn_path_join(&path, w->path, names[i]);
        if (!e)
            e = wn_sha_file(one, path);
        wn_free(path);
        if (!e) {
            wn_sha_add(s, names[i], strlen(names[i]) + 1);
            wn_sha_add(s, one, sizeof one);
        }
    }
    wn_names_free(names, n);
    wn_sha_hex(s, hex);
    return e;
}

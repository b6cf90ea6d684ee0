/* Opening a model: files, family, adapter, tokenizer; and what the rest of the library asks of it.
 */
#include "model/model.h"

#include <stdio.h>
#include <string.h>

#include "io/file.h"
#include "io/manifest.h"
#include "model/adapter.h"
#include "model/internal.h"

static const struct {
    bool (*knows)(const char *model_type);
    const char *(*name)(size_t i);
    wn_err (*build)(wn_model *m);
} kinds[] = {{wn_encoder_knows, wn_encoder_name, wn_build_encoder},
             {wn_decoder_knows, wn_decoder_name, wn_build_decoder},
             {wn_t5_knows, wn_t5_name, wn_build_t5}};

/* Why a configuration is none of ours, where it shows: words for the refusal, NULL otherwise. */
static const char *foreign(const json_t *c)
{
    static const char *const experts[] = {"num_local_experts", "num_experts", "n_routed_experts",
                                          "moe_num_experts"};
    static const char *const senses[] = {"vision_config",   "audio_config",  "vision_tower",
                                         "mm_vision_tower", "speech_config", "embd_layer"};
    static const char *const parts[] = {"text_config", "ffn_config", "llm_config"};
    for (size_t i = 0; i < sizeof senses / sizeof *senses; i++)
        if (!json_is_null(json_object_get(c, senses[i])) && json_object_get(c, senses[i]))
            return "has more senses than text: only models of text are supported";
    for (size_t i = 0; i < sizeof experts / sizeof *experts; i++) {
        bool some = json_integer_value(json_object_get(c, experts[i])) > 0;
        for (size_t k = 0; k < sizeof parts / sizeof *parts; k++)
            some |=
                json_integer_value(json_object_get(json_object_get(c, parts[k]), experts[i])) > 0;
        if (some)
            return "is a mixture of experts: only dense models are supported";
    }
    return NULL;
}

/* Members that change a model's numbers and are not implemented: what they must be, where they are
 * given. Families: between blanks, NULL: all. */
static const struct {
    const char *key, *families;
    double value; /* of a flag 0 or 1 */
} fixed[] = {
    {"scale_attn_weights", NULL, 1},
    {"scale_attn_by_inverse_layer_idx", NULL, 0},
    {"add_cross_attention", NULL, 0},
    {"is_decoder", " bert roberta xlm-roberta distilbert mpnet ", 0},
    {"enable_bias", " opt ", 1},
    {"layer_norm_elementwise_affine", " opt ", 1},
    {"_remove_final_layer_norm", " opt ", 0},
    {"use_bidirectional_attention", " gemma gemma2 ", 0},
    {"logits_scaling", NULL, 1},
    {"logit_scale", NULL, 1},
    {"embedding_multiplier", NULL, 1},
    {"residual_multiplier", NULL, 1},
    {"attention_multiplier", NULL, 1},
    {"causal", " nomic_bert ", 0},
    {"parallel_block", " nomic_bert ", 0},
    {"use_rms_norm", " nomic_bert ", 0},
    {"rotary_emb_interleaved", " nomic_bert ", 0},
    {"rotary_emb_fraction", " nomic_bert ", 1},
};

static wn_err check_fixed(const wn_model *m, const char *type)
{
    char name[66];
    snprintf(name, sizeof name, " %.62s ", type);
    for (size_t i = 0; i < sizeof fixed / sizeof *fixed; i++) {
        const json_t *v = json_object_get(m->files.config, fixed[i].key);
        bool flag = json_is_boolean(v);
        double found = flag ? json_is_true(v) : json_number_value(v);
        if ((!flag && !json_is_number(v)) || found == fixed[i].value ||
            (fixed[i].families && !strstr(fixed[i].families, name)))
            continue;
        if (flag)
            return wn_fail(WN_EFORMAT, "%s: %s is %s, which is not supported", m->files.place,
                           fixed[i].key, found != 0 ? "true" : "false");
        return wn_fail(WN_EFORMAT, "%s: %s is %g, which is not supported", m->files.place,
                       fixed[i].key, found);
    }
    return WN_OK;
}

static wn_err build(wn_model *m)
{
    const char *type = wn_config_text(m, "model_type", NULL);
    size_t n = sizeof kinds / sizeof *kinds;
    if (!type)
        return wn_fail(WN_EFORMAT, "%s: model_type is missing", m->files.place);
    const char *why = foreign(m->files.config);
    for (size_t i = 0; i < n && !why; i++)
        if (kinds[i].knows(type)) {
            WN_TRY(check_fixed(m, type));
            return kinds[i].build(m);
        }
    wn_str known = {0};
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; kinds[i].name(k); k++)
            if (k == 0 || strcmp(kinds[i].name(k), kinds[i].name(k - 1)) != 0)
                wn_str_printf(&known, "%s%s", known.len ? ", " : "", kinds[i].name(k));
    wn_err e = wn_fail(WN_EFORMAT, "%s: architecture \"%s\" %s (known: %s)", m->files.place, type,
                       why ? why : "is not supported", known.p ? known.p : "");
    wn_str_free(&known);
    return e;
}

/* ---- opening
 * ------------------------------------------------------------------------------------------ */

wn_err wn_int8_has_no_backward(void)
{
    return wn_fail(WN_EUSE, "precision int8 is for models that are only run; expected f32 or bf16");
}

/* What the options say, before any file is read. */
static wn_err begin(wn_model *m, const char *path, const wn_model_opts *opts)
{
    wn_precision p = opts ? opts->precision : WN_PRECISION_AUTO;
    if (p == WN_PRECISION_INT8 && opts->train_full)
        return wn_int8_has_no_backward();
    if (p == WN_PRECISION_AUTO)
        p = wn_cpu_fast_bf16() ? WN_PRECISION_BF16 : WN_PRECISION_F32;
    m->facts.precision = p;
    m->train_full = opts && opts->train_full;
    m->unpacked = opts && opts->unpacked;
    m->base = opts ? opts->base : WN_BASE_AUTO;
    if (m->base != WN_BASE_AUTO && (m->train_full || p == WN_PRECISION_INT8))
        return wn_fail(WN_EARG, "a base of 8 or 4 bits is frozen and multiplied in f32 or bf16");
    m->states_only = opts && opts->states_only && !opts->adapter;
    m->headless = opts && opts->headless;
    m->embed_scale = 1;
    m->stack.bias = m->encoder.bias = WN_NO_PARAM;
    m->embed_norm = m->final_norm = m->encoder_norm = wn_no_norm();
    m->path = wn_strdup(path);
    m->facts.path = m->path;
    return m->path ? WN_OK : WN_ENOMEM;
}

static wn_err build_all(wn_model *m)
{
    WN_TRY(build(m));
    m->facts.layers = m->encoder.L ? m->encoder.L : m->stack.L;
    m->facts.heads = m->stack.H;
    m->facts.same_angles = m->stack.longer.from;
    m->facts.parameters = wn_params_count(&m->params);
    return WN_OK;
}

static wn_err open_all(wn_model *m, const char *path, const wn_model_opts *opts)
{
    WN_TRY(begin(m, path, opts));
    if (wn_is_dir(path))
        WN_TRY(wn_sentence_open(&m->sentence, path));
    m->facts.sentence = m->sentence;
    if (m->sentence)
        path = m->sentence->model; /* where modules.json says that the weights are */
    WN_TRY(wn_weights_open(&m->files, path));
    WN_TRY(build_all(m));
    WN_TRY(wn_tokenizer_open(&m->tokenizer, path));
    if (m->sentence && m->sentence->lower)
        WN_TRY(wn_tokenizer_lowercase(m->tokenizer));
    size_t ids = wn_tokenizer_facts(m->tokenizer)->vocab;
    if (ids > m->facts.vocab)
        return wn_fail(WN_EFORMAT, "%s: the tokenizer has %zu ids, the model's embedding %zu rows",
                       path, ids, m->facts.vocab);
    if (opts && opts->adapter)
        WN_TRY(wn_adapter_load(m, opts->adapter));
    return WN_OK;
}

wn_err wn_model_open(wn_model **out, const char *path, const wn_model_opts *opts)
{
    *out = NULL;
    wn_model *m;
    WN_NEW(m, 1);
    wn_err e = open_all(m, path, opts);
    if (e) {
        wn_model_close(m);
        return e;
    }
    wn_safetensors_forget(m->files.st); /* all but tables was copied */
    wn_gguf_forget(m->files.gguf);
    *out = m;
    return WN_OK;
}

static wn_err make_up_all(wn_model *m, const json_t *config, const char *place, size_t layers,
                          const wn_model_opts *opts)
{
    static const char *const keys[] = {"num_hidden_layers", "num_layers", "num_decoder_layers",
                                       "n_layer", "n_layers"};
    WN_TRY(begin(m, place, opts));
    json_t *own = json_deep_copy(config);
    if (!own)
        return wn_fail_nomem(256, "a config");
    for (size_t i = 0; layers && i < sizeof keys / sizeof *keys; i++)
        if (json_object_get(own, keys[i]))
            json_object_set_new(own, keys[i], json_integer((json_int_t)layers));
    WN_TRY(wn_weights_make_up(&m->files, own, place));
    return build_all(m);
}

wn_err wn_model_make_up(wn_model **out, const json_t *config, const char *place, size_t layers,
                        const wn_model_opts *opts)
{
    *out = NULL;
    wn_model *m;
    WN_NEW(m, 1);
    wn_err e = make_up_all(m, config, place, layers, opts);
    if (e)
        wn_model_close(m);
    else
        *out = m;
    return e;
}

void wn_model_close(wn_model *m)
{
    if (!m)
        return;
    wn_stack_free(&m->stack);
    wn_stack_free(&m->encoder);
    wn_linear_free(&m->project_in);
    wn_linear_free(&m->project_out);
    wn_linear_free(&m->output);
    wn_linear_free(&m->pooler);
    wn_params_free(&m->params);
    wn_tokenizer_close(m->tokenizer);
    wn_weights_close(&m->files);
    wn_sentence_close(m->sentence);
    wn_free(m->path);
    wn_free(m);
}

/* ---- facts
 * ---------------------------------------------------------------------------------------------- */

const wn_model_facts *wn_model_facts_of(const wn_model *m)
{
    return &m->facts;
}

const wn_tokenizer *wn_model_tokenizer(const wn_model *m)
{
    return m->tokenizer;
}

wn_params *wn_model_params(wn_model *m)
{
    return &m->params;
}

bool wn_model_has_head(const wn_model *m)
{
    return m->output.N > 0;
}

bool wn_model_is_output(const wn_model *m, const wn_param *p)
{
    const wn_linear *l = &m->output;
    const int own[] = {l->weight, l->bias, l->lora_a, l->lora_b, l->ia3};
    for (size_t i = 0; l->N && i < sizeof own / sizeof *own; i++)
        if (own[i] != WN_NO_PARAM && &m->params.p[own[i]] == p)
            return true;
    return false;
}

static uint64_t panel_bytes(const wn_linear *l)
{
    return l->mat.panel ? wn_mat_bytes(l->mat.kind, l->mat.N, l->mat.K) : 0;
}

uint64_t wn_model_scoring_bytes(const wn_model *m)
{
    uint64_t bytes = panel_bytes(&m->output);
    for (size_t i = 0; m->encoder.L && i < m->stack.L; i++)
        for (int k = 0; k < WN_LAYER_LINEARS; k++)
            bytes += panel_bytes(wn_layer_linear(&m->stack.layer[i], k));
    return bytes;
}

static wn_err sha_of_both(char hex[WN_SHA_HEX], const char *a, const char *b)
{
    char both[2 * WN_SHA_HEX];
    memcpy(both, a, WN_SHA_HEX);
    memcpy(both + WN_SHA_HEX, b, WN_SHA_HEX);
    return wn_sha_bytes(hex, both, sizeof both);
}

wn_err wn_model_sha(wn_model *m, char hex[WN_SHA_HEX])
{
    if (!m->sha[0]) {
        WN_TRY(wn_weights_sha(&m->files, m->sha));
        if (m->sentence)
            WN_TRY(sha_of_both(m->sha, m->sha, m->sentence->sha));
    }
    if (m->adapter_sha[0])
        return sha_of_both(hex, m->sha, m->adapter_sha);
    memcpy(hex, m->sha, WN_SHA_HEX);
    return WN_OK;
}

wn_err wn_model_manifest(json_t **out, wn_model *m)
{
    char hex[WN_SHA_HEX];
    WN_TRY(wn_model_sha(m, hex));
    *out = json_pack("{s:s, s:s, s:s, s:s, s:s}", "name", wn_path_base(m->path), "sha256", hex,
                     "family", m->facts.family, "dtype", m->facts.dtype, "precision",
                     wn_precision_name(m->facts.precision));
    if (!*out)
        return wn_fail_nomem(64, "a manifest");
    json_object_set_new(*out, "tokenizer", json_string(wn_tokenizer_sha(m->tokenizer)));
    if (m->adapter_sha[0])
        json_object_set_new(*out, "adapter", json_string(m->adapter_sha));
    return WN_OK;
}

/* ---- changing parameters
 * ----------------------------------------------------------------------------- */

wn_err wn_model_train_full(wn_model *m)
{
    WN_ASSERT(m->train_full);
    for (size_t i = 0; i < m->params.n; i++)
        m->params.p[i].trainable = true;
    return WN_OK;
}

void wn_model_refresh(wn_model *m)
{
    wn_linear *l;
    for (size_t i = 0; (l = wn_model_linear(m, i)); i++)
        if (l->mat.N && m->params.p[l->weight].trainable)
            wn_repack(&l->mat, m->params.p[l->weight].value, l->transposed);
}

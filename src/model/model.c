/* Opening a model: files, family, adapter, tokenizer; and what the rest of the library asks of it.
 */
#include "model/model.h"

#include <stdio.h>
#include <string.h>

#include "io/file.h"
#include "model/adapter.h"
#include "model/internal.h"

static const struct {
    bool (*knows)(const char *model_type);
    const char *(*name)(size_t i);
    wn_err (*build)(wn_model *m);
} kinds[] = {{wn_encoder_knows, wn_encoder_name, wn_build_encoder},
             {wn_decoder_knows, wn_decoder_name, wn_build_decoder},
             {wn_t5_knows, wn_t5_name, wn_build_t5}};

static wn_err build(wn_model *m)
{
    const char *type = wn_config_text(m, "model_type", NULL);
    size_t n = sizeof kinds / sizeof *kinds;
    if (!type)
        return wn_fail(WN_EFORMAT, "%s: model_type is missing", m->files.place);
    for (size_t i = 0; i < n; i++)
        if (kinds[i].knows(type))
            return kinds[i].build(m);
    wn_str known = {0};
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; kinds[i].name(k); k++)
            wn_str_printf(&known, "%s%s", known.len ? ", " : "", kinds[i].name(k));
    wn_err e = wn_fail(WN_EFORMAT, "%s: architecture \"%s\" is not supported (known: %s)",
                       m->files.place, type, known.p ? known.p : "");
    wn_str_free(&known);
    return e;
}

/* ---- sentence-transformers folders
 * ------------------------------------------------------------------ */

static wn_err read_pooling(wn_model *m, const char *dir)
{
    static const struct {
        const char *key, *name;
    } modes[] = {{"pooling_mode_cls_token", "cls"},
                 {"pooling_mode_mean_tokens", "mean"},
                 {"pooling_mode_weightedmean_tokens", "weighted"},
                 {"pooling_mode_lasttoken", "last"},
                 {"pooling_mode_max_tokens", NULL},
                 {"pooling_mode_mean_sqrt_len_tokens", NULL}};
    char *path = NULL;
    json_t *c = NULL;
    WN_TRY(wn_path_join(&path, dir, "config.json"));
    wn_err e = wn_json_load(&c, path);
    const char *name = json_string_value(json_object_get(c, "pooling_mode"));
    size_t on = 0;
    for (size_t i = 0; !e && i < sizeof modes / sizeof *modes; i++) {
        if (!json_is_true(json_object_get(c, modes[i].key)))
            continue;
        on++;
        name = modes[i].name;
        if (!name)
            e = wn_fail(WN_EFORMAT, "%s: %s is not supported", path, modes[i].key);
    }
    if (!e && (on > 1 || !name))
        e = wn_fail(WN_EFORMAT, "%s: expected one pooling mode, found %zu", path, on);
    if (!e)
        m->facts.pooling = m->pooling = wn_strdup(name);
    json_decref(c);
    wn_free(path);
    return e ? e : m->pooling ? WN_OK : WN_ENOMEM;
}

static wn_err read_module(wn_model *m, const char *modules, const json_t *one)
{
    const char *type = NULL, *path = NULL;
    WN_TRY(wn_json_get_string(&type, one, "type", true, modules));
    WN_TRY(wn_json_get_string(&path, one, "path", true, modules));
    const char *kind = strrchr(type, '.') ? strrchr(type, '.') + 1 : type;
    char *dir = NULL;
    wn_err e = WN_OK;
    if (strcmp(kind, "Transformer") == 0)
        return path[0] ? wn_fail(WN_EFORMAT,
                                 "%s: a Transformer module in a folder of its own (\"%s\") is not "
                                 "supported",
                                 modules, path)
                       : WN_OK;
    if (strcmp(kind, "Normalize") == 0) {
        m->facts.normalize = true;
        return WN_OK;
    }
    if (strcmp(kind, "Pooling") != 0)
        return wn_fail(WN_EFORMAT, "%s: module %s is not supported", modules, type);
    WN_TRY(wn_path_join(&dir, m->files.path, path));
    e = read_pooling(m, dir);
    wn_free(dir);
    return e;
}

static wn_err read_sentence_folder(wn_model *m)
{
    char *modules = NULL, *limits = NULL;
    json_t *list = NULL, *c = NULL;
    size_t i;
    json_t *one;
    WN_TRY(wn_path_join(&modules, m->files.path, "modules.json"));
    wn_err e = wn_file_exists(modules) ? wn_json_load(&list, modules) : WN_OK;
    json_array_foreach(list, i, one) if (!e) e = read_module(m, modules, one);
    if (!e)
        e = wn_path_join(&limits, m->files.path, "sentence_bert_config.json");
    if (!e && list && wn_file_exists(limits))
        e = wn_json_load(&c, limits);
    if (!e && c && !json_is_null(json_object_get(c, "max_seq_length"))) {
        uint64_t n = 0;
        e = wn_json_get_u64(&n, c, "max_seq_length", false, limits);
        m->facts.max_seq_length = (size_t)n;
    }
    json_decref(list);
    json_decref(c);
    wn_free(modules);
    wn_free(limits);
    return e;
}

/* ---- opening
 * ------------------------------------------------------------------------------------------ */

static wn_err open_all(wn_model *m, const char *path, const wn_model_opts *opts)
{
    wn_precision p = opts ? opts->precision : WN_PRECISION_AUTO;
    if (p == WN_PRECISION_INT8)
        return wn_fail(WN_EARG, "precision int8 is not available; expected f32 or bf16");
    if (p == WN_PRECISION_AUTO)
        p = wn_cpu_fast_bf16() ? WN_PRECISION_BF16 : WN_PRECISION_F32;
    m->facts.precision = p;
    m->train_full = opts && opts->train_full;
    m->embed_scale = 1;
    m->stack.bias = m->encoder.bias = WN_NO_PARAM;
    m->embed_norm = m->final_norm = m->encoder_norm = wn_no_norm();
    WN_TRY(wn_weights_open(&m->files, path));
    m->facts.path = m->files.path;
    WN_TRY(build(m));
    m->facts.layers = m->stack.L;
    m->facts.heads = m->stack.H;
    m->facts.parameters = wn_params_count(&m->params);
    if (!m->files.is_gguf)
        WN_TRY(read_sentence_folder(m));
    WN_TRY(wn_tokenizer_open(&m->tokenizer, path));
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
    wn_mat_release(&m->head_mat);
    wn_free(m->head_mat.panel);
    wn_params_free(&m->params);
    wn_tokenizer_close(m->tokenizer);
    wn_weights_close(&m->files);
    wn_free(m->pooling);
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

wn_err wn_model_sha(wn_model *m, char hex[WN_SHA_HEX])
{
    if (!m->sha[0])
        WN_TRY(wn_weights_sha(&m->files, m->sha));
    if (!m->adapter_sha[0]) {
        memcpy(hex, m->sha, WN_SHA_HEX);
        return WN_OK;
    }
    char both[2 * WN_SHA_HEX];
    memcpy(both, m->sha, WN_SHA_HEX);
    memcpy(both + WN_SHA_HEX, m->adapter_sha, WN_SHA_HEX);
    return wn_sha_bytes(hex, both, sizeof both);
}

wn_err wn_model_manifest(json_t **out, wn_model *m)
{
    char hex[WN_SHA_HEX];
    WN_TRY(wn_model_sha(m, hex));
    *out = json_pack("{s:s, s:s, s:s, s:s, s:s}", "name", wn_path_base(m->files.path), "sha256",
                     hex, "family", m->facts.family, "dtype", m->facts.dtype, "precision",
                     m->facts.precision == WN_PRECISION_BF16 ? "bf16" : "f32");
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
        if (l->N && m->params.p[l->weight].trainable)
            wn_repack(&l->mat, m->params.p[l->weight].value, l->transposed);
    if (m->head_mat.N && m->params.p[m->head.weight].trainable)
        wn_repack(&m->head_mat, m->params.p[m->head.weight].value, false);
}

/* Full models as transformers folders. A tensor is converted, merged and written before the next
 * one is looked at, so no second copy of a model is ever in memory. */
#include <stdio.h>
#include <string.h>

#include "base/report.h"
#include "io/file.h"
#include "model/save.h"

#define SHARD_BYTES 5000000000u

wn_err wn_model_can_save(const wn_model *m)
{
    if (m->files.is_gguf)
        WN_TRY(wn_save_gguf_can(m));
    else if (strcmp(m->path, m->files.path) != 0)
        return wn_fail(WN_EARG, "%s: its Transformer is in a folder of its own; expected %s",
                       m->path, m->files.path);
    if (m->output.N && m->output.weight == m->token.param && !wn_linear_plain(&m->output))
        return wn_fail(WN_EARG,
                       "%s: the adapter is on %s, whose weight is the embedding's too: merged, it "
                       "would change both; expected the adapter used on the model as it is",
                       m->path, m->output.module);
    return WN_OK;
}

/* ---- the other files ---- */

static wn_err copy_file(const char *from_dir, const char *to_dir, const char *name)
{
    char *from = NULL, *to = NULL;
    wn_map map = {0};
    wn_err e = wn_path_join(&from, from_dir, name);
    if (!e)
        e = wn_path_join(&to, to_dir, name);
    if (!e)
        e = wn_map_open(&map, from);
    if (!e) {
        e = wn_file_write(to, map.data, map.size);
        wn_map_close(&map);
    }
    wn_free(from);
    wn_free(to);
    return e;
}

/* A module of a sentence-transformers folder: all its files. */
static wn_err copy_module(const char *from_dir, const char *to_dir, const char *name)
{
    char *from = NULL, *to = NULL, **names = NULL;
    size_t n = 0;
    wn_err e = wn_path_join(&from, from_dir, name);
    if (!e)
        e = wn_path_join(&to, to_dir, name);
    if (!e)
        e = wn_mkdirs(to);
    if (!e)
        e = wn_dir_list(&names, &n, from);
    for (size_t i = 0; !e && i < n; i++)
        e = copy_file(from, to, names[i]);
    wn_names_free(names, n);
    wn_free(from);
    wn_free(to);
    return e;
}

wn_err wn_save_json(const char *dir, const char *name, json_t *j)
{
    char *path = NULL;
    wn_str text = {0};
    wn_err e = j ? wn_path_join(&path, dir, name) : WN_ENOMEM;
    if (!e)
        e = wn_json_dump(&text, j, 2, false);
    if (!e)
        wn_str_putc(&text, '\n');
    if (!e)
        e = wn_str_check(&text);
    if (!e)
        e = wn_file_write(path, text.p, text.len);
    json_decref(j);
    wn_str_free(&text);
    wn_free(path);
    return e;
}

/* config.json with the type of the weights that are written. */
static wn_err write_config(const wn_model *m, const char *dir, const char *dtype)
{
    static const char *const names[][2] = {
        {"f32", "float32"}, {"f16", "float16"}, {"bf16", "bfloat16"}};
    static const char *const keys[] = {"dtype", "torch_dtype"};
    json_t *c = json_deep_copy(m->files.config);
    bool said = false;
    for (int i = 0; c && i < 3; i++)
        for (int k = 0; strcmp(names[i][0], dtype) == 0 && k < 2; k++)
            if (json_object_get(c, keys[k]) || (k == 1 && !said)) {
                json_object_set_new(c, keys[k], json_string(names[i][1]));
                said = true;
            }
    return wn_save_json(dir, "config.json", c);
}

/* Everything of the folder but weights: config, tokenizer, generation settings, what a sentence
 * folder has behind its Transformer. */
static wn_err copy_rest(const wn_model *m, const char *dir, const char *dtype)
{
    char **names = NULL;
    size_t n = 0;
    WN_TRY(wn_dir_list(&names, &n, m->files.path));
    wn_err e = WN_OK;
    for (size_t i = 0; !e && i < n; i++) {
        const char *dot = strrchr(names[i], '.');
        char *path = NULL;
        e = wn_path_join(&path, m->files.path, names[i]);
        bool folder = !e && wn_is_dir(path);
        wn_free(path);
        bool text = dot && (strcmp(dot, ".json") == 0 || strcmp(dot, ".txt") == 0 ||
                            strcmp(dot, ".model") == 0 || strcmp(dot, ".jinja") == 0);
        if (!e && folder && m->sentence && names[i][0] != '.')
            e = copy_module(m->files.path, dir, names[i]);
        else if (!e && !folder && dtype && strcmp(names[i], "config.json") == 0)
            e = write_config(m, dir, dtype);
        else if (!e && !folder && text && !strstr(names[i], ".safetensors"))
            e = copy_file(m->files.path, dir, names[i]);
    }
    wn_names_free(names, n);
    return e;
}

/* ---- one tensor ---- */

struct save {
    const wn_model *m;
    wn_tensor *t;           /* [n] as they will be written, without data */
    const wn_param **param; /* [n] of a GGUF file; NULL: tensors are the folder's own */
    size_t n;
    size_t first; /* of the file being written */
    void *owned;  /* bytes of the last tensor */
    uint64_t done, total;
};

static const wn_param *param_of(const wn_model *m, const char *name)
{
    size_t skip = strlen(m->files.prefix);
    if (strncmp(name, m->files.prefix, skip) != 0)
        return NULL;
    for (size_t i = 0; i < m->params.n; i++) {
        const char *own = m->params.p[i].name;
        if (strlen(own) > m->files.skip && strcmp(own + m->files.skip, name + skip) == 0)
            return &m->params.p[i];
    }
    return NULL;
}

/* W [N, K], or its transpose: W += scale B A; l W by rows or, where l is on the input, by columns.
 */
static void merge_weight(float *w, const wn_model *m, const wn_linear *l)
{
    const wn_param *p = m->params.p;
    size_t N = l->N, K = l->K;
    if (l->r) {
        const float *A = p[l->lora_a].value, *B = p[l->lora_b].value;
        if (l->transposed)
            wn_gemm(true, true, K, N, l->r, l->scale, A, K, B, l->r, true, w, N);
        else
            wn_gemm(false, false, N, K, l->r, l->scale, B, l->r, A, K, true, w, K);
    }
    if (l->ia3 == WN_NO_PARAM)
        return;
    const float *v = p[l->ia3].value;
    size_t rows = l->transposed ? K : N, cols = l->transposed ? N : K;
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < cols; c++)
            w[r * cols + c] *= v[l->ia3_in == l->transposed ? r : c];
}

static void merge_bias(float *b, const wn_model *m, const wn_linear *l)
{
    if (l->ia3 == WN_NO_PARAM || l->ia3_in)
        return;
    for (size_t n = 0; n < l->N; n++)
        b[n] *= m->params.p[l->ia3].value[n];
}

/* Whether an adapter changes parameter p; with f also changes its value. */
static bool merge(float *f, const wn_model *m, const wn_param *p)
{
    wn_linear *l;
    int index = (int)(p - m->params.p);
    for (size_t i = 0; (l = wn_model_linear((wn_model *)m, i)); i++) {
        if (!l->N || (!l->r && l->ia3 == WN_NO_PARAM))
            continue;
        if (l->weight == index && f)
            merge_weight(f, m, l);
        if (l->bias == index && f)
            merge_bias(f, m, l);
        if (l->weight == index || l->bias == index)
            return true;
    }
    return false;
}

static wn_err parse_dtype(wn_dtype *out, const char *name)
{
    static const wn_dtype known[] = {WN_F32, WN_F16, WN_BF16};
    for (int i = 0; i < 3; i++)
        if (strcmp(wn_dtype_name(known[i]), name) == 0) {
            *out = known[i];
            return WN_OK;
        }
    return wn_fail(WN_EARG, "save-dtype \"%s\": expected f32, f16 or bf16", name);
}

static bool is_real(wn_dtype t)
{
    return t == WN_F32 || t == WN_F16 || t == WN_BF16 || t == WN_F8_E4M3 || t == WN_F8_E5M2;
}

/* Rounds n numbers in place: half k lies before float k. */
static wn_err narrow(void *data, wn_dtype type, uint64_t n, const char *name)
{
    char *at = data;
    for (uint64_t k = 0; k < n; k++) {
        float x;
        memcpy(&x, at + 4 * k, sizeof x);
        uint16_t h = type == WN_F16 ? wn_f32_to_f16(x) : wn_f32_to_bf16(x);
        if ((h & 0x7fffu) == (type == WN_F16 ? 0x7c00u : 0x7f80u))
            return wn_fail(WN_EARG, "tensor %s: %g does not fit %s", name, (double)x,
                           wn_dtype_name(type));
        memcpy(at + 2 * k, &h, sizeof h);
    }
    return WN_OK;
}

/* A parameter of a GGUF file. */
static wn_err fill_param(struct save *s, size_t i, const void **data)
{
    const wn_tensor *to = &s->t[s->first + i];
    const wn_param *p = s->param[s->first + i];
    uint64_t n = wn_tensor_count(to);
    wn_free(s->owned);
    float *f = s->owned = wn_malloc((n ? n : 1) * sizeof *f);
    if (!f)
        return WN_ENOMEM;
    *data = f;
    s->done += to->bytes;
    WN_TRY(wn_progress("write", "bytes", s->done, s->total, NULL));
    WN_TRY(wn_param_read(f, s->m, p));
    merge(f, s->m, p);
    if (!wn_all_finite(f, n))
        return wn_fail(WN_EARG, "tensor %s: expected finite numbers, found NaN or infinity",
                       p->name);
    return to->dtype == WN_F32 ? WN_OK : narrow(f, to->dtype, n, p->name);
}

static wn_err fill(void *ctx, size_t i, const void **data)
{
    struct save *s = ctx;
    if (s->param)
        return fill_param(s, i, data);
    const wn_tensor *from = wn_safetensors_at(s->m->files.st, s->first + i),
                    *to = &s->t[s->first + i];
    const wn_param *p = is_real(from->dtype) ? param_of(s->m, from->name) : NULL;
    uint64_t n = wn_tensor_count(from);
    wn_free(s->owned);
    s->owned = NULL;
    s->done += to->bytes;
    WN_TRY(wn_progress("write", "bytes", s->done, s->total, NULL));
    *data = from->data;
    if (from->dtype == to->dtype && !(p && (p->value || merge(NULL, s->m, p))))
        return WN_OK;
    float *f = s->owned = wn_malloc((n ? n : 1) * sizeof *f);
    if (!f)
        return WN_ENOMEM;
    *data = f;
    if (!p || !p->value)
        WN_TRY(wn_tensor_to_f32(f, from, 0, n));
    for (uint64_t k = 0; p && p->value && k < n; k++)
        f[k] = p->value[k] - p->offset;
    if (p)
        merge(f, s->m, p);
    if (p && !wn_all_finite(f, n))
        return wn_fail(WN_EARG, "tensor %s: expected finite numbers, found NaN or infinity",
                       from->name);
    return to->dtype == WN_F32 ? WN_OK : narrow(f, to->dtype, n, from->name);
}

/* ---- files ---- */

/* Types and sizes of what will be written. */
static wn_err plan(struct save *s, const wn_save_opts *o)
{
    wn_dtype dtype = WN_F32;
    if (o->dtype)
        WN_TRY(parse_dtype(&dtype, o->dtype));
    for (size_t i = 0; i < s->n; i++) {
        wn_tensor *t = &s->t[i];
        if (!s->param)
            *t = *wn_safetensors_at(s->m->files.st, i);
        bool f8 = t->dtype == WN_F8_E4M3 || t->dtype == WN_F8_E5M2;
        if (is_real(t->dtype) && (o->dtype || f8))
            t->dtype = o->dtype ? dtype : WN_BF16;
        t->bytes = wn_tensor_count(t) * wn_dtype_block_bytes(t->dtype);
        s->total += t->bytes;
    }
    return WN_OK;
}

/* How many tensors from `first` go into one file: at least one. */
static size_t shard_end(const struct save *s, size_t first, uint64_t most)
{
    uint64_t bytes = 0;
    size_t end = first;
    while (end < s->n && (end == first || bytes + s->t[end].bytes <= most))
        bytes += s->t[end++].bytes;
    return end;
}

static wn_err write_index(const struct save *s, const char *dir, uint64_t most, size_t shards)
{
    json_t *map = json_object();
    char name[64];
    size_t at = 0;
    for (size_t k = 0; k < shards; k++)
        for (size_t end = shard_end(s, at, most); at < end; at++) {
            snprintf(name, sizeof name, "model-%05zu-of-%05zu.safetensors", k + 1, shards);
            json_object_set_new(map, s->t[at].name, json_string(name));
        }
    json_t *j = json_pack("{s:{s:I}, s:o}", "metadata", "total_size", (json_int_t)s->total,
                          "weight_map", map);
    return wn_save_json(dir, "model.safetensors.index.json", j);
}

static wn_err write_weights(struct save *s, const char *dir, uint64_t most)
{
    static const char *const metadata[] = {"format", "pt", NULL};
    size_t shards = 0;
    for (size_t at = 0; at < s->n; shards++)
        at = shard_end(s, at, most);
    wn_err e = WN_OK;
    for (size_t k = 0; !e && k < shards; k++) {
        char name[64] = "model.safetensors", *path = NULL;
        size_t end = shard_end(s, s->first, most);
        if (shards > 1)
            snprintf(name, sizeof name, "model-%05zu-of-%05zu.safetensors", k + 1, shards);
        e = wn_path_join(&path, dir, name);
        if (!e)
            e = wn_safetensors_stream(path, s->t + s->first, end - s->first, metadata, fill, s);
        wn_free(path);
        s->first = end;
    }
    if (!e && shards > 1)
        e = write_index(s, dir, most, shards);
    return e;
}

wn_err wn_model_save(const wn_model *m, const char *dir, const wn_save_opts *o)
{
    WN_TRY(wn_model_can_save(m));
    bool gguf = m->files.is_gguf;
    struct save s = {.m = m};
    wn_err e = WN_OK;
    if (gguf) {
        e = wn_save_gguf_tensors(&s.t, &s.param, &s.n, m);
    } else {
        s.n = wn_safetensors_count(m->files.st);
        WN_NEW(s.t, s.n + 1);
    }
    if (!e)
        e = plan(&s, o);
    if (!e)
        e = wn_mkdirs(dir);
    if (!e)
        e = write_weights(&s, dir, o->shard_bytes ? o->shard_bytes : SHARD_BYTES);
    if (!e)
        e = gguf ? wn_save_gguf_rest(m, dir, o->dtype) : copy_rest(m, dir, o->dtype);
    wn_free(s.owned);
    wn_free(s.param);
    wn_free(s.t);
    return e;
}

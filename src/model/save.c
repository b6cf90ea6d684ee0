/* Full models as transformers folders. */
#include <stdio.h>
#include <string.h>

#include "io/file.h"
#include "model/internal.h"

wn_err wn_model_can_save(const wn_model *m)
{
    if (m->files.is_gguf)
        return wn_fail(WN_EARG,
                       "%s: a full model can be saved where it came from a Hugging Face folder, "
                       "not from a GGUF file; use method lora",
                       m->files.path);
    return WN_OK;
}

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

/* Everything of the folder but weights: config, tokenizer, generation settings. */
static wn_err copy_rest(const wn_model *m, const char *dir)
{
    char **names = NULL;
    size_t n = 0;
    WN_TRY(wn_dir_list(&names, &n, m->files.path));
    wn_err e = WN_OK;
    for (size_t i = 0; !e && i < n; i++) {
        const char *dot = strrchr(names[i], '.');
        bool text = dot && (strcmp(dot, ".json") == 0 || strcmp(dot, ".txt") == 0 ||
                            strcmp(dot, ".model") == 0 || strcmp(dot, ".jinja") == 0);
        if (text && !strstr(names[i], ".safetensors"))
            e = copy_file(m->files.path, dir, names[i]);
    }
    wn_names_free(names, n);
    return e;
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

/* One tensor as it will be written; *owned is freed by the caller where it is not NULL. */
static wn_err convert(wn_tensor *out, void **owned, const wn_model *m, const wn_tensor *t,
                      const char *dtype)
{
    size_t skip = strlen(m->files.prefix);
    const wn_param *p = NULL;
    uint64_t n = wn_tensor_count(t);
    *out = *t;
    *owned = NULL;
    if (strncmp(t->name, m->files.prefix, skip) == 0)
        p = wn_params_find((wn_params *)&m->params, t->name + skip);
    bool real = t->dtype == WN_F32 || t->dtype == WN_F16 || t->dtype == WN_BF16;
    if (dtype && real)
        WN_TRY(parse_dtype(&out->dtype, dtype));
    if ((!p || !p->value) && out->dtype == t->dtype)
        return WN_OK;
    bool borrowed = p && p->value && p->offset == 0;
    float *f = borrowed ? p->value : wn_malloc(n * sizeof *f);
    if (!f)
        return WN_ENOMEM;
    wn_err e = p && p->value ? WN_OK : wn_tensor_to_f32(f, t, 0, n);
    for (uint64_t i = 0; p && p->value && !borrowed && i < n; i++)
        f[i] = p->value[i] - p->offset;
    if (!e && out->dtype == WN_F32) {
        out->data = f;
        out->bytes = n * sizeof *f;
        *owned = borrowed ? NULL : f;
        return WN_OK;
    }
    uint16_t *half = e ? NULL : wn_malloc(n * sizeof *half);
    for (uint64_t i = 0; half && i < n; i++)
        half[i] = out->dtype == WN_F16 ? wn_f32_to_f16(f[i]) : wn_f32_to_bf16(f[i]);
    if (!borrowed)
        wn_free(f);
    out->data = *owned = half;
    out->bytes = n * sizeof *half;
    return e ? e : half ? WN_OK : WN_ENOMEM;
}

wn_err wn_model_save(const wn_model *m, const char *dir, const char *dtype)
{
    static const char *const metadata[] = {"format", "pt", NULL};
    size_t n = wn_safetensors_count(m->files.st);
    WN_TRY(wn_model_can_save(m));
    wn_tensor *t = wn_calloc(n, sizeof *t);
    void **owned = wn_calloc(n, sizeof *owned);
    char *path = NULL;
    wn_err e = t && owned ? wn_mkdirs(dir) : WN_ENOMEM;
    for (size_t i = 0; !e && i < n; i++)
        e = convert(&t[i], &owned[i], m, wn_safetensors_at(m->files.st, i), dtype);
    if (!e)
        e = wn_path_join(&path, dir, "model.safetensors");
    if (!e)
        e = wn_safetensors_write(path, t, n, metadata);
    if (!e)
        e = copy_rest(m, dir);
    for (size_t i = 0; owned && i < n; i++)
        wn_free(owned[i]);
    wn_free(owned);
    wn_free(t);
    wn_free(path);
    return e;
}

#include "model/weights.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "io/file.h"
#include "kernel/kernel.h"
#include "model/weights_gguf.h"

/* ---- opening ------------------------------------------------------------------------------------
 */

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);
    return n >= m && strcmp(s + n - m, end) == 0;
}

/* Integers or float8 with scales beside them are another library's format, not numbers to be read
 * as they stand. */
static wn_err refuse_quantised(const wn_weights *w)
{
    static const char *const ends[] = {
        ".weight_scale", ".weight_scale_inv", ".weight_scale_2", ".input_scale", ".qweight",
        ".qzeros",       ".weight_packed",    ".absmax",         ".SCB",         "_scales"};
    const json_t *q = json_object_get(w->config, "quantization_config");
    if (json_is_object(q)) {
        const char *method = json_string_value(json_object_get(q, "quant_method"));
        return wn_fail(WN_EFORMAT,
                       "%s: quantization_config: a checkpoint quantised by \"%s\" is not supported",
                       w->place, method ? method : "?");
    }
    for (size_t i = 0; i < wn_safetensors_count(w->st); i++)
        for (size_t k = 0; k < sizeof ends / sizeof *ends; k++)
            if (ends_with(wn_safetensors_at(w->st, i)->name, ends[k]))
                return wn_fail(WN_EFORMAT, "%s: tensor %s: quantised weights are not supported",
                               wn_safetensors_path(w->st), wn_safetensors_at(w->st, i)->name);
    return WN_OK;
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
        return wn_gguf_config(w);
    }
    char *config = NULL;
    WN_TRY(wn_path_join(&config, path, "config.json"));
    w->place = config;
    WN_TRY(wn_json_load(&w->config, config));
    if (!json_is_object(w->config))
        return wn_fail(WN_EFORMAT, "%s: expected a JSON object", config);
    WN_TRY(wn_safetensors_open(&w->st, path));
    return refuse_quantised(w);
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

/* ---- without files ---- */

struct wn_made_up {
    wn_tensor any;
    wn_tensor **tensor; /* kept until close: tables borrow them */
    size_t n, cap;
};

wn_err wn_weights_make_up(wn_weights *w, json_t *config, const char *place)
{
    *w = (wn_weights){.prefix = "", .config = config};
    w->path = wn_strdup(place);
    w->place = wn_strdup(place);
    w->made_up = wn_calloc(1, sizeof *w->made_up);
    if (w->path && w->place && w->made_up) {
        w->made_up->any.name = "made up";
        return WN_OK;
    }
    wn_weights_close(w);
    return WN_ENOMEM;
}

static wn_err make_tensor(const wn_tensor **out, const wn_weights *w, size_t rows, size_t cols)
{
    struct wn_made_up *m = w->made_up;
    if (!WN_GROW(m->tensor, m->n, m->cap))
        return WN_ENOMEM;
    wn_tensor *t = wn_calloc(1, sizeof *t);
    if (!t)
        return WN_ENOMEM;
    *t = (wn_tensor){.name = m->any.name, .dtype = WN_BF16, .ndim = cols ? 2 : 1};
    t->dim[0] = rows;
    t->dim[1] = cols;
    m->tensor[m->n++] = t;
    *out = t;
    return WN_OK;
}

/* Vectors are ones, which suits norms; matrices numbers of the size that keeps states of one
 * length.
 */
static void make_rows(float *out, size_t first, size_t n, size_t cols)
{
    float size = 1.7f / sqrtf((float)cols);
    for (size_t r = 0; r < n; r++) {
        uint32_t x = (uint32_t)(first + r) * 2654435761u + 1;
        for (size_t c = 0; c < cols; c++) {
            x = x * 1664525u + 1013904223u;
            out[r * cols + c] = size * ((float)(int32_t)x * 0x1p-31f);
        }
    }
}

static void free_made_up(struct wn_made_up *m)
{
    for (size_t i = 0; m && i < m->n; i++)
        wn_free(m->tensor[i]);
    if (m)
        wn_free(m->tensor);
    wn_free(m);
}

void wn_weights_close(wn_weights *w)
{
    free_made_up(w->made_up);
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
    if (w->made_up)
        return &w->made_up->any;
    if (!w->is_gguf && strlen(name) > w->skip)
        name += w->skip;
    if (w->is_gguf)
        return wn_gguf_name(other, sizeof other, w, name) ? wn_gguf_find(w->gguf, other) : NULL;
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
    if (w->made_up)
        return make_tensor(out, w, rows, cols);
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

/* A vector whose elements stand in another order. */
static wn_err reordered(float *out, const wn_weights *w, const wn_tensor *t, wn_row_order order)
{
    size_t n = (size_t)t->dim[0];
    float *raw = wn_malloc(n * sizeof *raw);
    if (!raw)
        return WN_ENOMEM;
    wn_err e = wn_tensor_to_f32(raw, t, 0, n);
    for (size_t i = 0; !e && i < n; i++)
        out[i] = raw[wn_gguf_row(w, &order, n, i)];
    wn_free(raw);
    return e;
}

static wn_err check_finite(const float *x, const wn_weights *w, const wn_tensor *t, size_t first,
                           size_t n, size_t cols)
{
    if (wn_all_finite(x, n * cols))
        return WN_OK;
    size_t bad = 0;
    while (isfinite(x[bad]))
        bad++;
    const char *file = w->is_gguf ? w->place : wn_safetensors_path(w->st);
    const char *what = isnan(x[bad]) ? "NaN" : "infinity";
    if (t->ndim < 2)
        return wn_fail(WN_EFORMAT, "%s: tensor %s, element %zu: expected a finite number, found %s",
                       file, t->name, bad, what);
    return wn_fail(WN_EFORMAT,
                   "%s: tensor %s, row %zu, column %zu: expected a finite number, found %s", file,
                   t->name, first + bad / cols, bad % cols, what);
}

wn_err wn_weights_rows(float *out, const wn_weights *w, const wn_tensor *t, size_t first, size_t n,
                       wn_row_order order)
{
    size_t rows = (size_t)t->dim[0], cols = t->ndim > 1 ? (size_t)t->dim[1] : rows;
    bool other = w->is_gguf && order.head;
    if (w->made_up) {
        for (size_t i = 0; t->ndim == 1 && i < cols; i++)
            out[i] = 1;
        if (t->ndim > 1)
            make_rows(out, first, n, cols);
        return WN_OK;
    }
    if (other && t->ndim == 1)
        WN_TRY(reordered(out, w, t, order));
    for (size_t i = 0; other && t->ndim > 1 && i < n; i++)
        WN_TRY(wn_tensor_to_f32(out + i * cols, t,
                                (uint64_t)wn_gguf_row(w, &order, rows, first + i) * cols, cols));
    if (!other)
        WN_TRY(wn_tensor_to_f32(out, t, (uint64_t)first * cols, (uint64_t)n * cols));
    return check_finite(out, w, t, first, n, cols);
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

/* safetensors: a JSON header is all there is to distrust. A header entry becomes a view only after
 * its shape, type and byte range agree with each other and with the file; ranges must follow each
 * other without gaps, as the format demands, so no byte belongs to two tensors. */
#include "io/safetensors.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/json.h"
#include "io/tensor_table.h"

/* The reference's cap on the header. */
#define HEADER_MAX ((uint64_t)100000000)

struct shard {
    wn_map map;
    const char *data; /* behind the header */
    uint64_t data_bytes;
    size_t first, n; /* its tensors in the table */
};

struct wn_safetensors {
    char *path;
    struct shard *shard;
    size_t n_shards, cap_shards;
    wn_table table;
};

static const struct {
    const char *name;
    wn_dtype type;
} dtypes[] = {{"F32", WN_F32},         {"F16", WN_F16},         {"BF16", WN_BF16},
              {"F8_E4M3", WN_F8_E4M3}, {"F8_E5M2", WN_F8_E5M2}, {"I32", WN_I32},
              {"I64", WN_I64},         {"U8", WN_U8},           {"BOOL", WN_U8}};
enum { N_DTYPES = sizeof dtypes / sizeof *dtypes };

/* ---- one file ---- */

static wn_err read_dtype(wn_dtype *type, const json_t *entry, const char *where)
{
    const char *name;
    WN_TRY(wn_json_get_string(&name, entry, "dtype", true, where));
    for (int i = 0; i < N_DTYPES; i++) {
        if (strcmp(name, dtypes[i].name) == 0) {
            *type = dtypes[i].type;
            return WN_OK;
        }
    }
    return wn_fail(WN_EFORMAT, "%s: tensor type %.40s is not supported", where, name);
}

static wn_err read_u64s(uint64_t *v, int *n, int max, const json_t *entry, const char *key,
                        const char *where)
{
    const json_t *a = json_object_get(entry, key);
    if (!json_is_array(a) || json_array_size(a) > (size_t)max)
        return wn_fail(WN_EFORMAT, "%s: %s: expected an array of at most %d whole numbers", where,
                       key, max);
    *n = (int)json_array_size(a);
    for (int i = 0; i < *n; i++) {
        const json_t *e = json_array_get(a, (size_t)i);
        if (!json_is_integer(e) || json_integer_value(e) < 0)
            return wn_fail(WN_EFORMAT, "%s: %s: expected whole numbers from 0", where, key);
        v[i] = (uint64_t)json_integer_value(e);
    }
    return WN_OK;
}

static wn_err read_entry(wn_safetensors *s, const struct shard *f, const char *name,
                         const json_t *entry)
{
    const char *path = f->map.path;
    char where[WN_ERROR_TEXT_BYTES];
    snprintf(where, sizeof where, "%s: tensor %.200s", path, name);
    wn_tensor t = {0};
    uint64_t range[2], need;
    int n;
    WN_TRY(read_dtype(&t.dtype, entry, where));
    WN_TRY(read_u64s(t.dim, &t.ndim, WN_MAX_DIMS, entry, "shape", where));
    WN_TRY(read_u64s(range, &n, 2, entry, "data_offsets", where));
    if (n != 2 || range[0] > range[1])
        return wn_fail(WN_EFORMAT, "%s: data_offsets: expected [begin, end]", where);
    if (range[1] > f->data_bytes)
        return wn_fail(WN_EFORMAT,
                       "%s: ends at byte %" PRIu64 " of the data, but the file holds %" PRIu64
                       " (cut short?)",
                       where, range[1], f->data_bytes);
    WN_TRY(wn_shape_bytes(&need, t.dtype, t.dim, t.ndim, name, path));
    t.bytes = range[1] - range[0];
    if (t.bytes != need)
        return wn_fail(WN_EFORMAT,
                       "%s: its shape needs %" PRIu64 " bytes, data_offsets span %" PRIu64, where,
                       need, t.bytes);
    t.data = f->data + range[0];
    return wn_table_add(&s->table, name, strlen(name), &t, path);
}

static wn_err read_header(wn_safetensors *s, struct shard *f, const json_t *header)
{
    if (!json_is_object(header))
        return wn_fail(WN_EFORMAT, "%s: expected a JSON object as header", f->map.path);
    json_t *o = (json_t *)header;
    for (void *it = json_object_iter(o); it; it = json_object_iter_next(o, it)) {
        const char *name = json_object_iter_key(it);
        if (strcmp(name, "__metadata__") != 0)
            WN_TRY(read_entry(s, f, name, json_object_iter_value(it)));
    }
    return WN_OK;
}

/* The map of *f is open. */
static wn_err read_file(wn_safetensors *s, struct shard *f)
{
    const wn_map *m = &f->map;
    if (m->size < 8)
        return wn_fail(WN_EFORMAT, "%s: expected a safetensors file, found %" PRIu64 " bytes",
                       m->path, m->size);
    uint64_t n = 0;
    for (int i = 7; i >= 0; i--)
        n = n << 8 | (unsigned char)m->data[i];
    if (n > HEADER_MAX || n > m->size - 8)
        return wn_fail(WN_EFORMAT,
                       "%s: header of %" PRIu64 " bytes in a file of %" PRIu64
                       " (cut short, or no safetensors file)",
                       m->path, n, m->size);
    f->data = m->data + 8 + n;
    f->data_bytes = m->size - 8 - n;
    f->first = s->table.n;
    char where[WN_ERROR_TEXT_BYTES];
    snprintf(where, sizeof where, "%s: header", m->path);
    json_t *header;
    WN_TRY(wn_json_parse(&header, m->data + 8, (size_t)n, where));
    wn_err err = read_header(s, f, header);
    json_decref(header);
    f->n = s->table.n - f->first;
    return err;
}

static wn_err add_shard(wn_safetensors *s, const char *path)
{
    if (!WN_GROW(s->shard, s->n_shards, s->cap_shards))
        return WN_ENOMEM;
    struct shard *f = &s->shard[s->n_shards];
    *f = (struct shard){0};
    WN_TRY(wn_map_open(&f->map, path));
    s->n_shards++;
    return read_file(s, f);
}

static wn_err seal(wn_safetensors *s)
{
    WN_TRY(wn_table_seal(&s->table, s->path));
    for (size_t i = 0; i < s->n_shards; i++) {
        const struct shard *f = &s->shard[i];
        WN_TRY(wn_table_check_layout(&s->table, f->first, f->n, f->data, f->data_bytes, false,
                                     f->map.path));
    }
    return WN_OK;
}

/* ---- shards ---- */

static int by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The files that the weight map names, sorted, each once; borrowed from the map. */
static wn_err shard_names(const char ***names, size_t *n, const json_t *map, const char *index)
{
    if (!json_is_object(map) || json_object_size(map) == 0)
        return wn_fail(WN_EFORMAT, "%s: weight_map: expected an object of file names", index);
    const char **list = wn_malloc(json_object_size(map) * sizeof *list);
    if (!list)
        return WN_ENOMEM;
    *names = list;
    *n = 0;
    json_t *o = (json_t *)map;
    for (void *it = json_object_iter(o); it; it = json_object_iter_next(o, it)) {
        const char *file = json_string_value(json_object_iter_value(it));
        if (!file || !*file || strchr(file, '/') || file[0] == '.')
            return wn_fail(WN_EFORMAT,
                           "%s: weight_map: %.200s: expected a file name without a path", index,
                           json_object_iter_key(it));
        list[(*n)++] = file;
    }
    qsort(list, *n, sizeof *list, by_text);
    size_t kept = 0;
    for (size_t i = 0; i < *n; i++)
        if (i == 0 || strcmp(list[i], list[kept - 1]) != 0)
            list[kept++] = list[i];
    *n = kept;
    return WN_OK;
}

static wn_err open_shards(wn_safetensors *s, const char *const *names, size_t n, const char *index)
{
    char *dir = wn_strndup(index, (size_t)(wn_path_base(index) - index));
    if (!dir)
        return WN_ENOMEM;
    wn_err err = WN_OK;
    for (size_t i = 0; i < n && err == WN_OK; i++) {
        char *path;
        err = wn_path_join(&path, dir, names[i]);
        if (err == WN_OK)
            err = add_shard(s, path);
        wn_free(path);
    }
    wn_free(dir);
    return err;
}

/* Every tensor of the weight map must be in the shard it is said to be in. */
static wn_err check_map(const wn_safetensors *s, const json_t *map, const char *index)
{
    json_t *o = (json_t *)map;
    for (void *it = json_object_iter(o); it; it = json_object_iter_next(o, it)) {
        const char *name = json_object_iter_key(it);
        const char *file = json_string_value(json_object_iter_value(it));
        const wn_tensor *t = wn_table_find(&s->table, name);
        bool there = false;
        for (size_t i = 0; t && i < s->n_shards; i++) {
            const struct shard *f = &s->shard[i];
            size_t at = (size_t)(t - s->table.t);
            if (at >= f->first && at - f->first < f->n)
                there = strcmp(wn_path_base(f->map.path), file) == 0;
        }
        if (!there)
            return wn_fail(WN_EFORMAT, "%s: tensor %.200s: expected it in %.200s, found it %s",
                           index, name, file, t ? "in another shard" : "nowhere");
    }
    return WN_OK;
}

static wn_err read_index(wn_safetensors *s, const char *index)
{
    json_t *root;
    WN_TRY(wn_json_load(&root, index));
    const json_t *map = json_object_get(root, "weight_map");
    const char **names = NULL;
    size_t n = 0;
    wn_err err = shard_names(&names, &n, map, index);
    if (err == WN_OK)
        err = open_shards(s, names, n, index);
    if (err == WN_OK)
        err = seal(s);
    if (err == WN_OK)
        err = check_map(s, map, index);
    wn_free(names);
    json_decref(root);
    return err;
}

/* ---- opening ---- */

static bool ends_with(const char *s, const char *tail)
{
    size_t n = strlen(s), k = strlen(tail);
    return n >= k && strcmp(s + n - k, tail) == 0;
}

static wn_err open_file(wn_safetensors *s, const char *path)
{
    if (ends_with(path, ".json"))
        return read_index(s, path);
    WN_TRY(add_shard(s, path));
    return seal(s);
}

static wn_err open_folder(wn_safetensors *s, const char *dir)
{
    static const char *const names[] = {"model.safetensors", "model.safetensors.index.json"};
    for (int i = 0; i < 2; i++) {
        char *path;
        WN_TRY(wn_path_join(&path, dir, names[i]));
        bool there = wn_file_exists(path);
        wn_err err = there ? open_file(s, path) : WN_OK;
        wn_free(path);
        if (there)
            return err;
    }
    char *pickle;
    WN_TRY(wn_path_join(&pickle, dir, "pytorch_model.bin"));
    bool old = wn_file_exists(pickle);
    wn_free(pickle);
    return wn_fail(WN_EIO, "%s: expected %s or %s in it%s", dir, names[0], names[1],
                   old ? ", found pytorch_model.bin, which is a program: convert it" : "");
}

static wn_err new_handle(wn_safetensors **out, const char *path)
{
    wn_safetensors *s;
    WN_NEW(s, 1);
    s->path = wn_strdup(path);
    if (!s->path) {
        wn_free(s);
        return WN_ENOMEM;
    }
    *out = s;
    return WN_OK;
}

static wn_err hand_out(wn_safetensors **out, wn_safetensors *s, wn_err err)
{
    if (err == WN_OK)
        *out = s;
    else
        wn_safetensors_close(s);
    return err;
}

wn_err wn_safetensors_open(wn_safetensors **out, const char *path)
{
    *out = NULL;
    wn_safetensors *s;
    WN_TRY(new_handle(&s, path));
    return hand_out(out, s, wn_is_dir(path) ? open_folder(s, path) : open_file(s, path));
}

static wn_err borrow(wn_safetensors *s, const void *bytes, uint64_t size, const char *name)
{
    if (!WN_GROW(s->shard, s->n_shards, s->cap_shards))
        return WN_ENOMEM;
    s->shard[0] = (struct shard){.map = {.data = bytes, .size = size}};
    s->shard[0].map.path = wn_strdup(name);
    if (!s->shard[0].map.path)
        return WN_ENOMEM;
    s->n_shards = 1;
    WN_TRY(read_file(s, &s->shard[0]));
    return seal(s);
}

wn_err wn_safetensors_open_memory(wn_safetensors **out, const void *bytes, uint64_t size,
                                  const char *name)
{
    *out = NULL;
    wn_safetensors *s;
    WN_TRY(new_handle(&s, name));
    return hand_out(out, s, borrow(s, bytes, size, name));
}

void wn_safetensors_close(wn_safetensors *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->n_shards; i++)
        wn_map_close(&s->shard[i].map);
    wn_free(s->shard);
    wn_table_free(&s->table);
    wn_free(s->path);
    wn_free(s);
}

void wn_safetensors_forget(const wn_safetensors *s)
{
    for (size_t i = 0; s && i < s->n_shards; i++)
        wn_map_forget(&s->shard[i].map);
}

size_t wn_safetensors_count(const wn_safetensors *s)
{
    return s->table.n;
}

const wn_tensor *wn_safetensors_at(const wn_safetensors *s, size_t i)
{
    WN_ASSERT(i < s->table.n);
    return &s->table.t[i];
}

const wn_tensor *wn_safetensors_find(const wn_safetensors *s, const char *name)
{
    return wn_table_find(&s->table, name);
}

const char *wn_safetensors_path(const wn_safetensors *s)
{
    return s->path;
}

/* ---- writing ---- */

static wn_err check_tensors(const wn_tensor *t, size_t n, const char *path)
{
    wn_table names = {0};
    wn_err err = WN_OK;
    for (size_t i = 0; i < n && err == WN_OK; i++) {
        uint64_t need = 0;
        if (t[i].dtype > WN_U8)
            err = wn_fail(WN_EARG, "%s: tensor %s: type %s cannot be written", path, t[i].name,
                          wn_dtype_name(t[i].dtype));
        else
            err = wn_shape_bytes(&need, t[i].dtype, t[i].dim, t[i].ndim, t[i].name, path);
        if (err == WN_OK && need != t[i].bytes)
            err = wn_fail(WN_EARG, "%s: tensor %s: expected %" PRIu64 " bytes, found %" PRIu64,
                          path, t[i].name, need, t[i].bytes);
        if (err == WN_OK)
            err = wn_table_add(&names, t[i].name, strlen(t[i].name), &t[i], path);
    }
    if (err == WN_OK)
        err = wn_table_seal(&names, path);
    wn_table_free(&names);
    return err;
}

static void add_metadata(wn_str *h, const char *const *pairs)
{
    wn_str_puts(h, "\"__metadata__\":{");
    for (size_t i = 0; pairs[i]; i += 2) {
        if (i)
            wn_str_putc(h, ',');
        wn_json_cstring(h, pairs[i]);
        wn_str_putc(h, ':');
        wn_json_cstring(h, pairs[i + 1]);
    }
    wn_str_putc(h, '}');
}

static void add_entry(wn_str *h, const wn_tensor *t, uint64_t at)
{
    const char *type = "";
    for (int k = N_DTYPES - 1; k >= 0; k--)
        if (dtypes[k].type == t->dtype)
            type = dtypes[k].name;
    wn_json_cstring(h, t->name);
    wn_str_printf(h, ":{\"dtype\":\"%s\",\"shape\":[", type);
    for (int d = 0; d < t->ndim; d++)
        wn_str_printf(h, "%s%" PRIu64, d ? "," : "", t->dim[d]);
    wn_str_printf(h, "],\"data_offsets\":[%" PRIu64 ",%" PRIu64 "]}", at, at + t->bytes);
}

/* Blanks at the end bring the data to a multiple of 8. */
static wn_err make_header(wn_str *h, const wn_tensor *t, size_t n, const char *const *metadata)
{
    wn_str_putc(h, '{');
    bool some = metadata && metadata[0];
    if (some)
        add_metadata(h, metadata);
    uint64_t at = 0;
    for (size_t i = 0; i < n; i++) {
        if (i || some)
            wn_str_putc(h, ',');
        add_entry(h, &t[i], at);
        at += t[i].bytes;
    }
    wn_str_putc(h, '}');
    while (h->len % 8 && !h->failed)
        wn_str_putc(h, ' ');
    return wn_str_check(h);
}

static wn_err write_all(wn_out *o, const wn_str *h, const wn_tensor *t, size_t n,
                        wn_tensor_fill fill, void *ctx)
{
    unsigned char size[8];
    for (int i = 0; i < 8; i++)
        size[i] = (unsigned char)((uint64_t)h->len >> 8 * i);
    WN_TRY(wn_out_write(o, size, sizeof size));
    WN_TRY(wn_out_write(o, h->p, h->len));
    for (size_t i = 0; i < n; i++) {
        const void *data = t[i].data;
        if (fill)
            WN_TRY(fill(ctx, i, &data));
        WN_TRY(wn_out_write(o, data, (size_t)t[i].bytes));
    }
    return WN_OK;
}

wn_err wn_safetensors_write(const char *path, const wn_tensor *t, size_t n,
                            const char *const *metadata)
{
    return wn_safetensors_stream(path, t, n, metadata, NULL, NULL);
}

wn_err wn_safetensors_stream(const char *path, const wn_tensor *t, size_t n,
                             const char *const *metadata, wn_tensor_fill fill, void *ctx)
{
    WN_TRY(check_tensors(t, n, path));
    wn_str h = {0};
    wn_out o = {0};
    wn_err err = make_header(&h, t, n, metadata);
    if (err == WN_OK)
        err = wn_out_open(&o, path);
    if (err == WN_OK) {
        err = write_all(&o, &h, t, n, fill, ctx);
        if (err == WN_OK)
            err = wn_out_commit(&o);
        else
            wn_out_abort(&o);
    }
    wn_str_free(&h);
    return err;
}

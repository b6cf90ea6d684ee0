#include "store/format.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>

#include "base/mem.h"
#include "io/file.h"
#include "io/json.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "stores are mapped as they are: a big-endian machine needs a swapping reader"
#endif

const char *const wn_store_file[WN_STORE_FILES] = {"tasks.txt", "ids.txt", "meta.bin"};

static bool needs_quotes(wn_span t)
{
    if (t.len && t.p[0] == '"')
        return true;
    for (size_t i = 0; i < t.len; i++)
        if ((unsigned char)t.p[i] < 0x20 || t.p[i] == 0x7f)
            return true;
    return false;
}

void wn_store_line_add(wn_str *s, wn_span text)
{
    if (needs_quotes(text))
        wn_json_string(s, text.p, text.len);
    else
        wn_str_add(s, text.p, text.len);
    wn_str_putc(s, '\n');
}

wn_err wn_store_line_read(char **text, size_t *len, const char *line, size_t n, const char *where)
{
    *text = NULL;
    if (n == 0 || line[0] != '"') {
        *text = wn_strndup(line, n);
        *len = n;
        return *text ? WN_OK : WN_ENOMEM;
    }
    json_t *v;
    WN_TRY(wn_json_parse(&v, line, n, where));
    wn_err err = WN_OK;
    if (json_is_string(v)) {
        *len = json_string_length(v);
        *text = wn_strndup(json_string_value(v), *len);
        err = *text ? WN_OK : WN_ENOMEM;
    } else {
        err = wn_fail(WN_EFORMAT, "%s: expected a JSON string", where);
    }
    json_decref(v);
    return err;
}

/* ---- files of rows ---- */

wn_err wn_store_rows_path(char **path, const char *dir, uint64_t shard)
{
    char name[40] = "rows.bin";
    if (shard)
        snprintf(name, sizeof name, "rows.%" PRIu64 ".bin", shard);
    return wn_path_join(path, dir, name);
}

bool wn_store_owns(const char *name)
{
    for (int i = 0; i < WN_STORE_FILES; i++)
        if (strcmp(name, wn_store_file[i]) == 0)
            return true;
    if (strcmp(name, WN_STORE_SUMS) == 0 || strcmp(name, WN_STORE_SUMS ".tmp") == 0)
        return true;
    size_t n = strlen(name);
    if (n < 8 || strncmp(name, "rows.", 5) != 0 || strcmp(name + n - 4, ".bin") != 0)
        return false;
    return n == 8 || strspn(name + 5, "0123456789") == n - 9;
}

wn_err wn_store_shape_make(wn_store_shape *s, const char *dtype, size_t dim, uint64_t shard_bytes,
                           const char *path)
{
    *s = (wn_store_shape){.version = 2, .head_bytes = WN_STORE_HEAD};
    if (dim < 1 || dim > WN_STORE_DIM_MAX)
        return wn_fail(WN_EARG, "%s: expected a dim of 1 to %d, found %zu", path, WN_STORE_DIM_MAX,
                       dim);
    WN_TRY(wn_store_type_parse(&s->type, dtype));
    s->dim = (uint32_t)dim;
    s->row_bytes = wn_store_type_bytes(s->type, dim);
    uint64_t step = WN_STORE_SHARD_STEP * (uint64_t)s->row_bytes;
    uint64_t steps = (shard_bytes ? shard_bytes : WN_STORE_SHARD_BYTES) / step;
    s->shard_rows = WN_STORE_SHARD_STEP * (steps ? steps : 1);
    return WN_OK;
}

uint64_t wn_store_shards(const wn_store_shape *s, uint64_t rows)
{
    return rows ? (rows - 1) / s->shard_rows + 1 : 1;
}

uint64_t wn_store_shard_fill(const wn_store_shape *s, uint64_t shard, uint64_t rows)
{
    uint64_t before = shard * s->shard_rows, left = rows > before ? rows - before : 0;
    return left < s->shard_rows ? left : s->shard_rows;
}

/* ---- heads ---- */

#define MAGIC   "WNSTORE2"
#define MAGIC_1 "WNSTORE1"

void wn_store_head_make(char head[WN_STORE_HEAD], const wn_store_shape *s, uint64_t shard)
{
    uint32_t type = s->type;
    uint64_t first = shard * s->shard_rows;
    memset(head, 0, WN_STORE_HEAD);
    memcpy(head, MAGIC, 8);
    memcpy(head + 8, &type, sizeof type);
    memcpy(head + 12, &s->dim, sizeof s->dim);
    memcpy(head + 24, &s->shard_rows, sizeof s->shard_rows);
    memcpy(head + 32, &first, sizeof first);
}

static wn_err read_fields(wn_store_shape *s, const char *data, const char *path)
{
    uint32_t type = wn_get32(data + 8);
    s->dim = wn_get32(data + 12);
    if (s->version == 1 ? type != WN_STORE_F32 : !wn_store_type_known(type))
        return wn_fail(WN_EFORMAT, "%s: expected an element type of 1 to %d, found %u", path,
                       s->version == 1 ? WN_STORE_F32 : WN_STORE_INT8, type);
    if (s->dim < 1 || s->dim > WN_STORE_DIM_MAX)
        return wn_fail(WN_EFORMAT, "%s: expected a dim of 1 to %d, found %u", path,
                       WN_STORE_DIM_MAX, s->dim);
    s->type = (wn_store_type)type;
    s->row_bytes = wn_store_type_bytes(s->type, s->dim);
    s->shard_rows = s->version == 1 ? UINT64_MAX : wn_get64(data + 24);
    if (s->version != 1 && (s->shard_rows == 0 || s->shard_rows % WN_STORE_SHARD_STEP != 0 ||
                            s->shard_rows > INT64_MAX / s->row_bytes))
        return wn_fail(WN_EFORMAT, "%s: expected a multiple of %d rows a file, found %" PRIu64,
                       path, WN_STORE_SHARD_STEP, s->shard_rows);
    return WN_OK;
}

wn_err wn_store_head_read(wn_store_shape *s, uint64_t *rows, const char *data, uint64_t size,
                          const char *path)
{
    *s = (wn_store_shape){.version = 2, .head_bytes = WN_STORE_HEAD};
    if (size >= WN_STORE_HEAD_1 && memcmp(data, MAGIC_1, 8) == 0) {
        s->version = 1;
        s->head_bytes = WN_STORE_HEAD_1;
    } else if (size < WN_STORE_HEAD || memcmp(data, MAGIC, 8) != 0) {
        return wn_fail(WN_EFORMAT, "%s: expected a store's rows (\"%s\"), found something else",
                       path, MAGIC);
    }
    WN_TRY(read_fields(s, data, path));
    *rows = wn_get64(data + WN_STORE_ROWS_AT);
    uint64_t first = *rows < s->shard_rows ? *rows : s->shard_rows;
    if (*rows > INT64_MAX / s->row_bytes || (size - s->head_bytes) / s->row_bytes < first)
        return wn_fail(WN_EFORMAT,
                       "%s: header says %" PRIu64 " rows of %u numbers, the file holds %" PRIu64,
                       path, *rows, s->dim, (size - s->head_bytes) / s->row_bytes);
    return WN_OK;
}

wn_err wn_store_head_check(const wn_store_shape *s, uint64_t shard, uint64_t rows, const char *data,
                           const char *path)
{
    char head[WN_STORE_HEAD];
    wn_store_head_make(head, s, shard);
    if (shard == 0)
        memcpy(head + WN_STORE_ROWS_AT, &rows, sizeof rows);
    for (size_t i = 0; i < WN_STORE_HEAD; i++)
        if (head[i] != data[i])
            return wn_fail(WN_EFORMAT, "%s: byte %zu of the head: expected %u, found %u", path, i,
                           (unsigned char)head[i], (unsigned char)data[i]);
    return WN_OK;
}

#include "store/format.h"

#include <jansson.h>

#include "base/mem.h"
#include "io/json.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "stores are mapped as they are: a big-endian machine needs a swapping reader"
#endif

const char *const wn_store_file[WN_STORE_FILES] = {"tasks.txt", "ids.txt", "meta.bin", "rows.bin"};

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

wn_err wn_store_head_read(uint32_t *dim, uint64_t *rows, const char *data, uint64_t size,
                          const char *path)
{
    if (size < WN_STORE_HEAD || memcmp(data, WN_STORE_MAGIC, 8) != 0)
        return wn_fail(WN_EFORMAT, "%s: expected a store's rows (\"%s\"), found something else",
                       path, WN_STORE_MAGIC);
    if (wn_get32(data + 8) != WN_STORE_F32)
        return wn_fail(WN_EFORMAT, "%s: expected element type %d, found %u", path, WN_STORE_F32,
                       wn_get32(data + 8));
    *dim = wn_get32(data + 12);
    *rows = wn_get64(data + WN_STORE_ROWS_AT);
    if (*dim < 1 || *dim > WN_STORE_DIM_MAX)
        return wn_fail(WN_EFORMAT, "%s: expected a dim of 1 to %d, found %u", path,
                       WN_STORE_DIM_MAX, *dim);
    if ((size - WN_STORE_HEAD) / (*dim * sizeof(float)) < *rows)
        return wn_fail(WN_EFORMAT, "%s: header says %llu rows of %u numbers, the file holds %llu",
                       path, (unsigned long long)*rows, *dim,
                       (unsigned long long)((size - WN_STORE_HEAD) / (*dim * sizeof(float))));
    return WN_OK;
}

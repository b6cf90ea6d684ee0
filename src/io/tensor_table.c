#include "io/tensor_table.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* Shown names are cut: a hostile one may be as long as the file. */
#define SHOWN "%.200s"

wn_err wn_table_add(wn_table *b, const char *name, size_t name_len, const wn_tensor *t,
                    const char *path)
{
    if (name_len == 0 || memchr(name, '\0', name_len))
        return wn_fail(WN_EFORMAT, "%s: tensor %zu: expected a name without NUL", path, b->n);
    if (!WN_GROW(b->t, b->n, b->cap))
        return WN_ENOMEM;
    b->t[b->n] = *t;
    b->t[b->n].name = (const char *)(uintptr_t)b->names.len;
    b->n++;
    wn_str_add(&b->names, name, name_len);
    wn_str_putc(&b->names, '\0');
    return wn_str_check(&b->names);
}

/* Sorting needs the names without a context argument, so it sorts pointers to tensors. */
static int by_name(const void *x, const void *y)
{
    return strcmp((*(const wn_tensor *const *)x)->name, (*(const wn_tensor *const *)y)->name);
}

static int by_place(const void *x, const void *y)
{
    const wn_tensor *a = *(const wn_tensor *const *)x, *b = *(const wn_tensor *const *)y;
    uintptr_t p = (uintptr_t)a->data, q = (uintptr_t)b->data;
    if (p != q)
        return p < q ? -1 : 1;
    return a->bytes != b->bytes ? (a->bytes < b->bytes ? -1 : 1) : (a > b) - (a < b);
}

static wn_err sorted(const wn_tensor ***out, const wn_table *b, size_t first, size_t n,
                     int (*order)(const void *, const void *))
{
    const wn_tensor **s = wn_malloc((n ? n : 1) * sizeof *s);
    if (!s)
        return WN_ENOMEM;
    for (size_t i = 0; i < n; i++)
        s[i] = b->t + first + i;
    if (n)
        qsort(s, n, sizeof *s, order);
    *out = s;
    return WN_OK;
}

wn_err wn_table_seal(wn_table *b, const char *path)
{
    for (size_t i = 0; i < b->n; i++)
        b->t[i].name = b->names.p + (uintptr_t)b->t[i].name;
    const wn_tensor **s;
    WN_TRY(sorted(&s, b, 0, b->n, by_name));
    wn_err err = WN_OK;
    b->by_name = wn_malloc((b->n ? b->n : 1) * sizeof *b->by_name);
    if (!b->by_name)
        err = WN_ENOMEM;
    for (size_t i = 0; i < b->n && err == WN_OK; i++) {
        b->by_name[i] = (size_t)(s[i] - b->t);
        if (i && strcmp(s[i]->name, s[i - 1]->name) == 0)
            err = wn_fail(WN_EFORMAT, "%s: tensor " SHOWN " stands there twice", path, s[i]->name);
    }
    wn_free(s);
    return err;
}

const wn_tensor *wn_table_find(const wn_table *b, const char *name)
{
    size_t lo = 0, hi = b->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        const wn_tensor *t = b->t + b->by_name[mid];
        int c = strcmp(name, t->name);
        if (c == 0)
            return t;
        if (c < 0)
            hi = mid;
        else
            lo = mid + 1;
    }
    return NULL;
}

void wn_table_free(wn_table *b)
{
    wn_free(b->t);
    wn_free(b->by_name);
    wn_str_free(&b->names);
    *b = (wn_table){0};
}

wn_err wn_shape_bytes(uint64_t *bytes, wn_dtype type, const uint64_t *dim, int ndim,
                      const char *name, const char *path)
{
    uint64_t n = 1, block = wn_dtype_block(type), block_bytes = wn_dtype_block_bytes(type);
    for (int i = 0; i < ndim; i++)
        if (dim[i] == 0)
            n = 0;
    for (int i = 0; i < ndim; i++) {
        if (dim[i] > WN_DIM_MAX)
            return wn_fail(WN_EFORMAT, "%s: tensor " SHOWN ": a dim of %" PRIu64 " is too big",
                           path, name, dim[i]);
        if (n && dim[i] > (uint64_t)INT64_MAX / block_bytes / n)
            return wn_fail(WN_EFORMAT, "%s: tensor " SHOWN ": its dims' product is too big", path,
                           name);
        n *= dim[i];
    }
    if (block > 1 && (ndim == 0 || dim[ndim - 1] % block))
        return wn_fail(WN_EFORMAT,
                       "%s: tensor " SHOWN ": expected rows of a multiple of %" PRIu64
                       " elements for %s, found %" PRIu64,
                       path, name, block, wn_dtype_name(type), ndim ? dim[ndim - 1] : 1);
    *bytes = n / block * block_bytes;
    return WN_OK;
}

static wn_err check_sorted(const wn_tensor *const *s, size_t n, const char *data, uint64_t size,
                           bool holes, const char *path)
{
    uint64_t end = 0;
    const char *before = "the header";
    for (size_t i = 0; i < n; i++) {
        uint64_t at = (uint64_t)((const char *)s[i]->data - data);
        const char *name = s[i]->name;
        if (at < end && s[i]->bytes)
            return wn_fail(WN_EFORMAT, "%s: tensors " SHOWN " and " SHOWN " overlap", path, before,
                           name);
        if (!holes && at != end)
            return wn_fail(WN_EFORMAT,
                           "%s: tensor " SHOWN ": expected it to begin at %" PRIu64
                           " of the data, found %" PRIu64,
                           path, name, end, at);
        if (s[i]->bytes == 0)
            continue;
        end = at + s[i]->bytes;
        before = name;
    }
    if (!holes && end != size)
        return wn_fail(WN_EFORMAT, "%s: tensors need %" PRIu64 " bytes of data, found %" PRIu64,
                       path, end, size);
    return WN_OK;
}

wn_err wn_table_check_layout(const wn_table *b, size_t first, size_t n, const char *data,
                             uint64_t size, bool holes, const char *path)
{
    const wn_tensor **s;
    WN_TRY(sorted(&s, b, first, n, by_place));
    wn_err err = check_sorted(s, n, data, size, holes, path);
    wn_free(s);
    return err;
}

/* What safetensors and GGUF share: a list of named tensors over one stretch of bytes, checked as a
 * whole, and found by name. */
#ifndef WN_IO_TENSOR_TABLE_H
#define WN_IO_TENSOR_TABLE_H

#include "base/str.h"
#include "io/tensor.h"

/* Dims are capped so that sizes in bytes fit 63 bits once a product was checked by division. */
#define WN_DIM_MAX ((uint64_t)1 << 40)

/* While a table is filled, a tensor's `name` is the offset of its text in `names`, since the text
 * may still move; wn_table_seal makes pointers of them. */
typedef struct wn_table {
    wn_tensor *t;
    size_t n, cap;
    wn_str names;
    size_t *by_name; /* places in t, sorted by name */
} wn_table;

/* Adds a tensor: name must be non-empty and without NUL. `t->name` is ignored. */
wn_err wn_table_add(wn_table *b, const char *name, size_t name_len, const wn_tensor *t,
                    const char *path);
/* Finishes: sorts the index and refuses duplicate names. */
wn_err wn_table_seal(wn_table *b, const char *path);
const wn_tensor *wn_table_find(const wn_table *b, const char *name);
void wn_table_free(wn_table *b);

/* Bytes of a tensor of that type and shape; WN_EFORMAT where a dim is beyond WN_DIM_MAX, the
 * product wraps or the fastest dim is no multiple of the type's block. `name` and `path` stand in
 * the error. */
wn_err wn_shape_bytes(uint64_t *bytes, wn_dtype type, const uint64_t *dim, int ndim,
                      const char *name, const char *path);

/* Refuses tensors whose bytes overlap, among the n from place `first` on in a sealed table. `holes`
 * false: refuses gaps too, between the data's begin and its end. */
wn_err wn_table_check_layout(const wn_table *b, size_t first, size_t n, const char *data,
                             uint64_t size, bool holes, const char *path);

#endif

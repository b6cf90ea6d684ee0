/* GGUF v2 and v3: metadata pairs and tensors. Everything is bounds-checked; views are borrowed from
 * the map. ggml writes dims fastest first; here dim[0] is the slowest, as everywhere else. */
#ifndef WN_IO_GGUF_H
#define WN_IO_GGUF_H

#include <stdbool.h>

#include "base/str.h"
#include "io/file.h"
#include "io/tensor.h"

typedef struct wn_gguf wn_gguf;

wn_err wn_gguf_open(wn_gguf **out, const char *path);
/* The same for bytes that the caller keeps until close; `name` stands in errors. */
wn_err wn_gguf_open_memory(wn_gguf **out, const void *bytes, uint64_t size, const char *name);
void wn_gguf_close(wn_gguf *g);
void wn_gguf_forget(const wn_gguf *g); /* wn_map_forget of its file; NULL: nothing */
size_t wn_gguf_count(const wn_gguf *g);
const wn_tensor *wn_gguf_at(const wn_gguf *g, size_t i);
const wn_tensor *wn_gguf_find(const wn_gguf *g, const char *name);
const char *wn_gguf_path(const wn_gguf *g);

/* Metadata. Each returns false where the key is missing or of another kind. Any integer kind is
 * read as i64, any float or integer kind as f64. */
bool wn_gguf_i64(const wn_gguf *g, const char *key, int64_t *v);
bool wn_gguf_f64(const wn_gguf *g, const char *key, double *v);
bool wn_gguf_bool(const wn_gguf *g, const char *key, bool *v);
bool wn_gguf_string(const wn_gguf *g, const char *key, wn_span *v);
/* Arrays: length, then elements by index (strings: linear cost is avoided by an index made at
 * open). */
bool wn_gguf_array(const wn_gguf *g, const char *key, size_t *n);
bool wn_gguf_array_string(const wn_gguf *g, const char *key, size_t i, wn_span *v);
bool wn_gguf_array_f64(const wn_gguf *g, const char *key, size_t i, double *v);
bool wn_gguf_array_i64(const wn_gguf *g, const char *key, size_t i, int64_t *v);

#endif

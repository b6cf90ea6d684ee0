/* safetensors: u64 header length, JSON header, tensors' bytes. Read from one file or from the
 * shards that model.safetensors.index.json lists; every offset, shape and type is checked against
 * the file's size before a view is handed out. */
#ifndef WN_IO_SAFETENSORS_H
#define WN_IO_SAFETENSORS_H

#include "io/file.h"
#include "io/tensor.h"

typedef struct wn_safetensors wn_safetensors;

/* path: a .safetensors file, an index.json, or a folder that has model.safetensors or
 * model.safetensors.index.json. BOOL is read as U8. As in the reference reader, the tensors must
 * cover the data without gaps. Errors: EIO, EFORMAT (truncated, overlapping, unknown dtype,...). */
wn_err wn_safetensors_open(wn_safetensors **out, const char *path);
/* The same for one file's bytes that the caller keeps until close; `name` stands in errors. */
wn_err wn_safetensors_open_memory(wn_safetensors **out, const void *bytes, uint64_t size,
                                  const char *name);
void wn_safetensors_close(wn_safetensors *s);
void wn_safetensors_forget(const wn_safetensors *s); /* wn_map_forget of its files; NULL: nothing */
size_t wn_safetensors_count(const wn_safetensors *s);
const wn_tensor *wn_safetensors_at(const wn_safetensors *s, size_t i);
const wn_tensor *wn_safetensors_find(const wn_safetensors *s, const char *name); /* NULL: none */
const char *wn_safetensors_path(const wn_safetensors *s);

/* Writes one file atomically, tensors in the order given, header sorted as given, data 8-byte
 * aligned. `metadata` NULL or pairs {"format","pt",NULL}. dtype F32, F16, BF16, I32, I64 or U8. */
wn_err wn_safetensors_write(const char *path, const wn_tensor *t, size_t n,
                            const char *const *metadata);
/* The same without all bytes at once: fill is called for each tensor in turn and hands out its
 * t[i].bytes bytes, good until the next call. */
typedef wn_err (*wn_tensor_fill)(void *ctx, size_t i, const void **data);
wn_err wn_safetensors_stream(const char *path, const wn_tensor *t, size_t n,
                             const char *const *metadata, wn_tensor_fill fill, void *ctx);

#endif

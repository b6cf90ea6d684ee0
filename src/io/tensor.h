/* Tensors as files hold them: borrowed views of mapped bytes, and the one place that turns any
 * element type into float32. */
#ifndef WN_IO_TENSOR_H
#define WN_IO_TENSOR_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum { WN_MAX_DIMS = 4 };

typedef enum wn_dtype {
    WN_F32,
    WN_F16,
    WN_BF16,
    WN_F8_E4M3, /* e4m3fn */
    WN_F8_E5M2,
    WN_I32,
    WN_I64,
    WN_U8,
    WN_Q8_0,
    WN_Q4_0,
    WN_Q4_1,
    WN_Q5_0,
    WN_Q5_1,
    WN_Q4_K,
    WN_Q5_K,
    WN_Q6_K,
    WN_Q2_K,
    WN_Q3_K,
    WN_IQ4_NL,
    WN_IQ4_XS,
    WN_DTYPE_COUNT
} wn_dtype;

const char *wn_dtype_name(wn_dtype t); /* "f32", "q4_k", ... */
size_t wn_dtype_block(wn_dtype t);     /* elements a block: 1, 32 or 256 */
size_t wn_dtype_block_bytes(wn_dtype t);

/* dim[0] is the slowest (row-major, as PyTorch prints shapes). `data` may be unaligned. */
typedef struct wn_tensor {
    const char *name;
    wn_dtype dtype;
    int ndim;
    uint64_t dim[WN_MAX_DIMS];
    const void *data;
    uint64_t bytes;
} wn_tensor;

uint64_t wn_tensor_count(const wn_tensor *t); /* elements; dims are capped so this cannot wrap */

/* Elements [first, first + n) in row-major order to float32; `first` and `n` must be multiples of
 * the type's block. Exact for every type but the quantised ones, whose formula is ggml's. Integer
 * types are refused (WN_EARG). Does not check for NaN. */
wn_err wn_tensor_to_f32(float *out, const wn_tensor *t, uint64_t first, uint64_t n);

float wn_f16_to_f32(uint16_t h);
uint16_t wn_f32_to_f16(float f); /* round to nearest even */
float wn_bf16_to_f32(uint16_t h);
uint16_t wn_f32_to_bf16(float f); /* round to nearest even, NaN stays NaN */

#endif

/* What the targets share. A target takes any bytes, may not crash, leak or hang, and checks what
 * the reader promises of everything it hands out. */
#ifndef WN_FUZZ_H
#define WN_FUZZ_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/mem.h"
#include "io/tensor.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

/* Reads the tensor's first and last block, which lie where the reader says, or the sanitizer
 * speaks. */
static inline void fuzz_touch(const wn_tensor *t)
{
    float y[256];
    WN_ASSERT(t->name && t->name[0] && t->ndim <= WN_MAX_DIMS);
    uint64_t n = wn_tensor_count(t), block = wn_dtype_block(t->dtype);
    WN_ASSERT(n / block * wn_dtype_block_bytes(t->dtype) == t->bytes);
    if (n == 0 || (t->dtype >= WN_I32 && t->dtype <= WN_U8))
        return;
    WN_ASSERT(wn_tensor_to_f32(y, t, 0, block) == WN_OK);
    WN_ASSERT(wn_tensor_to_f32(y, t, n - block, block) == WN_OK);
}

#endif

/* What the targets share. A target takes any bytes, may not crash, leak or hang, and checks what
 * the reader promises of everything it hands out. */
#ifndef WN_FUZZ_H
#define WN_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "io/tensor.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

size_t LLVMFuzzerMutate(uint8_t *bytes, size_t size, size_t most) __attribute__((weak));

/* For targets of JSON, as their LLVMFuzzerCustomMutator: every fourth time a number of the text
 * becomes one that bounds are there for, else what libFuzzer does to any bytes. */
static inline size_t fuzz_mutate_numbers(uint8_t *bytes, size_t size, size_t most, unsigned seed)
{
    static const char *const number[] = {"-1",    "0",          "1",          "2",
                                         "5",     "0.5",        "63",         "1025",
                                         "65536", "2147483647", "4294967296", "1e308"};
    size_t count = sizeof number / sizeof *number, at = size ? seed / 64 % size : 0, to;
    while (at < size && (bytes[at] < '0' || bytes[at] > '9'))
        at++;
    const char *put = number[seed / 4 % count];
    size_t n = strlen(put);
    for (to = at; to < size && bytes[to] >= '0' && bytes[to] <= '9';)
        to++;
    if (seed % 4 || at == size || size - (to - at) + n > most)
        return LLVMFuzzerMutate(bytes, size, most);
    memmove(bytes + at + n, bytes + to, size - to);
    memcpy(bytes + at, put, n);
    return size - (to - at) + n;
}

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

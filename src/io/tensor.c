/* Plain element types and the way to float32; ggml's blocks are in quant.c. */
#include "io/tensor.h"

#include <stdint.h>
#include <string.h>

#include "io/quant.h"

enum { RUN = 256 };

/* ---- one number ---- */

static float float_of(uint32_t bits)
{
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

static uint32_t bits_of(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    return bits;
}

/* Masks instead of branches, which keep gcc from vectorising. A subnormal m * 2^-24 is found as
 * (1 + m/1024) * 2^-14 - 2^-14, which is exact and touches no subnormal float32, those being slow
 * on some processors. */
static inline float widen(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16;
    uint32_t rest = (uint32_t)(h & 0x7fffu) << 13, exponent = rest >> 23;
    uint32_t is_special = (exponent + 1) >> 5; /* 1 for infinities and NaN, whose exponent is 31 */
    uint32_t normal = rest + (112u << 23) + is_special * (112u << 23);
    uint32_t subnormal = bits_of(float_of(rest + (113u << 23)) - 0x1p-14f);
    uint32_t mask = 0u - ((exponent + 31) >> 5); /* all ones from exponent 1 on */
    return float_of(sign | (normal & mask) | (subnormal & ~mask));
}

float wn_f16_to_f32(uint16_t h)
{
    return widen(h);
}

uint16_t wn_f32_to_f16(float f)
{
    uint32_t bits = bits_of(f), sign = bits >> 16 & 0x8000u;
    bits &= 0x7fffffffu;
    if (bits > 0x7f800000u) /* NaN: keep what fits of the payload, stay quiet */
        return (uint16_t)(sign | 0x7e00u | (bits >> 13 & 0x3ffu));
    if (bits >= 0x477ff000u) /* 65520 and more round to infinity */
        return (uint16_t)(sign | 0x7c00u);
    if (bits < 0x38800000u) /* below 2^-14: adding 0.5 rounds to a multiple of 2^-24 */
        return (uint16_t)(sign | (bits_of(float_of(bits) + 0.5f) - 0x3f000000u));
    bits += 0xfffu + (bits >> 13 & 1u);
    return (uint16_t)(sign | ((bits - (112u << 23)) >> 13));
}

float wn_bf16_to_f32(uint16_t h)
{
    return float_of((uint32_t)h << 16);
}

uint16_t wn_f32_to_bf16(float f)
{
    uint32_t bits = bits_of(f);
    if ((bits & 0x7fffffffu) > 0x7f800000u)
        return (uint16_t)(bits >> 16 | 0x40u);
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

/* ---- many: n of them from `in` to `out` ---- */

static void from_f32(float *restrict out, const uint8_t *restrict in, size_t n)
{
    memcpy(out, in, n * sizeof *out);
}

/* Runs of RUN numbers go through local arrays, whose alignment and fixed length let gcc vectorise
 * at -O2: four times as fast for f16. */
static void from_f16(float *restrict out, const uint8_t *restrict in, size_t n)
{
    uint16_t h[RUN];
    float y[RUN];
    for (size_t i = 0; i < n; i += RUN) {
        size_t run = n - i < RUN ? n - i : RUN;
        memset(h, 0, sizeof h);
        memcpy(h, in + 2 * i, 2 * run);
        for (int j = 0; j < RUN; j++)
            y[j] = widen(h[j]);
        memcpy(out + i, y, run * sizeof *y);
    }
}

static void from_bf16(float *restrict out, const uint8_t *restrict in, size_t n)
{
    uint16_t h[RUN];
    uint32_t bits[RUN];
    for (size_t i = 0; i < n; i += RUN) {
        size_t run = n - i < RUN ? n - i : RUN;
        memset(h, 0, sizeof h);
        memcpy(h, in + 2 * i, 2 * run);
        for (int j = 0; j < RUN; j++)
            bits[j] = (uint32_t)h[j] << 16;
        memcpy(out + i, bits, run * sizeof *bits);
    }
}

/* e5m2 is the upper half of an f16, NaN and infinities included. */
static void from_f8_e5m2(float *restrict out, const uint8_t *restrict in, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] = widen((uint16_t)(in[i] << 8));
}

/* e4m3fn (Micikevicius et al. 2022, arXiv 2209.05433): bias 7, no infinities, NaN is all ones. An
 * f16's exponent is one bit wider and its bias 15: the same bits, times 2^8. */
static void from_f8_e4m3(float *restrict out, const uint8_t *restrict in, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t sign = (uint32_t)(in[i] & 0x80u) << 8, rest = in[i] & 0x7fu;
        out[i] = rest == 0x7fu ? widen((uint16_t)(sign | 0x7e00u))
                               : widen((uint16_t)(sign | rest << 7)) * 256;
    }
}

/* ---- the table of types ---- */

static const wn_dtype_form types[WN_Q8_0] = {
    [WN_F32] = {"f32", 1, 4, from_f32},
    [WN_F16] = {"f16", 1, 2, from_f16},
    [WN_BF16] = {"bf16", 1, 2, from_bf16},
    [WN_F8_E4M3] = {"f8_e4m3", 1, 1, from_f8_e4m3},
    [WN_F8_E5M2] = {"f8_e5m2", 1, 1, from_f8_e5m2},
    [WN_I32] = {"i32", 1, 4, NULL},
    [WN_I64] = {"i64", 1, 8, NULL},
    [WN_U8] = {"u8", 1, 1, NULL},
};

static const wn_dtype_form *form(wn_dtype t)
{
    WN_ASSERT((unsigned)t < WN_DTYPE_COUNT);
    return t < WN_Q8_0 ? &types[t] : wn_quant_form(t);
}

const char *wn_dtype_name(wn_dtype t)
{
    return (unsigned)t < WN_DTYPE_COUNT ? form(t)->name : "unknown";
}

size_t wn_dtype_block(wn_dtype t)
{
    return form(t)->block;
}

size_t wn_dtype_block_bytes(wn_dtype t)
{
    return form(t)->bytes;
}

uint64_t wn_tensor_count(const wn_tensor *t)
{
    uint64_t n = 1;
    for (int i = 0; i < t->ndim; i++)
        n *= t->dim[i];
    return n;
}

wn_err wn_tensor_to_f32(float *out, const wn_tensor *t, uint64_t first, uint64_t n)
{
    const wn_dtype_form *f = form(t->dtype);
    size_t block = f->block, bytes = f->bytes;
    const char *name = t->name ? t->name : "(unnamed)";
    if (!f->to_f32)
        return wn_fail(WN_EARG, "%s: expected a floating-point tensor, found %s", name, f->name);
    uint64_t count = wn_tensor_count(t);
    if (first > count || n > count - first)
        return wn_fail(WN_EARG, "%s: expected a range within %llu elements, found %llu + %llu",
                       name, (unsigned long long)count, (unsigned long long)first,
                       (unsigned long long)n);
    if (first % block || n % block)
        return wn_fail(WN_EARG, "%s: expected whole blocks of %zu elements, found %llu + %llu",
                       name, block, (unsigned long long)first, (unsigned long long)n);
    if (n)
        f->to_f32(out, (const uint8_t *)t->data + first / block * bytes, n / block);
    return WN_OK;
}

/* Element types and the way to float32.
 *
 * ggml's quantised types come in blocks: 32 elements with one scale, or 256 ("K") with eight or
 * sixteen sub-scales that are themselves small integers. Every formula stands above its loop; the
 * products are taken in ggml's order, (d * scale) * q - (dmin * min), so results equal its own bit
 * for bit. Layouts, little-endian, d and m being f16:
 *   Q8_0  34  d, i8 q[32]
 *   Q4_0  18  d, u8 q[16]              low nibbles are elements 0..15, high ones 16..31
 *   Q4_1  20  d, m, u8 q[16]
 *   Q5_0  22  d, u32 h, u8 q[16]       bit i of h is the fifth bit of element i
 *   Q5_1  24  d, m, u32 h, u8 q[16]
 *   Q4_K 144  d, dmin, u8 s[12], u8 q[128]
 *   Q5_K 176  d, dmin, u8 s[12], u8 h[32], u8 q[128]
 *   Q6_K 210  u8 q[128], u8 h[64], i8 s[16], d
 * The loops are plain, of fixed length and without branches, so that compilers vectorise them. */
#include "io/tensor.h"

#include <stdint.h>
#include <string.h>

enum { SMALL = 32, HALF = 16, LARGE = 256 };

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

/* ---- blocks: n of them from `in` to `out` ---- */

static uint16_t u16_at(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static float f16_at(const uint8_t *p)
{
    return widen(u16_at(p));
}

static void from_f32(float *restrict out, const uint8_t *restrict in, size_t n)
{
    memcpy(out, in, n * sizeof *out);
}

/* Runs of LARGE numbers go through local arrays, whose alignment and fixed length let gcc vectorise
 * at -O2: four times as fast for f16. */
static void from_f16(float *restrict out, const uint8_t *restrict in, size_t n)
{
    uint16_t h[LARGE];
    float y[LARGE];
    for (size_t i = 0; i < n; i += LARGE) {
        size_t run = n - i < LARGE ? n - i : LARGE;
        memset(h, 0, sizeof h);
        memcpy(h, in + 2 * i, 2 * run);
        for (int j = 0; j < LARGE; j++)
            y[j] = widen(h[j]);
        memcpy(out + i, y, run * sizeof *y);
    }
}

static void from_bf16(float *restrict out, const uint8_t *restrict in, size_t n)
{
    uint16_t h[LARGE];
    uint32_t bits[LARGE];
    for (size_t i = 0; i < n; i += LARGE) {
        size_t run = n - i < LARGE ? n - i : LARGE;
        memset(h, 0, sizeof h);
        memcpy(h, in + 2 * i, 2 * run);
        for (int j = 0; j < LARGE; j++)
            bits[j] = (uint32_t)h[j] << 16;
        memcpy(out + i, bits, run * sizeof *bits);
    }
}

/* y = d * q */
static void from_q8_0(float *restrict out, const uint8_t *restrict in, size_t n)
{
    for (; n--; in += 34, out += SMALL) {
        float d = f16_at(in);
        const int8_t *q = (const int8_t *)(in + 2);
        for (int i = 0; i < SMALL; i++)
            out[i] = d * (float)q[i];
    }
}

/* y = d * (q - 8) */
static void from_q4_0(float *restrict out, const uint8_t *restrict in, size_t n)
{
    for (; n--; in += 18, out += SMALL) {
        float d = f16_at(in);
        const uint8_t *q = in + 2;
        for (int i = 0; i < HALF; i++)
            out[i] = d * (float)((q[i] & 15) - 8);
        for (int i = 0; i < HALF; i++)
            out[i + HALF] = d * (float)((q[i] >> 4) - 8);
    }
}

/* y = d * q + m */
static void from_q4_1(float *restrict out, const uint8_t *restrict in, size_t n)
{
    for (; n--; in += 20, out += SMALL) {
        float d = f16_at(in), m = f16_at(in + 2);
        const uint8_t *q = in + 4;
        for (int i = 0; i < HALF; i++)
            out[i] = d * (float)(q[i] & 15) + m;
        for (int i = 0; i < HALF; i++)
            out[i + HALF] = d * (float)(q[i] >> 4) + m;
    }
}

/* The 32 five-bit numbers of a Q5 block. */
static void five_bits(int32_t v[SMALL], const uint8_t *q, const uint8_t *high)
{
    uint32_t h = (uint32_t)u16_at(high) | (uint32_t)u16_at(high + 2) << 16;
    for (int i = 0; i < HALF; i++)
        v[i] = (int32_t)((q[i] & 15u) | (h >> i & 1u) << 4);
    for (int i = 0; i < HALF; i++)
        v[i + HALF] = (int32_t)(q[i] >> 4 | (h >> (i + HALF) & 1u) << 4);
}

/* y = d * (q - 16) */
static void from_q5_0(float *restrict out, const uint8_t *restrict in, size_t n)
{
    int32_t v[SMALL];
    for (; n--; in += 22, out += SMALL) {
        float d = f16_at(in);
        five_bits(v, in + 6, in + 2);
        for (int i = 0; i < SMALL; i++)
            out[i] = d * (float)(v[i] - 16);
    }
}

/* y = d * q + m */
static void from_q5_1(float *restrict out, const uint8_t *restrict in, size_t n)
{
    int32_t v[SMALL];
    for (; n--; in += 24, out += SMALL) {
        float d = f16_at(in), m = f16_at(in + 2);
        five_bits(v, in + 8, in + 4);
        for (int i = 0; i < SMALL; i++)
            out[i] = d * (float)v[i] + m;
    }
}

/* Eight 6-bit scales and eight 6-bit minima in 12 bytes: the first four of each are the low 6 bits
 * of bytes 0-3 and 4-7; of the others bytes 8-11 hold the low nibbles (scale low, minimum high),
 * and the two top bits of bytes 0-3 and 4-7 the rest. */
static void six_bits(uint8_t scale[8], uint8_t min[8], const uint8_t *s)
{
    for (int i = 0; i < 4; i++) {
        scale[i] = s[i] & 63;
        min[i] = s[i + 4] & 63;
        scale[i + 4] = (uint8_t)((s[i + 8] & 15) | (s[i] >> 6) << 4);
        min[i + 4] = (uint8_t)(s[i + 8] >> 4 | (s[i + 4] >> 6) << 4);
    }
}

/* y = (d * scale) * q - dmin * min; 32 bytes hold two sub-blocks: low nibbles, then high ones. */
static void from_q4_k(float *restrict out, const uint8_t *restrict in, size_t n)
{
    uint8_t scale[8], min[8];
    for (; n--; in += 144, out += LARGE) {
        float d = f16_at(in), dmin = f16_at(in + 2);
        six_bits(scale, min, in + 4);
        for (int b = 0; b < 8; b++) {
            const uint8_t *q = in + 16 + b / 2 * SMALL;
            float *y = out + b * SMALL, ds = d * scale[b], dm = dmin * min[b];
            int shift = b % 2 * 4;
            for (int i = 0; i < SMALL; i++)
                y[i] = ds * (float)(q[i] >> shift & 15) - dm;
        }
    }
}

/* The same with a fifth bit: bit b of h[i] belongs to element i of sub-block b. */
static void from_q5_k(float *restrict out, const uint8_t *restrict in, size_t n)
{
    uint8_t scale[8], min[8];
    for (; n--; in += 176, out += LARGE) {
        float d = f16_at(in), dmin = f16_at(in + 2);
        six_bits(scale, min, in + 4);
        for (int b = 0; b < 8; b++) {
            const uint8_t *h = in + 16, *q = in + 48 + b / 2 * SMALL;
            float *y = out + b * SMALL, ds = d * scale[b], dm = dmin * min[b];
            int shift = b % 2 * 4;
            for (int i = 0; i < SMALL; i++)
                y[i] = ds * (float)((q[i] >> shift & 15) | (h[i] >> b & 1) << 4) - dm;
        }
    }
}

/* y = (d * scale) * (q - 32), a scale for 16 elements. Each half of 128 elements has 64 bytes of
 * low nibbles and 32 bytes of two top bits; run r of 32 elements takes nibble r/2 of bytes
 * 32*(r%2)..., and bits 2r, 2r+1 of the top bytes. */
static void from_q6_k(float *restrict out, const uint8_t *restrict in, size_t n)
{
    for (; n--; in += 210, out += LARGE) {
        const int8_t *scale = (const int8_t *)(in + 192);
        float d = f16_at(in + 208);
        for (int b = 0; b < 16; b++) {
            int half = b / 8, run = b / 2 % 4, from = b % 2 * HALF;
            const uint8_t *q = in + half * 64 + run % 2 * SMALL + from;
            const uint8_t *h = in + 128 + half * SMALL + from;
            float *y = out + b * HALF, ds = d * scale[b];
            int nibble = run / 2 * 4, top = run * 2;
            for (int i = 0; i < HALF; i++)
                y[i] = ds * (float)(((q[i] >> nibble & 15) | (h[i] >> top & 3) << 4) - 32);
        }
    }
}

/* ---- the table of types ---- */

static const struct {
    const char *name;
    uint16_t block, bytes;
    void (*to_f32)(float *restrict out, const uint8_t *restrict in, size_t n);
} types[WN_DTYPE_COUNT] = {
    [WN_F32] = {"f32", 1, 4, from_f32},
    [WN_F16] = {"f16", 1, 2, from_f16},
    [WN_BF16] = {"bf16", 1, 2, from_bf16},
    [WN_I32] = {"i32", 1, 4, NULL},
    [WN_I64] = {"i64", 1, 8, NULL},
    [WN_U8] = {"u8", 1, 1, NULL},
    [WN_Q8_0] = {"q8_0", SMALL, 34, from_q8_0},
    [WN_Q4_0] = {"q4_0", SMALL, 18, from_q4_0},
    [WN_Q4_1] = {"q4_1", SMALL, 20, from_q4_1},
    [WN_Q5_0] = {"q5_0", SMALL, 22, from_q5_0},
    [WN_Q5_1] = {"q5_1", SMALL, 24, from_q5_1},
    [WN_Q4_K] = {"q4_k", LARGE, 144, from_q4_k},
    [WN_Q5_K] = {"q5_k", LARGE, 176, from_q5_k},
    [WN_Q6_K] = {"q6_k", LARGE, 210, from_q6_k},
};

const char *wn_dtype_name(wn_dtype t)
{
    return (unsigned)t < WN_DTYPE_COUNT ? types[t].name : "unknown";
}

size_t wn_dtype_block(wn_dtype t)
{
    WN_ASSERT((unsigned)t < WN_DTYPE_COUNT);
    return types[t].block;
}

size_t wn_dtype_block_bytes(wn_dtype t)
{
    WN_ASSERT((unsigned)t < WN_DTYPE_COUNT);
    return types[t].bytes;
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
    size_t block = wn_dtype_block(t->dtype), bytes = types[t->dtype].bytes;
    const char *name = t->name ? t->name : "(unnamed)";
    if (!types[t->dtype].to_f32)
        return wn_fail(WN_EARG, "%s: expected a floating-point tensor, found %s", name,
                       types[t->dtype].name);
    uint64_t count = wn_tensor_count(t);
    if (first > count || n > count - first)
        return wn_fail(WN_EARG, "%s: expected a range within %llu elements, found %llu + %llu",
                       name, (unsigned long long)count, (unsigned long long)first,
                       (unsigned long long)n);
    if (first % block || n % block)
        return wn_fail(WN_EARG, "%s: expected whole blocks of %zu elements, found %llu + %llu",
                       name, block, (unsigned long long)first, (unsigned long long)n);
    if (n)
        types[t->dtype].to_f32(out, (const uint8_t *)t->data + first / block * bytes, n / block);
    return WN_OK;
}

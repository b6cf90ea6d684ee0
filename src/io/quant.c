/* ggml's quantised types come in blocks: 32 elements with one scale, or 256 ("K") with eight or
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
 *   Q2_K  84  u8 s[16], u8 q[64], d, dmin
 *   Q3_K 110  u8 h[32], u8 q[64], u8 s[12], d
 *   IQ4_NL 18 d, u8 q[16]              as Q4_0, but nibbles are indices into a table
 *   IQ4_XS 136 d, u16 h, u8 s[4], u8 q[128]
 * The loops are plain, of fixed length and without branches, so that compilers vectorise them. */
#include "io/quant.h"

enum { SMALL = 32, HALF = 16, LARGE = 256 };

static uint16_t u16_at(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static float f16_at(const uint8_t *p)
{
    return wn_f16_to_f32(u16_at(p));
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

/* y = (d * scale) * q - dmin * min: the low and high nibble of a scale byte for 16 elements. Each
 * half of 128 elements has 32 bytes; run r of 32 elements takes bits 2r, 2r+1. */
static void from_q2_k(float *restrict out, const uint8_t *restrict in, size_t n)
{
    for (; n--; in += 84, out += LARGE) {
        float d = f16_at(in + 80), dmin = f16_at(in + 82);
        for (int b = 0; b < 16; b++) {
            const uint8_t *q = in + 16 + b / 8 * SMALL + b % 2 * HALF;
            float *y = out + b * HALF, ds = d * (float)(in[b] & 15),
                  dm = dmin * (float)(in[b] >> 4);
            int shift = b / 2 % 4 * 2;
            for (int i = 0; i < HALF; i++)
                y[i] = ds * (float)(q[i] >> shift & 3) - dm;
        }
    }
}

/* y = (d * (scale - 32)) * (q - 4 * (1 - h)): the same two bits, and bit r of h[i] for element i of
 * the r-th 32. Of the 6-bit scale j, byte j % 8 has the low nibble (j below 8) or the high one, and
 * bits 2(j/4), 2(j/4)+1 of byte 8 + j % 4 are on top. */
static void from_q3_k(float *restrict out, const uint8_t *restrict in, size_t n)
{
    for (; n--; in += 110, out += LARGE) {
        const uint8_t *s = in + 96;
        float d = f16_at(in + 108);
        for (int b = 0; b < 16; b++) {
            const uint8_t *q = in + 32 + b / 8 * SMALL + b % 2 * HALF, *h = in + b % 2 * HALF;
            int low = s[b % 8] >> b / 8 * 4 & 15, top = s[8 + b % 4] >> b / 4 * 2 & 3;
            float *y = out + b * HALF, ds = d * (float)((low | top << 4) - 32);
            int shift = b / 2 % 4 * 2, run = b / 2;
            for (int i = 0; i < HALF; i++)
                y[i] = ds * (float)((q[i] >> shift & 3) - 4 + (h[i] >> run & 1) * 4);
        }
    }
}

/* The sixteen numbers of the IQ4 types. */
static const int8_t iq4[16] = {-127, -104, -83, -65, -49, -35, -22, -10,
                               1,    13,   25,  38,  53,  69,  89,  113};

/* y = d * table[q] */
static void from_iq4_nl(float *restrict out, const uint8_t *restrict in, size_t n)
{
    for (; n--; in += 18, out += SMALL) {
        float d = f16_at(in);
        const uint8_t *q = in + 2;
        for (int i = 0; i < HALF; i++) {
            out[i] = d * (float)iq4[q[i] & 15];
            out[i + HALF] = d * (float)iq4[q[i] >> 4];
        }
    }
}

/* y = (d * (scale - 32)) * table[q], a scale for 32 elements: four bits in s, two on top in h. */
static void from_iq4_xs(float *restrict out, const uint8_t *restrict in, size_t n)
{
    for (; n--; in += 136, out += LARGE) {
        float d = f16_at(in);
        unsigned h = u16_at(in + 2);
        for (int b = 0; b < 8; b++) {
            const uint8_t *q = in + 8 + b * HALF;
            int low = in[4 + b / 2] >> b % 2 * 4 & 15, top = (int)(h >> 2 * b & 3);
            float *y = out + b * SMALL, ds = d * (float)((low | top << 4) - 32);
            for (int i = 0; i < HALF; i++) {
                y[i] = ds * (float)iq4[q[i] & 15];
                y[i + HALF] = ds * (float)iq4[q[i] >> 4];
            }
        }
    }
}

static const wn_dtype_form forms[WN_DTYPE_COUNT - WN_Q8_0] = {
    [WN_Q8_0 - WN_Q8_0] = {"q8_0", SMALL, 34, from_q8_0},
    [WN_Q4_0 - WN_Q8_0] = {"q4_0", SMALL, 18, from_q4_0},
    [WN_Q4_1 - WN_Q8_0] = {"q4_1", SMALL, 20, from_q4_1},
    [WN_Q5_0 - WN_Q8_0] = {"q5_0", SMALL, 22, from_q5_0},
    [WN_Q5_1 - WN_Q8_0] = {"q5_1", SMALL, 24, from_q5_1},
    [WN_Q4_K - WN_Q8_0] = {"q4_k", LARGE, 144, from_q4_k},
    [WN_Q5_K - WN_Q8_0] = {"q5_k", LARGE, 176, from_q5_k},
    [WN_Q6_K - WN_Q8_0] = {"q6_k", LARGE, 210, from_q6_k},
    [WN_Q2_K - WN_Q8_0] = {"q2_k", LARGE, 84, from_q2_k},
    [WN_Q3_K - WN_Q8_0] = {"q3_k", LARGE, 110, from_q3_k},
    [WN_IQ4_NL - WN_Q8_0] = {"iq4_nl", SMALL, 18, from_iq4_nl},
    [WN_IQ4_XS - WN_Q8_0] = {"iq4_xs", LARGE, 136, from_iq4_xs},
};

const wn_dtype_form *wn_quant_form(wn_dtype t)
{
    WN_ASSERT(t >= WN_Q8_0 && t < WN_DTYPE_COUNT);
    return &forms[t - WN_Q8_0];
}

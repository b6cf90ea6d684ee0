#include <string.h>

#include "train/rules.h"

/* Codes: a field of exponent bits above 3 bits of mantissa, as in IEEE 754: field 0 is subnormal.
 * The largest exponent field stands for [1, 2), of which only 1 occurs. */
enum { MANTISSA = 3, FIELD_SIGNED = 15, FIELD_PLAIN = 31 };

static uint32_t bits_of(float x)
{
    uint32_t b;
    memcpy(&b, &x, sizeof b);
    return b;
}

static float float_of(uint32_t b)
{
    float x;
    memcpy(&x, &b, sizeof x);
    return x;
}

/* Finaliser of MurmurHash3: every input bit moves every output bit. */
static uint32_t mix(uint32_t h)
{
    h ^= h >> 16;
    h *= 0x85EBCA6BU;
    h ^= h >> 13;
    h *= 0xC2B2AE35U;
    return h ^ h >> 16;
}

/* y in [0, 1] to a code; draw: 32 random bits. */
static uint32_t encode(float y, uint32_t draw, uint32_t top)
{
    uint32_t first = 127 - top; /* f32 exponent of field 0's upper end, less one */
    uint32_t b = bits_of(y);
    if (b >> 23 > first)
        return ((b - (first << 23)) + (draw >> (32 - 23 + MANTISSA))) >> (23 - MANTISSA);
    float steps = y * float_of((127 + (top - 1) + MANTISSA) << 23);
    return (uint32_t)(steps + (float)(draw >> 8) * 0x1p-24F);
}

static float decode(uint32_t code, uint32_t top)
{
    if (code >> MANTISSA)
        return float_of((code << (23 - MANTISSA)) + ((127 - top) << 23));
    return (float)code * float_of((127 - (top - 1) - MANTISSA) << 23);
}

void wn_state8_put(uint8_t *code, float *scale, const float *x, size_t n, bool is_signed,
                   uint32_t draw)
{
    float most = 0;
    for (size_t i = 0; i < n; i++) {
        float a = float_of(bits_of(x[i]) & 0x7FFFFFFFU);
        most = a > most ? a : most;
    }
    *scale = most;
    if (!(most > 0)) {
        memset(code, 0, n);
        return;
    }
    for (size_t i = 0; i < n; i++) {
        uint32_t b = bits_of(x[i]), h = mix(draw + (uint32_t)i * 0x9E3779B9U);
        float y = float_of(b & 0x7FFFFFFFU) / most;
        if (is_signed) {
            code[i] = (uint8_t)(encode(y, h, FIELD_SIGNED) | (b >> 31) << 7);
        } else {
            uint32_t c = encode(y, h, FIELD_PLAIN);
            code[i] = (uint8_t)(c == 0 && y > 0 ? 1 : c);
        }
    }
}

void wn_state8_get(float *x, const uint8_t *code, float scale, size_t n, bool is_signed)
{
    for (size_t i = 0; i < n; i++) {
        if (is_signed) {
            float y = decode(code[i] & 0x7FU, FIELD_SIGNED) * scale;
            x[i] = code[i] >> 7 ? -y : y;
        } else {
            x[i] = decode(code[i], FIELD_PLAIN) * scale;
        }
    }
}

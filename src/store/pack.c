#include "store/pack.h"

#include <float.h>
#include <math.h>
#include <string.h>

#include "io/tensor.h"

enum { LEVELS = 127 };
#define F16_MAX 65504.0f

static const char *const name_of[] = {NULL, "f32", "f16", "bf16", "int8"};

const char *wn_store_type_name(wn_store_type t)
{
    return name_of[t];
}

bool wn_store_type_known(uint32_t number)
{
    return number >= WN_STORE_F32 && number <= WN_STORE_INT8;
}

wn_err wn_store_type_parse(wn_store_type *t, const char *name)
{
    *t = WN_STORE_F32;
    for (int i = WN_STORE_F32; name && i <= WN_STORE_INT8; i++)
        if (strcmp(name, name_of[i]) == 0) {
            *t = (wn_store_type)i;
            return WN_OK;
        }
    return name ? wn_fail(WN_EARG, "--store-dtype: expected f32, f16, bf16 or int8, found %s", name)
                : WN_OK;
}

size_t wn_store_type_bytes(wn_store_type t, size_t dim)
{
    return t == WN_STORE_F32 ? 4 * dim : t == WN_STORE_INT8 ? 4 + dim : 2 * dim;
}

size_t wn_store_unfit(wn_store_type t, const float *v, size_t dim)
{
    size_t i = 0;
    if (t == WN_STORE_F32)
        return dim;
    for (; i < dim; i++) {
        bool fits = isfinite(v[i]);
        if (t == WN_STORE_F16) /* half a step above the largest it would round to infinity */
            fits = fits && fabsf(v[i]) < F16_MAX + 16;
        if (t == WN_STORE_BF16)
            fits = fits && isfinite(wn_bf16_to_f32(wn_f32_to_bf16(v[i])));
        if (!fits)
            break;
    }
    return i;
}

/* A scale below the smallest number would be 0; one rounded up could lift the largest number's
 * image above FLT_MAX. */
static float scale_of(const float *v, size_t dim)
{
    float most = 0;
    for (size_t i = 0; i < dim; i++)
        most = fmaxf(most, fabsf(v[i]));
    if (most == 0)
        return 0;
    float scale = fmaxf(most / LEVELS, FLT_TRUE_MIN);
    return isfinite(scale * LEVELS) ? scale : nextafterf(scale, 0);
}

static void pack_int8(char *out, const float *v, size_t dim)
{
    float scale = scale_of(v, dim);
    memcpy(out, &scale, sizeof scale);
    for (size_t i = 0; i < dim; i++) {
        float q = scale > 0 ? rintf(v[i] / scale) : 0;
        out[4 + i] = (char)(int8_t)fminf(fmaxf(q, -LEVELS), LEVELS);
    }
}

void wn_store_pack(char *out, wn_store_type t, const float *v, size_t dim)
{
    if (t == WN_STORE_F32) {
        memcpy(out, v, dim * sizeof *v);
    } else if (t == WN_STORE_INT8) {
        pack_int8(out, v, dim);
    } else {
        for (size_t i = 0; i < dim; i++) {
            uint16_t h = t == WN_STORE_F16 ? wn_f32_to_f16(v[i]) : wn_f32_to_bf16(v[i]);
            memcpy(out + 2 * i, &h, sizeof h);
        }
    }
}

/* ---- back; rows lie at any address ---- */

static void unpack_bf16(float *restrict out, const char *restrict in, size_t n)
{
#pragma omp simd
    for (size_t i = 0; i < n; i++) {
        uint16_t h;
        memcpy(&h, in + 2 * i, sizeof h);
        uint32_t bits = (uint32_t)h << 16;
        memcpy(&out[i], &bits, sizeof bits);
    }
}

/* A half's bits 13 places up are a float of the same mantissa, 112 too small in the exponent; the
 * product with 2^112 is exact, for subnormal halves too. */
static void unpack_f16(float *restrict out, const char *restrict in, size_t n)
{
#pragma omp simd
    for (size_t i = 0; i < n; i++) {
        uint16_t h;
        float magnitude;
        memcpy(&h, in + 2 * i, sizeof h);
        uint32_t bits = (uint32_t)(h & 0x7fff) << 13, sign = (uint32_t)(h & 0x8000) << 16;
        memcpy(&magnitude, &bits, sizeof bits);
        magnitude *= 0x1p112f;
        memcpy(&bits, &magnitude, sizeof bits);
        bits |= sign;
        memcpy(&out[i], &bits, sizeof bits);
    }
}

static void unpack_int8(float *restrict out, const char *restrict in, size_t dim)
{
    float scale;
    memcpy(&scale, in, sizeof scale);
#pragma omp simd
    for (size_t i = 0; i < dim; i++)
        out[i] = (float)(signed char)in[4 + i] * scale;
}

void wn_store_unpack(float *out, wn_store_type t, const char *rows, size_t dim, size_t n)
{
    if (t == WN_STORE_F32)
        memcpy(out, rows, n * dim * sizeof *out);
    else if (t == WN_STORE_F16)
        unpack_f16(out, rows, n * dim);
    else if (t == WN_STORE_BF16)
        unpack_bf16(out, rows, n * dim);
    else
        for (size_t r = 0; r < n; r++)
            unpack_int8(out + r * dim, rows + r * (4 + dim), dim);
}

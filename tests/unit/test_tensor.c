#include "test_io_util.h"

#include <math.h>

#include "base/rng.h"
#include "io/gguf.h"
#include "io/safetensors.h"

static uint32_t bits_of(float f)
{
    uint32_t b;
    memcpy(&b, &f, sizeof b);
    return b;
}

static float float_of(uint32_t b)
{
    float f;
    memcpy(&f, &b, sizeof f);
    return f;
}

/* Every f16 against its definition. */
static double f16_meaning(uint16_t h)
{
    int e = h >> 10 & 31, m = h & 1023;
    double v = e ? ldexp(1024 + m, e - 25) : ldexp(m, -24);
    if (e == 31)
        v = m ? NAN : INFINITY;
    return h & 0x8000 ? -v : v;
}

Test(tensor, f16_all)
{
    for (uint32_t h = 0; h < 65536; h++) {
        float got = wn_f16_to_f32((uint16_t)h);
        double want = f16_meaning((uint16_t)h);
        if (isnan(want)) {
            cr_assert(isnan(got));
            cr_assert(isnan(wn_f16_to_f32(wn_f32_to_f16(got))));
            continue;
        }
        cr_assert_eq(got, want, "%04x", h);
        cr_assert_eq(!signbit(got), !(h & 0x8000));
        cr_assert_eq(wn_f32_to_f16(got), h);
    }
}

/* A float32 between two neighbouring f16 goes to the nearer one, a tie to the even one. */
Test(tensor, f16_rounds_to_nearest_even)
{
    for (uint32_t h = 0; h < 0x7bff; h++) {
        float a = wn_f16_to_f32((uint16_t)h), b = wn_f16_to_f32((uint16_t)(h + 1));
        float mid = (float)(((double)a + b) / 2);
        cr_assert_eq(wn_f32_to_f16(mid), h + (h & 1));
        cr_assert_eq(wn_f32_to_f16(nextafterf(mid, 0)), h);
        cr_assert_eq(wn_f32_to_f16(nextafterf(mid, INFINITY)), h + 1);
        cr_assert_eq(wn_f32_to_f16(-mid), (h + (h & 1)) | 0x8000);
    }
    cr_assert_eq(wn_f32_to_f16(65519.996f), 0x7bff);
    cr_assert_eq(wn_f32_to_f16(65520), 0x7c00);
    cr_assert_eq(wn_f32_to_f16(1e30f), 0x7c00);
    cr_assert_eq(wn_f32_to_f16(-INFINITY), 0xfc00);
    cr_assert_eq(wn_f32_to_f16(0x1p-149f), 0);
    cr_assert_eq(wn_f32_to_f16(-0.0f), 0x8000);
    cr_assert(isnan(wn_f16_to_f32(wn_f32_to_f16(float_of(0x7f800001)))));
}

Test(tensor, bf16)
{
    for (uint32_t h = 0; h < 65536; h++) {
        float f = wn_bf16_to_f32((uint16_t)h);
        cr_assert_eq(bits_of(f), h << 16);
        if (isnan(f))
            cr_assert(isnan(wn_bf16_to_f32(wn_f32_to_bf16(f))));
        else
            cr_assert_eq(wn_f32_to_bf16(f), h);
    }
    cr_assert_eq(wn_f32_to_bf16(float_of(0x3f808000)), 0x3f80);
    cr_assert_eq(wn_f32_to_bf16(float_of(0x3f808001)), 0x3f81);
    cr_assert_eq(wn_f32_to_bf16(float_of(0x3f818000)), 0x3f82);
    cr_assert_eq(wn_f32_to_bf16(float_of(0x7f7fffff)), 0x7f80);
    cr_assert(isnan(wn_bf16_to_f32(wn_f32_to_bf16(float_of(0x7f800001)))));
    cr_assert(isnan(wn_bf16_to_f32(wn_f32_to_bf16(float_of(0xffffffff)))));
}

/* Random blocks of each type against what the gguf package makes of them: the same bits. */
Test(tensor, quantised_types_equal_the_reference)
{
    wn_gguf *g;
    wn_safetensors *want;
    OK(wn_gguf_open(&g, golden("types.gguf")));
    OK(wn_safetensors_open(&want, golden("types.safetensors")));
    bool seen[WN_DTYPE_COUNT] = {false};
    cr_assert_eq(wn_gguf_count(g), 14);
    for (size_t i = 0; i < wn_gguf_count(g); i++) {
        const wn_tensor *t = wn_gguf_at(g, i), *w = wn_safetensors_find(want, t->name);
        cr_assert_not_null(w, "%s", t->name);
        cr_assert_str_eq(wn_dtype_name(t->dtype), t->name);
        seen[t->dtype] = true;
        uint64_t n = wn_tensor_count(t);
        cr_assert_eq(t->ndim, 2);
        cr_assert_eq(n, wn_tensor_count(w));
        cr_assert_eq(t->dim[0], w->dim[0]);
        float *y = wn_malloc(n * sizeof *y);
        OK(wn_tensor_to_f32(y, t, 0, n));
        const char *bytes = w->data;
        for (uint64_t k = 0; k < n; k++) {
            float x;
            memcpy(&x, bytes + 4 * k, 4);
            cr_assert(x == y[k], "%s[%d]: expected %g, found %g", t->name, (int)k, (double)x,
                      (double)y[k]);
        }
        /* A part of it, from the second block on. */
        size_t block = wn_dtype_block(t->dtype);
        float *part = wn_malloc(block * sizeof *part);
        OK(wn_tensor_to_f32(part, t, block, block));
        cr_assert_arr_eq(part, y + block, block * sizeof *part);
        wn_free(part);
        wn_free(y);
    }
    for (int d = WN_Q8_0; d < WN_DTYPE_COUNT; d++)
        cr_assert(seen[d], "%s", wn_dtype_name((wn_dtype)d));
    wn_safetensors_close(want);
    wn_gguf_close(g);
}

/* Every 8-bit pattern against PyTorch, NaN and infinities too. */
Test(tensor, f8_equals_the_reference)
{
    static const char *const kinds[] = {"e4m3", "e5m2"};
    wn_safetensors *s;
    OK(wn_safetensors_open(&s, golden("f8.safetensors")));
    for (int k = 0; k < 2; k++) {
        char name[16];
        float y[256], want[256];
        OK(wn_tensor_to_f32(y, wn_safetensors_find(s, kinds[k]), 0, 256));
        snprintf(name, sizeof name, "%s.f32", kinds[k]);
        OK(wn_tensor_to_f32(want, wn_safetensors_find(s, name), 0, 256));
        for (int i = 0; i < 256; i++)
            cr_expect(y[i] == want[i] ? signbit(y[i]) == signbit(want[i])
                                      : isnan(y[i]) && isnan(want[i]),
                      "%s of %d: %g, expected %g", kinds[k], i, (double)y[i], (double)want[i]);
        cr_expect(isnan(y[127]));
    }
    wn_safetensors_close(s);
}

Test(tensor, plain_types_at_odd_lengths_and_addresses)
{
    enum { N = 1000 };
    static float x[N], y[N + 1];
    static char raw[N * 4 + 1];
    for (uint64_t i = 0; i < N; i++)
        x[i] = (float)wn_rng_normal(1, WN_STREAM_TEST, i);
    for (int d = WN_F32; d <= WN_BF16; d++) {
        size_t size = wn_dtype_block_bytes((wn_dtype)d);
        for (size_t i = 0; i < N; i++) {
            uint16_t h = d == WN_F16 ? wn_f32_to_f16(x[i]) : wn_f32_to_bf16(x[i]);
            memcpy(raw + 1 + size * i, size == 4 ? (void *)&x[i] : (void *)&h, size);
        }
        wn_tensor t = {.name = "t",
                       .dtype = (wn_dtype)d,
                       .ndim = 1,
                       .dim = {N},
                       .data = raw + 1,
                       .bytes = N * size};
        static const size_t first[] = {0, 1, 255, 700}, count[] = {0, 1, 256, 300};
        for (int k = 0; k < 4; k++) {
            y[count[k]] = 77;
            OK(wn_tensor_to_f32(y, &t, first[k], count[k]));
            for (size_t i = 0; i < count[k]; i++) {
                float v = x[first[k] + i];
                float want = d == WN_F32   ? v
                             : d == WN_F16 ? wn_f16_to_f32(wn_f32_to_f16(v))
                                           : wn_bf16_to_f32(wn_f32_to_bf16(v));
                cr_assert_eq(y[i], want);
            }
            cr_assert_eq(y[count[k]], 77, "wrote past the end");
        }
    }
}

Test(tensor, refusals)
{
    float y[64];
    char raw[34] = {0};
    wn_tensor t = {.name = "w", .dtype = WN_Q8_0, .ndim = 1, .dim = {32}, .data = raw, .bytes = 34};
    OK(wn_tensor_to_f32(y, &t, 0, 32));
    OK(wn_tensor_to_f32(y, &t, 32, 0));
    FAILS(wn_tensor_to_f32(y, &t, 0, 16), WN_EARG, "w: expected whole blocks of 32");
    FAILS(wn_tensor_to_f32(y, &t, 16, 16), WN_EARG, "whole blocks");
    FAILS(wn_tensor_to_f32(y, &t, 0, 64), WN_EARG, "within 32 elements");
    FAILS(wn_tensor_to_f32(y, &t, 64, 0), WN_EARG, "within 32 elements");
    FAILS(wn_tensor_to_f32(y, &t, 32, UINT64_MAX - 31), WN_EARG, "within 32 elements");
    t.dtype = WN_I64;
    t.dim[0] = 4;
    FAILS(wn_tensor_to_f32(y, &t, 0, 1), WN_EARG, "w: expected a floating-point tensor, found i64");
    cr_assert_str_eq(wn_dtype_name(WN_Q6_K), "q6_k");
    cr_assert_eq(wn_dtype_block(WN_Q6_K), 256);
    cr_assert_eq(wn_dtype_block_bytes(WN_Q6_K), 210);
    cr_assert_str_eq(wn_dtype_name(WN_DTYPE_COUNT), "unknown");
}

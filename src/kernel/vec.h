/* A vector of WN_VW floats under one set of names, so that every fast kernel is written once:
 * AVX-512, AVX2, or plain arrays of 16 floats (WN_VEC_WIDE: what the tests use to run the 16-wide
 * paths on any processor). Partial loads fill with zeros; n may exceed the width. */
#ifndef WN_KERNEL_VEC_H
#define WN_KERNEL_VEC_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline, unused))
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

#if defined(WN_VEC_WIDE)

enum { WN_VW = 16 };
typedef struct vf {
    float v[16];
} vf;
typedef struct vm {
    bool v[16];
} vm;
typedef struct vd {
    double v[8];
} vd;

#define EACH_LANE(type, expr)                                                                      \
    type r;                                                                                        \
    for (size_t i = 0; i < sizeof r.v / sizeof *r.v; i++)                                          \
        r.v[i] = (expr);                                                                           \
    return r
INLINE vf vset(float a)
{
    EACH_LANE(vf, a);
}
INLINE vf vload(const float *p)
{
    EACH_LANE(vf, p[i]);
}
INLINE vf vloadn(const float *p, size_t n)
{
    EACH_LANE(vf, i < n ? p[i] : 0);
}
INLINE void vstore(float *p, vf a)
{
    memcpy(p, a.v, sizeof a.v);
}
INLINE void vstoren(float *p, vf a, size_t n)
{
    memcpy(p, a.v, (n < 16 ? n : 16) * sizeof *p);
}
INLINE vf vadd(vf a, vf b)
{
    EACH_LANE(vf, a.v[i] + b.v[i]);
}
INLINE vf vsub(vf a, vf b)
{
    EACH_LANE(vf, a.v[i] - b.v[i]);
}
INLINE vf vmul(vf a, vf b)
{
    EACH_LANE(vf, a.v[i] * b.v[i]);
}
INLINE vf vdiv(vf a, vf b)
{
    EACH_LANE(vf, a.v[i] / b.v[i]);
}
INLINE vf vrcp(vf a)
{
    EACH_LANE(vf, 1 / a.v[i]);
}
INLINE vf vfma(vf a, vf b, vf c)
{
    EACH_LANE(vf, __builtin_fmaf(a.v[i], b.v[i], c.v[i]));
}
INLINE vf vmax(vf a, vf b)
{
    EACH_LANE(vf, a.v[i] > b.v[i] ? a.v[i] : b.v[i]);
}
INLINE vf vmin(vf a, vf b)
{
    EACH_LANE(vf, a.v[i] < b.v[i] ? a.v[i] : b.v[i]);
}
INLINE vf vsqrt(vf a)
{
    EACH_LANE(vf, sqrtf(a.v[i]));
}
INLINE vf vround(vf a)
{
    EACH_LANE(vf, rintf(a.v[i]));
}
INLINE vf vabs(vf a)
{
    EACH_LANE(vf, fabsf(a.v[i]));
}
INLINE vf vsign(vf mag, vf sgn)
{
    EACH_LANE(vf, copysignf(mag.v[i], sgn.v[i]));
}
INLINE vf vpow2(vf a)
{
    EACH_LANE(vf, isnan(a.v[i]) ? a.v[i] : ldexpf(1, (int)a.v[i]));
}
INLINE vm vless(vf a, vf b)
{
    EACH_LANE(vm, a.v[i] < b.v[i]);
}
INLINE vf vselect(vm m, vf a, vf b)
{
    EACH_LANE(vf, m.v[i] ? a.v[i] : b.v[i]);
}
INLINE vf vbf16(vf a)
{
    for (int i = 0; i < 16; i++) {
        uint32_t u;
        memcpy(&u, &a.v[i], sizeof u);
        bool nan = (u & 0x7fffffff) > 0x7f800000;
        u = (nan ? u | 0x400000 : u + 0x7fff + (u >> 16 & 1)) & 0xffff0000;
        memcpy(&a.v[i], &u, sizeof u);
    }
    return a;
}
INLINE float vsum(vf a)
{
    for (int w = 8; w; w /= 2)
        for (int i = 0; i < w; i++)
            a.v[i] += a.v[i + w];
    return a.v[0];
}
INLINE float vtop(vf a)
{
    float m = a.v[0];
    for (int i = 1; i < 16; i++)
        m = a.v[i] > m ? a.v[i] : m;
    return m;
}
INLINE vd vdzero(void)
{
    EACH_LANE(vd, 0);
}
INLINE vd vdadd(vd a, vd b)
{
    EACH_LANE(vd, a.v[i] + b.v[i]);
}
INLINE vd vdmac(vd s, vf a, vf b, int half)
{
    EACH_LANE(vd, s.v[i] + (double)a.v[i + 8 * (size_t)half] * b.v[i + 8 * (size_t)half]);
}
INLINE double vdsum(vd a)
{
    double s = 0;
    for (int i = 0; i < 8; i++)
        s += a.v[i];
    return s;
}
/* Pairs (2i, 2i+1): every pair swapped; each element twice; two values in turn. */
INLINE vf vswap2(vf a)
{
    EACH_LANE(vf, a.v[i ^ 1]);
}
INLINE vf vdup(const float *p)
{
    EACH_LANE(vf, p[i / 2]);
}
INLINE vf valternate(float even, float odd)
{
    EACH_LANE(vf, i & 1 ? odd : even);
}

#elif defined(__AVX512F__)
#include <immintrin.h>

enum { WN_VW = 16 };
typedef __m512 vf;
typedef __mmask16 vm;

INLINE __mmask16 vfirst(size_t n)
{
    return (__mmask16)(n < 16 ? (1u << n) - 1 : 0xffff);
}
INLINE vf vset(float a)
{
    return _mm512_set1_ps(a);
}
INLINE vf vload(const float *p)
{
    return _mm512_loadu_ps(p);
}
INLINE void vstore(float *p, vf v)
{
    _mm512_storeu_ps(p, v);
}
INLINE vf vloadn(const float *p, size_t n)
{
    return _mm512_maskz_loadu_ps(vfirst(n), p);
}
INLINE void vstoren(float *p, vf v, size_t n)
{
    _mm512_mask_storeu_ps(p, vfirst(n), v);
}
INLINE vf vadd(vf a, vf b)
{
    return _mm512_add_ps(a, b);
}
INLINE vf vsub(vf a, vf b)
{
    return _mm512_sub_ps(a, b);
}
INLINE vf vmul(vf a, vf b)
{
    return _mm512_mul_ps(a, b);
}
INLINE vf vdiv(vf a, vf b)
{
    return _mm512_div_ps(a, b);
}
INLINE vf vfma(vf a, vf b, vf c)
{
    return _mm512_fmadd_ps(a, b, c);
}
/* 1/a to an ulp or so for |a| of 2^-125 to 2^125: an estimate and one step of Newton, a fifth of
 * the time of a division. */
INLINE vf vrcp(vf a)
{
    vf r = _mm512_rcp14_ps(a);
    return _mm512_fmadd_ps(r, _mm512_fnmadd_ps(a, r, _mm512_set1_ps(1)), r);
}
INLINE vf vmax(vf a, vf b)
{
    return _mm512_max_ps(a, b);
}
INLINE vf vmin(vf a, vf b)
{
    return _mm512_min_ps(a, b);
}
INLINE vf vsqrt(vf a)
{
    return _mm512_sqrt_ps(a);
}
INLINE vf vround(vf a)
{
    return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
INLINE vf vabs(vf a)
{
    return _mm512_abs_ps(a);
}
INLINE vf vsign(vf mag, vf sgn)
{
    __m512 bit = _mm512_set1_ps(-0.0f);
    return _mm512_or_ps(_mm512_andnot_ps(bit, mag), _mm512_and_ps(bit, sgn));
}
INLINE vf vpow2(vf a)
{
    return _mm512_scalef_ps(_mm512_set1_ps(1), a);
}
INLINE vm vless(vf a, vf b)
{
    return _mm512_cmp_ps_mask(a, b, _CMP_LT_OQ);
}
INLINE vf vselect(vm m, vf a, vf b)
{
    return _mm512_mask_blend_ps(m, b, a);
}
INLINE vf vbf16(vf a)
{
    __m512i u = _mm512_castps_si512(a), one = _mm512_set1_epi32(1);
    __m512i up = _mm512_add_epi32(_mm512_and_si512(_mm512_srli_epi32(u, 16), one),
                                  _mm512_set1_epi32(0x7fff));
    __m512i r = _mm512_add_epi32(u, up);
    r = _mm512_mask_or_epi32(r, _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q), u,
                             _mm512_set1_epi32(0x400000));
    return _mm512_castsi512_ps(_mm512_and_si512(r, _mm512_set1_epi32((int)0xffff0000)));
}
INLINE float vsum(vf a)
{
    return _mm512_reduce_add_ps(a);
}
INLINE float vtop(vf a)
{
    return _mm512_reduce_max_ps(a);
}
typedef __m512d vd;
INLINE vd vdzero(void)
{
    return _mm512_setzero_pd();
}
INLINE vd vdadd(vd a, vd b)
{
    return _mm512_add_pd(a, b);
}
INLINE vd vdmac(vd s, vf a, vf b, int half)
{
    __m256 x = half ? _mm512_extractf32x8_ps(a, 1) : _mm512_castps512_ps256(a);
    __m256 y = half ? _mm512_extractf32x8_ps(b, 1) : _mm512_castps512_ps256(b);
    return _mm512_fmadd_pd(_mm512_cvtps_pd(x), _mm512_cvtps_pd(y), s);
}
INLINE double vdsum(vd a)
{
    return _mm512_reduce_add_pd(a);
}
INLINE vf vswap2(vf a)
{
    return _mm512_permute_ps(a, 0xb1);
}
INLINE vf vdup(const float *p)
{
    __m512i at = _mm512_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7);
    return _mm512_permutexvar_ps(at, _mm512_castps256_ps512(_mm256_loadu_ps(p)));
}
INLINE vf valternate(float even, float odd)
{
    return _mm512_mask_blend_ps(0xaaaa, _mm512_set1_ps(even), _mm512_set1_ps(odd));
}

#else
#include <immintrin.h>

enum { WN_VW = 8 };
typedef __m256 vf;
typedef __m256 vm;

INLINE __m256i vfirst(size_t n)
{
    __m256i at = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(n < 8 ? (int)n : 8), at);
}
INLINE vf vset(float a)
{
    return _mm256_set1_ps(a);
}
INLINE vf vload(const float *p)
{
    return _mm256_loadu_ps(p);
}
INLINE void vstore(float *p, vf v)
{
    _mm256_storeu_ps(p, v);
}
INLINE vf vloadn(const float *p, size_t n)
{
    return _mm256_maskload_ps(p, vfirst(n));
}
INLINE void vstoren(float *p, vf v, size_t n)
{
    _mm256_maskstore_ps(p, vfirst(n), v);
}
INLINE vf vadd(vf a, vf b)
{
    return _mm256_add_ps(a, b);
}
INLINE vf vsub(vf a, vf b)
{
    return _mm256_sub_ps(a, b);
}
INLINE vf vmul(vf a, vf b)
{
    return _mm256_mul_ps(a, b);
}
INLINE vf vdiv(vf a, vf b)
{
    return _mm256_div_ps(a, b);
}
INLINE vf vfma(vf a, vf b, vf c)
{
    return _mm256_fmadd_ps(a, b, c);
}
INLINE vf vrcp(vf a)
{
    vf r = _mm256_rcp_ps(a);
    return _mm256_fmadd_ps(r, _mm256_fnmadd_ps(a, r, _mm256_set1_ps(1)), r);
}
INLINE vf vmax(vf a, vf b)
{
    return _mm256_max_ps(a, b);
}
INLINE vf vmin(vf a, vf b)
{
    return _mm256_min_ps(a, b);
}
INLINE vf vsqrt(vf a)
{
    return _mm256_sqrt_ps(a);
}
INLINE vf vround(vf a)
{
    return _mm256_round_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}
INLINE vf vabs(vf a)
{
    return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a);
}
INLINE vf vsign(vf mag, vf sgn)
{
    __m256 bit = _mm256_set1_ps(-0.0f);
    return _mm256_or_ps(_mm256_andnot_ps(bit, mag), _mm256_and_ps(bit, sgn));
}
/* 2^a for whole a in [-126, 127]; a NaN gives some number, so callers multiply it by a NaN. */
INLINE vf vpow2(vf a)
{
    __m256i n = _mm256_add_epi32(_mm256_cvtps_epi32(a), _mm256_set1_epi32(127));
    return _mm256_castsi256_ps(_mm256_slli_epi32(n, 23));
}
INLINE vm vless(vf a, vf b)
{
    return _mm256_cmp_ps(a, b, _CMP_LT_OQ);
}
INLINE vf vselect(vm m, vf a, vf b)
{
    return _mm256_blendv_ps(b, a, m);
}
INLINE vf vbf16(vf a)
{
    __m256i u = _mm256_castps_si256(a), one = _mm256_set1_epi32(1);
    __m256i up = _mm256_add_epi32(_mm256_and_si256(_mm256_srli_epi32(u, 16), one),
                                  _mm256_set1_epi32(0x7fff));
    __m256 r = _mm256_castsi256_ps(_mm256_add_epi32(u, up));
    __m256 quiet = _mm256_castsi256_ps(_mm256_or_si256(u, _mm256_set1_epi32(0x400000)));
    r = _mm256_blendv_ps(r, quiet, _mm256_cmp_ps(a, a, _CMP_UNORD_Q));
    return _mm256_and_ps(r, _mm256_castsi256_ps(_mm256_set1_epi32((int)0xffff0000)));
}
INLINE float vsum(vf a)
{
    __m128 s = _mm_add_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_add_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}
INLINE float vtop(vf a)
{
    __m128 s = _mm_max_ps(_mm256_castps256_ps128(a), _mm256_extractf128_ps(a, 1));
    s = _mm_max_ps(s, _mm_movehl_ps(s, s));
    return _mm_cvtss_f32(_mm_max_ss(s, _mm_movehdup_ps(s)));
}
typedef __m256d vd;
INLINE vd vdzero(void)
{
    return _mm256_setzero_pd();
}
INLINE vd vdadd(vd a, vd b)
{
    return _mm256_add_pd(a, b);
}
INLINE vd vdmac(vd s, vf a, vf b, int half)
{
    __m128 x = half ? _mm256_extractf128_ps(a, 1) : _mm256_castps256_ps128(a);
    __m128 y = half ? _mm256_extractf128_ps(b, 1) : _mm256_castps256_ps128(b);
    return _mm256_fmadd_pd(_mm256_cvtps_pd(x), _mm256_cvtps_pd(y), s);
}
INLINE double vdsum(vd a)
{
    __m128d s = _mm_add_pd(_mm256_castpd256_pd128(a), _mm256_extractf128_pd(a, 1));
    return _mm_cvtsd_f64(_mm_add_sd(s, _mm_unpackhi_pd(s, s)));
}
INLINE vf vswap2(vf a)
{
    return _mm256_permute_ps(a, 0xb1);
}
INLINE vf vdup(const float *p)
{
    __m256i at = _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3);
    return _mm256_permutevar8x32_ps(_mm256_castps128_ps256(_mm_loadu_ps(p)), at);
}
INLINE vf valternate(float even, float odd)
{
    return _mm256_setr_ps(even, odd, even, odd, even, odd, even, odd);
}
#endif

/* e^x for x <= 88, within 2e-7 relative; 0 below -87.3 (the least normal number), NaN for NaN.
 * e^x = 2^n e^r, |r| <= ln2/2, e^r = 1 + r + r^2 q(r); q is a minimax fit of degree 5. */
INLINE vf vexp(vf x)
{
    vm tiny = vless(x, vset(-87.3f));
    vf y = vmin(vset(88.0f), vmax(vset(-87.3f), x));
    vf n = vround(vmul(y, vset(1.442695041f)));
    vf r = vfma(n, vset(-0.693145752f), y);
    r = vfma(n, vset(-1.42860677e-6f), r);
    vf q = vset(1.979024819e-4f);
    q = vfma(q, r, vset(1.394475927e-3f));
    q = vfma(q, r, vset(8.333497681e-3f));
    q = vfma(q, r, vset(4.166629538e-2f));
    q = vfma(q, r, vset(1.666666567e-1f));
    q = vfma(q, r, vset(0.5f));
    vf e = vadd(vfma(vmul(r, r), q, r), vset(1));
    return vselect(tiny, vset(0), vmul(e, vpow2(n)));
}

/* 1 / (1 + e^-x), without overflow for either sign. */
INLINE vf vsigmoid(vf x)
{
    vf e = vexp(vsub(vset(0), vabs(x)));
    return vmul(vselect(vless(x, vset(0)), e, vset(1)), vrcp(vadd(vset(1), e)));
}

/* Odd polynomial near 0, where the quotient would cancel. */
INLINE vf vtanh(vf x)
{
    vf a = vabs(x), z = vmul(x, x), e = vexp(vmul(a, vset(-2)));
    vf far = vmul(vsub(vset(1), e), vrcp(vadd(vset(1), e)));
    vf p = vset(2.231060993e-3f);
    p = vfma(p, z, vset(-8.267087862e-3f));
    p = vfma(p, z, vset(2.173443884e-2f));
    p = vfma(p, z, vset(-5.395247415e-2f));
    p = vfma(p, z, vset(1.333324760e-1f));
    p = vfma(p, z, vset(-3.333333135e-1f));
    vf near = vfma(vmul(p, z), a, a);
    return vsign(vselect(vless(a, vset(0.6f)), near, far), x);
}

/* Normal distribution function and *density, for the erf GELU: P(-|x|) = e^(-x^2/2) R(t),
 * t = 1 / (1 + |x| / sqrt(8)), R a minimax fit of degree 9 (4e-8 relative before rounding). */
INLINE vf vnormal(vf x, vf *density)
{
    vf e = vexp(vmul(vmul(x, x), vset(-0.5f)));
    vf t = vrcp(vfma(vmin(vset(1e30f), vabs(x)), vset(0.353553391f), vset(1)));
    vf p = vset(-2.940038033e-2f);
    p = vfma(p, t, vset(1.416300088e-1f));
    p = vfma(p, t, vset(-2.422310114e-1f));
    p = vfma(p, t, vset(1.374574602e-1f));
    p = vfma(p, t, vset(-1.221906301e-2f));
    p = vfma(p, t, vset(1.008766815e-1f));
    p = vfma(p, t, vset(1.216710359e-1f));
    p = vfma(p, t, vset(1.411710829e-1f));
    p = vfma(p, t, vset(1.410441697e-1f));
    vf low = vmul(vmul(p, t), e);
    *density = vmul(e, vset(0.398942280f));
    return vselect(vless(x, vset(0)), low, vsub(vset(1), low));
}

/* x Phi(x) within 7e-5, for results that are rounded to bf16: Phi is 1/2 + x P(x^2) between -4.25
 * and 4.25, where it is made to reach 0 and 1. */
INLINE vf vgelu_rough(vf x)
{
    vf c = vmin(vset(4.25f), vmax(vset(-4.25f), x)), t = vmul(c, c);
    vf p = vset(6.760789628e-11f);
    p = vfma(p, t, vset(-6.332236434e-09f));
    p = vfma(p, t, vset(2.608165433e-07f));
    p = vfma(p, t, vset(-6.296936244e-06f));
    p = vfma(p, t, vset(1.008762489e-04f));
    p = vfma(p, t, vset(-1.157448257e-03f));
    p = vfma(p, t, vset(9.996048376e-03f));
    p = vfma(p, t, vset(-6.667260197e-02f));
    p = vfma(p, t, vset(3.991141463e-01f));
    return vmul(x, vfma(c, p, vset(0.5f)));
}

#endif

/* Row kernels of fast.c: norms, activations, softmax, sums. Tails go through the same vector code
 * with partial loads, so an element's value does not depend on where in a row it stands. */
#ifndef WN_KERNEL_FAST_ROWS_H
#define WN_KERNEL_FAST_ROWS_H

#include "kernel/fast_act.h"
#include "kernel/table.h"

/* for (i = 0; i < n; i += VW) with m lanes of work; whole vectors take the plain loads. */
#define EACH_VEC(i, n) for (size_t i = 0; i < (n); i += WN_VW)
#define GET(p, i, n)   ((n) - (i) >= WN_VW ? vload((p) + (i)) : vloadn((p) + (i), (n) - (i)))
#define PUT(p, i, n, v)                                                                            \
    ((n) - (i) >= WN_VW ? vstore((p) + (i), (v)) : vstoren((p) + (i), (v), (n) - (i)))

/* The activation and, in *slope, its derivative. */
INLINE vf act_slope(vf x, wn_act act, vf *slope)
{
    const float c = 0.797884561f;
    const vf one = vset(1);
    vf s, d;
    switch (act) {
    case WN_ACT_SILU:
        s = vsigmoid(x);
        *slope = vmul(s, vfma(x, vsub(one, s), one));
        return vmul(x, s);
    case WN_ACT_GELU:
        s = vnormal(x, &d);
        *slope = vfma(x, d, s);
        return vmul(x, s);
    case WN_ACT_GELU_TANH:
        d = vmul(x, x);
        s = vsigmoid(vmul(vmul(x, vfma(d, vset(0.044715f), one)), vset(2 * c)));
        d = vmul(vset(2 * c), vfma(d, vset(3 * 0.044715f), one));
        *slope = vfma(vmul(x, vmul(s, vsub(one, s))), d, s);
        return vmul(x, s);
    case WN_ACT_RELU:
        *slope = vselect(vless(vset(0), x), one, vset(0));
        return vmax(vset(0), x);
    case WN_ACT_IDENTITY:
        break;
    }
    *slope = one;
    return x;
}

/* A loop for each activation, so that the choice stands outside. */
#define BY_ACT(call)                                                                               \
    switch (kind) {                                                                                \
    case WN_ACT_SILU:                                                                              \
        call(WN_ACT_SILU);                                                                         \
        break;                                                                                     \
    case WN_ACT_GELU:                                                                              \
        call(WN_ACT_GELU);                                                                         \
        break;                                                                                     \
    case WN_ACT_GELU_TANH:                                                                         \
        call(WN_ACT_GELU_TANH);                                                                    \
        break;                                                                                     \
    case WN_ACT_RELU:                                                                              \
        call(WN_ACT_RELU);                                                                         \
        break;                                                                                     \
    case WN_ACT_IDENTITY:                                                                          \
        call(WN_ACT_IDENTITY);                                                                     \
        break;                                                                                     \
    }

INLINE void act_as(float *y, const float *gate, const float *up, size_t n, wn_act kind)
{
    EACH_VEC(i, n)
    {
        vf v = act_value(GET(gate, i, n), kind);
        PUT(y, i, n, up ? vmul(v, GET(up, i, n)) : v);
    }
}

static void act(float *y, const float *gate, const float *up, size_t n, wn_act kind){
#define CALL(k) act_as(y, gate, up, n, k)
    BY_ACT(CALL)
#undef CALL
}

INLINE void act_back_as(float *dgate, float *dup, const float *dy, const float *gate,
                        const float *up, size_t n, wn_act kind)
{
    EACH_VEC(i, n)
    {
        vf slope, d = GET(dy, i, n), v = act_slope(GET(gate, i, n), kind, &slope);
        vf du = up ? vmul(d, GET(up, i, n)) : d;
        PUT(dgate, i, n, vmul(du, slope));
        if (dup)
            PUT(dup, i, n, vmul(d, v));
    }
}

static void act_back(float *dgate, float *dup, const float *dy, const float *gate, const float *up,
                     size_t n, wn_act kind)
{
#define CALL(k) act_back_as(dgate, dup, dy, gate, up, n, k)
    BY_ACT(CALL)
#undef CALL
}

static void round_bf16(float *y, const float *x, size_t n)
{
    EACH_VEC(i, n)
    {
        PUT(y, i, n, vbf16(GET(x, i, n)));
    }
}

/* Nearest even, as the conversion instructions do; NaNs stay NaNs. */
static void to_bf16(uint16_t *restrict y, const float *restrict x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t u;
        memcpy(&u, x + i, sizeof u);
        uint32_t near = u + 0x7fff + (u >> 16 & 1), quiet = u | 0x400000;
        y[i] = (uint16_t)(((u & 0x7fffffff) > 0x7f800000 ? quiet : near) >> 16);
    }
}

static void from_bf16(float *restrict y, const uint16_t *restrict x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t u = (uint32_t)x[i] << 16;
        memcpy(y + i, &u, sizeof u);
    }
}

/* Sums run in four vectors at once: the latency of an addition is four cycles. */
#define EACH_FOUR(i, n, expr)                                                                      \
    vf s0 = vset(0), s1 = s0, s2 = s0, s3 = s0;                                                    \
    size_t i = 0;                                                                                  \
    for (; i + 4 * WN_VW <= (n); i += WN_VW) {                                                     \
        s0 = expr(s0, i);                                                                          \
        i += WN_VW;                                                                                \
        s1 = expr(s1, i);                                                                          \
        i += WN_VW;                                                                                \
        s2 = expr(s2, i);                                                                          \
        i += WN_VW;                                                                                \
        s3 = expr(s3, i);                                                                          \
    }                                                                                              \
    for (; i < (n); i += WN_VW)                                                                    \
        s0 = expr(s0, i);                                                                          \
    s0 = vadd(vadd(s0, s1), vadd(s2, s3))

static float rmsnorm(float *y, const float *x, const float *g, size_t D, float eps)
{
#define TERM(s, i) vfma(GET(x, i, D), GET(x, i, D), s)
    EACH_FOUR(j, D, TERM);
#undef TERM
    float r = (float)(1 / sqrt((double)vsum(s0) / (double)D + (double)eps));
    vf rv = vset(r);
    EACH_VEC(i, D)
    {
        PUT(y, i, D, vmul(GET(g, i, D), vmul(GET(x, i, D), rv)));
    }
    return r;
}

static void rmsnorm_back(float *dx, const float *dy, const float *x, const float *g, float rinv,
                         size_t D, bool add)
{
#define TERM(s, i) vfma(vmul(GET(g, i, D), GET(dy, i, D)), GET(x, i, D), s)
    EACH_FOUR(j, D, TERM);
#undef TERM
    vf r = vset(rinv), c = vset(-vsum(s0) * rinv / (float)D * rinv);
    EACH_VEC(i, D)
    {
        vf d = vmul(r, vfma(GET(x, i, D), c, vmul(GET(g, i, D), GET(dy, i, D))));
        PUT(dx, i, D, add ? vadd(GET(dx, i, D), d) : d);
    }
}

static void rmsnorm_gain(float *dg, const float *dy, const float *x, float rinv, size_t D)
{
    vf r = vset(rinv);
    EACH_VEC(i, D)
    {
        PUT(dg, i, D, vfma(GET(dy, i, D), vmul(GET(x, i, D), r), GET(dg, i, D)));
    }
}

static float row_mean(const float *x, size_t D)
{
#define TERM(s, i) vadd(GET(x, i, D), s)
    EACH_FOUR(j, D, TERM);
#undef TERM
    return vsum(s0) / (float)D;
}

static void layernorm(float *y, float *mean, float *rinv, const float *x, const float *g,
                      const float *b, size_t D, float eps)
{
    float mu = row_mean(x, D);
    vf m = vset(mu);
    vf ss = vset(0), ss2 = ss;
    size_t at = 0;
    for (; at + 2 * WN_VW <= D; at += 2 * WN_VW) {
        vf a = vsub(vload(x + at), m), c = vsub(vload(x + at + WN_VW), m);
        ss = vfma(a, a, ss);
        ss2 = vfma(c, c, ss2);
    }
    float sum = vsum(vadd(ss, ss2));
    for (; at < D; at++)
        sum += (x[at] - mu) * (x[at] - mu);
    *mean = mu;
    *rinv = (float)(1 / sqrt((double)sum / (double)D + (double)eps));
    vf r = vset(*rinv);
    EACH_VEC(i, D)
    {
        vf v = vmul(GET(g, i, D), vmul(vsub(GET(x, i, D), m), r));
        PUT(y, i, D, b ? vadd(v, GET(b, i, D)) : v);
    }
}

static void layernorm_back(float *dx, const float *dy, const float *x, const float *g, float mean,
                           float rinv, size_t D, bool add)
{
    vf su = vset(0), suh = su, m = vset(mean), r = vset(rinv);
    EACH_VEC(i, D)
    {
        vf u = vmul(GET(g, i, D), GET(dy, i, D));
        su = vadd(su, u);
        suh = vfma(u, vsub(GET(x, i, D), m), suh); /* beyond D u is zero */
    }
    vf a = vset(vsum(su) / (float)D), c = vset(-vsum(suh) * rinv / (float)D * rinv);
    EACH_VEC(i, D)
    {
        vf u = vsub(vmul(GET(g, i, D), GET(dy, i, D)), a);
        vf d = vmul(r, vfma(vsub(GET(x, i, D), m), c, u));
        PUT(dx, i, D, add ? vadd(GET(dx, i, D), d) : d);
    }
}

static void layernorm_gain(float *dg, float *db, const float *dy, const float *x, float mean,
                           float rinv, size_t D)
{
    vf r = vset(rinv), m = vset(mean);
    EACH_VEC(i, D)
    {
        vf d = GET(dy, i, D), h = vmul(vsub(GET(x, i, D), m), r);
        PUT(dg, i, D, vfma(d, h, GET(dg, i, D)));
        if (db)
            PUT(db, i, D, vadd(GET(db, i, D), d));
    }
}

static void rope(float *x, const float *cs, size_t half, bool interleaved, float sign)
{
    const float *sn = cs + half;
    if (!interleaved) {
        vf sg = vset(sign);
        EACH_VEC(i, half)
        {
            vf c = GET(cs, i, half), s = vmul(sg, GET(sn, i, half));
            vf a = GET(x, i, half), b = GET(x + half, i, half);
            PUT(x, i, half, vsub(vmul(a, c), vmul(b, s)));
            PUT(x + half, i, half, vadd(vmul(b, c), vmul(a, s)));
        }
        return;
    }
    size_t i = 0;
    const vf sg = valternate(-sign, sign);
    for (; i + WN_VW / 2 <= half; i += WN_VW / 2) {
        vf v = vload(x + 2 * i);
        vf turned = vmul(vmul(vswap2(v), sg), vdup(sn + i));
        vstore(x + 2 * i, vadd(vmul(v, vdup(cs + i)), turned));
    }
    for (; i < half; i++) {
        float c = cs[i], s = sn[i] * sign, a = x[2 * i], b = x[2 * i + 1];
        x[2 * i] = a * c - b * s;
        x[2 * i + 1] = b * c + a * s;
    }
}

static float lse(const float *x, size_t n)
{
    enum { PIECE = 4096 };
    double sum = 0;
    vf top = vset(-INFINITY);
    size_t whole = n / WN_VW * WN_VW;
    for (size_t i = 0; i < whole; i += WN_VW)
        top = vmax(top, vload(x + i));
    float m = vtop(top);
    for (size_t i = whole; i < n; i++)
        m = x[i] > m ? x[i] : m;
    vf mv = vset(m);
    for (size_t p = 0; p < n; p += PIECE) {
        size_t end = n - p < PIECE ? n : p + PIECE, i = p;
        vf s = vset(0);
        for (; i + WN_VW <= end; i += WN_VW)
            s = vadd(s, vexp(vsub(vload(x + i), mv)));
        if (i < end) {
            float last[WN_VW] = {0};
            vstore(last, vexp(vsub(vloadn(x + i, end - i), mv)));
            s = vadd(s, vloadn(last, end - i));
        }
        sum += (double)vsum(s);
    }
    return (float)((double)m + log(sum));
}

static void exp_scaled(float *x, size_t n, float l, float weight)
{
    vf lv = vset(l), w = vset(weight);
    EACH_VEC(i, n)
    {
        PUT(x, i, n, vmul(w, vexp(vsub(GET(x, i, n), lv))));
    }
}

static void add(float *y, const float *x, size_t n)
{
    EACH_VEC(i, n)
    {
        PUT(y, i, n, vadd(GET(y, i, n), GET(x, i, n)));
    }
}

static void scale(float *y, float a, size_t n)
{
    vf v = vset(a);
    EACH_VEC(i, n)
    {
        PUT(y, i, n, vmul(GET(y, i, n), v));
    }
}

static void axpy(float *y, float a, const float *x, size_t n)
{
    vf v = vset(a);
    EACH_VEC(i, n)
    {
        PUT(y, i, n, vfma(v, GET(x, i, n), GET(y, i, n)));
    }
}

static double dot64(const float *x, const float *y, size_t n)
{
    vd s0 = vdzero(), s1 = s0, s2 = s0, s3 = s0;
    size_t i = 0;
    for (; i + 2 * WN_VW <= n; i += 2 * WN_VW) {
        vf a = vload(x + i), b = vload(y + i), c = vload(x + i + WN_VW), d = vload(y + i + WN_VW);
        s0 = vdmac(s0, a, b, 0);
        s1 = vdmac(s1, a, b, 1);
        s2 = vdmac(s2, c, d, 0);
        s3 = vdmac(s3, c, d, 1);
    }
    for (; i < n; i += WN_VW) {
        vf a = GET(x, i, n), b = GET(y, i, n);
        s0 = vdmac(s0, a, b, 0);
        s1 = vdmac(s1, a, b, 1);
    }
    return vdsum(vdadd(vdadd(s0, s1), vdadd(s2, s3)));
}

static void add64(double *y, double a, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] += a * (double)x[i];
}

static double sum_squares(const float *x, size_t n)
{
    return dot64(x, x, n);
}

static float dot(const float *x, const float *y, size_t n)
{
#define TERM(s, i) vfma(GET(x, i, n), GET(y, i, n), s)
    EACH_FOUR(j, n, TERM);
#undef TERM
    return vsum(s0);
}

/* x * 0 is 0 for a finite x and NaN for all else. */
static bool all_finite(const float *x, size_t n)
{
    vf s = vset(0);
    EACH_VEC(i, n)
    {
        s = vfma(GET(x, i, n), vset(0), s);
    }
    return vsum(s) == 0;
}

typedef uint32_t words __attribute__((vector_size(4 * WN_ROW_LANES)));
typedef uint64_t sums __attribute__((vector_size(8 * WN_ROW_LANES)));

static uint64_t row_sum(const float *x, size_t n)
{
    sums first = {0}, second = {0};
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i += WN_ROW_LANES) {
        words w = {0};
        if (n - i >= WN_ROW_LANES)
            memcpy(&w, x + i, sizeof w);
        else
            memcpy(&w, x + i, (n - i) * sizeof *x);
        first += __builtin_convertvector(w, sums);
        second += first;
    }
    for (size_t l = 0; l < WN_ROW_LANES; l++)
        sum += first[l] * WN_ROW_ODD(l) + second[l] * WN_ROW_EVEN(l);
    return sum;
}

static void adamw(float *w, float *m, float *v, const float *g, size_t n, float step, float b1,
                  float b2, float eps, float decay, float root, float gscale, float clip)
{
    const vf gs = vset(gscale), hi = vset(clip), lo = vset(-clip), a1 = vset(1 - b1);
    const vf b2v = vset(b2), a2 = vset(1 - b2), ev = vset(eps), dv = vset(decay);
    const vf rv = vset(root), sv = vset(-step);
    EACH_VEC(i, n)
    {
        vf d = vmul(GET(g, i, n), gs), mi = GET(m, i, n);
        if (clip > 0)
            d = vmin(hi, vmax(lo, d));
        mi = vfma(vsub(d, mi), a1, mi);
        vf vi = vfma(vmul(d, a2), d, vmul(GET(v, i, n), b2v));
        vf q = vdiv(mi, vfma(vsqrt(vi), rv, ev));
        PUT(m, i, n, mi);
        PUT(v, i, n, vi);
        PUT(w, i, n, vfma(sv, q, vmul(GET(w, i, n), dv)));
    }
}

/* ---- tiles of attention scores ------------------------------------------------------------------
 */

/* Lanes of the vector at j outside [lo, hi) become `other`. */
INLINE vf inside(vf v, size_t j, size_t lo, size_t hi, vf other)
{
    if (j >= lo && j + WN_VW <= hi)
        return v;
    float at[16] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    vf rank = vload(at);
    v = vselect(vless(rank, vset(hi > j ? (float)(hi - j) : 0)), v, other);
    return vselect(vless(rank, vset(lo > j ? (float)(lo - j) : 0)), other, v);
}

static void tile_softmax(float *s, float *top, float *sum, float *keep, const wn_tile *t,
                         float scale_)
{
    const vf sc = vset(scale_), none = vset(-INFINITY), zero = vset(0);
    for (size_t i = 0; i < t->rows; i++) {
        float *row = s + i * t->ld;
        size_t lo = t->lo[i], hi = t->hi[i], j = 0;
        keep[i] = 1;
        if (lo >= hi) {
            for (; j < t->n; j += WN_VW)
                vstore(row + j, zero);
            continue;
        }
        vf mv = vset(top[i]);
        for (j = lo / WN_VW * WN_VW; j < hi; j += WN_VW)
            mv = vmax(mv, inside(vmul(vload(row + j), sc), j, lo, hi, none));
        float m = vtop(mv);
        if (m != top[i]) {
            float one[16];
            vstore(one, vexp(vset(top[i] - m)));
            keep[i] = one[0];
        }
        mv = vset(m);
        vf l = zero;
        for (j = 0; j < t->n; j += WN_VW) {
            vf e = zero;
            if (j < hi && j + WN_VW > lo)
                e = inside(vexp(vsub(vmul(vload(row + j), sc), mv)), j, lo, hi, zero);
            vstore(row + j, e);
            l = vadd(l, e);
        }
        top[i] = m;
        sum[i] = sum[i] * keep[i] + vsum(l);
    }
}

static void tile_softmax_back(float *s, float *dp, const float *lse_, const float *delta,
                              const wn_tile *t, float scale_)
{
    const vf sc = vset(scale_), zero = vset(0);
    for (size_t i = 0; i < t->rows; i++) {
        float *p = s + i * t->ld, *d = dp + i * t->ld;
        size_t lo = t->lo[i], hi = t->hi[i];
        vf l = vset(lse_[i]), dl = vset(delta[i]);
        for (size_t j = 0; j < t->n; j += WN_VW) {
            vf e = zero, g = zero;
            if (j < hi && j + WN_VW > lo) {
                e = inside(vexp(vsub(vmul(vload(p + j), sc), l)), j, lo, hi, zero);
                g = inside(vmul(e, vsub(vload(d + j), dl)), j, lo, hi, zero);
            }
            vstore(p + j, e);
            vstore(d + j, g);
        }
    }
}

static void softcap(float *s, size_t n, float scale_, float cap)
{
    const vf in = vset(scale_ / cap), c = vset(cap);
    EACH_VEC(i, n)
    {
        PUT(s, i, n, vmul(c, vtanh(vmul(GET(s, i, n), in))));
    }
}

static void softcap_back(float *ds, const float *capped, size_t n, float cap)
{
    const vf in = vset(1 / cap), one = vset(1);
    EACH_VEC(i, n)
    {
        vf r = vmul(GET(capped, i, n), in);
        PUT(ds, i, n, vmul(GET(ds, i, n), vmul(vsub(one, r), vadd(one, r))));
    }
}

#endif

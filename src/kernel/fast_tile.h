/* Around a product's tiles: what is done to sums before they are forgotten, and the numbers of
 * packed weights. */
#ifndef WN_KERNEL_FAST_TILE_H
#define WN_KERNEL_FAST_TILE_H

#include "kernel/block.h"
#include "kernel/fast_rows.h"
#include "kernel/table.h"
#include "kernel/vec.h"

INLINE void after_as(float *y, const float *c, const float *up, const float *residual, size_t n,
                     const wn_after *e, wn_act kind)
{
    EACH_VEC(i, n)
    {
        vf v = GET(c, i, n);
        if (e->bias)
            v = vadd(v, GET(e->bias, i, n));
        v = act_value(v, kind);
        if (up) {
            vf u = GET(up, i, n);
            v = vmul(v, e->up_bias ? vadd(u, GET(e->up_bias, i, n)) : u);
        }
        if (residual)
            v = vadd(v, GET(residual, i, n));
        PUT(y, i, n, v);
    }
}

static void after(float *y, size_t ldy, const float *c, size_t ldc, const float *up, size_t ldup,
                  size_t m, size_t n, const wn_after *e)
{
#define CALL(kind)                                                                                 \
    for (size_t r = 0; r < m; r++)                                                                 \
    after_as(y + r * ldy, c + r * ldc, up ? up + r * ldup : NULL,                                  \
             e->residual ? e->residual + r * e->ldr : NULL, n, e, kind)
    wn_act kind = e->act;
    BY_ACT(CALL)
#undef CALL
}

static void block_f32(float *out, const void *from, wn_mat_kind kind)
{
    wn_block_f32(out, from, kind);
}

static void block_pairs(uint16_t *out, const float *rows)
{
    wn_block_pairs(out, rows);
}

/* round(x * by) + zero, nearest even, in 0..255. */
INLINE void int8_piece(uint8_t *out, const float *x, vf by, vf zero, size_t n)
{
    float v[64];
    for (size_t i = 0; i < 64; i += WN_VW) {
        vf q = vround(vmul(vloadn(x + (i < n ? i : 0), i < n ? n - i : 0), by));
        vstore(v + i, vmin(vset(255), vmax(vset(0), vadd(q, zero))));
    }
    for (size_t i = 0; i < 64; i++)
        out[i] = (uint8_t)(int)v[i];
}

static float row_int8(uint8_t *out, size_t step, int32_t *zero, const float *x, size_t n)
{
    vf low = vset(0), high = vset(0), bad = vset(0);
    EACH_VEC(i, n)
    {
        vf v = GET(x, i, n);
        bad = vfma(v, vset(0), bad);
        low = vmin(low, v);
        high = vmax(high, v);
    }
    float least = -vtop(vsub(vset(0), low)), range = vtop(high) - least, wrong = vsum(bad);
    bool fine = wrong == 0 && range > WN_INT8_LEAST;
    float by = fine ? 255 / range : 0, z = rintf(-least * by);
    *zero = fine ? (int32_t)z : 0;
    for (size_t i = 0; i < n; i += 64, out += step) {
        if (fine)
            int8_piece(out, x + i, vset(by), vset(z), n - i);
        else
            memset(out, 0, 64);
    }
    return wrong == 0 ? range / 255 : NAN;
}

static void from_int32(float *y, size_t ldy, const int32_t *c, const wn_int8 *f, size_t m, size_t n,
                       bool add)
{
    if (n == 32 && !add)
        wn_from_int32(y, ldy, c, f, m, 32, false);
    else
        wn_from_int32(y, ldy, c, f, m, n, add);
}

#endif

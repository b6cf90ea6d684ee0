/* Around a product's tiles: what is done to sums before they are forgotten, and the numbers of
 * packed weights. */
#ifndef WN_KERNEL_FAST_TILE_H
#define WN_KERNEL_FAST_TILE_H

#include "kernel/block.h"
#include "kernel/fast_rows.h"
#include "kernel/table.h"
#include "kernel/vec.h"

INLINE void after_as(float *y, const float *c, const float *up, const float *residual, size_t n,
                     const wn_after *e, wn_act kind, bool rough)
{
    EACH_VEC(i, n)
    {
        vf v = GET(c, i, n);
        if (e->bias)
            v = vadd(v, GET(e->bias, i, n));
        v = rough ? vgelu_rough(v) : act_value(v, kind);
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
             e->residual ? e->residual + r * e->ldr : NULL, n, e, kind, ROUGH)
    wn_act kind = e->act;
    if (kind == WN_ACT_GELU && e->rough) {
#define ROUGH true
        CALL(WN_ACT_GELU);
#undef ROUGH
        return;
    }
#define ROUGH false
    BY_ACT(CALL)
#undef ROUGH
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

#endif

/* strips.h where no processor has tile products: nothing but the answer to the question is ever
 * called. */
#include "kernel/strips.h"

#if !defined(__x86_64__)

#include "base/err.h"

bool wn_strips_there(void)
{
    return false;
}

void wn_strip_row(uint16_t *strips, const wn_strip_bytes *bytes, size_t r, const float *x, size_t K)
{
    (void)strips, (void)bytes, (void)r, (void)x, (void)K;
    WN_ASSERT(wn_strips_there());
}

void wn_strip_floats(float *x, const uint16_t *strips, size_t r, size_t K)
{
    (void)x, (void)strips, (void)r, (void)K;
    WN_ASSERT(wn_strips_there());
}

void wn_strip_mm(const wn_strip_product *p)
{
    (void)p;
    WN_ASSERT(wn_strips_there());
}

void wn_strip_attention(uint16_t *strips, const uint16_t *q, const uint16_t *k, const uint16_t *v,
                        const wn_attn *a)
{
    (void)strips, (void)q, (void)k, (void)v, (void)a;
    WN_ASSERT(wn_strips_there());
}

#endif

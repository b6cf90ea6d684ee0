/* Which of attention's probabilities training drops (wn_attn_drop). */
#ifndef WN_KERNEL_ATTENTION_DROP_H
#define WN_KERNEL_ATTENTION_DROP_H

#include "base/rng.h"
#include "kernel/kernel.h"

/* The number whose counters segment s has. */
static inline uint64_t wn_drop_example(const wn_attn_drop *d, size_t s)
{
    return d->example ? d->example[s] : d->first + s;
}

/* x [n] *= mask: probabilities, or their gradients, of head h and query i for keys k0 .. (k0 a
 * multiple of 4); positions within the segment. */
static inline void wn_drop_probabilities(float *x, size_t n, const wn_attn_drop *d,
                                         uint64_t example, size_t h, size_t i, size_t k0)
{
    uint32_t high = (uint32_t)(example >> 32) << 24;
    for (size_t j = 0; j < n; j += 4) {
        uint32_t bits[4], ctr[4] = {(uint32_t)((k0 + j) >> 2) | (uint32_t)h << 20,
                                    (uint32_t)i ^ high, (uint32_t)example, d->step};
        wn_philox(bits, ctr, d->key);
        for (size_t e = 0; e < 4 && j + e < n; e++)
            x[j + e] *= bits[e] < d->keep ? d->scale : 0;
    }
}

#endif

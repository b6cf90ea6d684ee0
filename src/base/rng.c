#include "base/rng.h"

#include <math.h>

#include "base/err.h"

void wn_philox(uint32_t out[4], const uint32_t ctr[4], const uint32_t key[2])
{
    uint32_t c0 = ctr[0], c1 = ctr[1], c2 = ctr[2], c3 = ctr[3], k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        c0 = n0;
        c2 = n2;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

static void block(uint32_t out[4], uint64_t seed, uint64_t stream, uint64_t index)
{
    uint32_t ctr[4] = {(uint32_t)index, (uint32_t)(index >> 32), (uint32_t)stream,
                       (uint32_t)(stream >> 32)};
    uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)};
    wn_philox(out, ctr, key);
}

uint64_t wn_rng_u64(uint64_t seed, uint64_t stream, uint64_t index)
{
    uint32_t b[4];
    block(b, seed, stream, index);
    return (uint64_t)b[1] << 32 | b[0];
}

double wn_rng_uniform(uint64_t seed, uint64_t stream, uint64_t index)
{
    return (double)(wn_rng_u64(seed, stream, index) >> 11) * 0x1p-53;
}

double wn_rng_normal(uint64_t seed, uint64_t stream, uint64_t index)
{
    uint32_t b[4];
    block(b, seed, stream, index);
    double u = ((double)(((uint64_t)b[1] << 32 | b[0]) >> 11) + 0.5) * 0x1p-53;
    double v = (double)(((uint64_t)b[3] << 32 | b[2]) >> 11) * 0x1p-53;
    return sqrt(-2.0 * log(u)) * cos(6.283185307179586 * v);
}

uint64_t wn_rng_below(wn_rng *r, uint64_t n)
{
    WN_ASSERT(n > 0);
    uint64_t limit = UINT64_MAX - UINT64_MAX % n; /* a multiple of n */
    for (;;) {
        uint64_t v = wn_rng_u64(r->seed, r->stream, r->next++);
        if (v < limit)
            return v % n;
    }
}

void wn_rng_shuffle(wn_rng *r, uint64_t *items, size_t n)
{
    for (size_t i = n; i > 1; i--) {
        size_t j = (size_t)wn_rng_below(r, i);
        uint64_t t = items[i - 1];
        items[i - 1] = items[j];
        items[j] = t;
    }
}

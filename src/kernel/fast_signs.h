/* Random signs sixteen lanes at a time, written as plain loops over lanes that compilers turn into
 * vectors (asked to, or gcc unrolls them first): a block of Philox is 20 multiplications for 128
 * bits, so making signs costs about half of what spreading them to floats does, and no cheaper hash
 * is worth its doubts. */
#ifndef WN_KERNEL_FAST_SIGNS_H
#define WN_KERNEL_FAST_SIGNS_H

#include <stdint.h>
#include <string.h>

#include "kernel/vec.h"

enum { SIGN_LANES = 16 };

static void philox16(uint32_t out[4][16], const uint32_t ctr[4], const uint32_t key[2])
{
    uint32_t c0[SIGN_LANES], c1[SIGN_LANES], c2[SIGN_LANES], c3[SIGN_LANES];
    uint32_t k0 = key[0], k1 = key[1];
    for (uint32_t l = 0; l < SIGN_LANES; l++) {
        c0[l] = ctr[0] + l;
        c1[l] = ctr[1];
        c2[l] = ctr[2];
        c3[l] = ctr[3];
    }
    for (int round = 0; round < 10; round++) {
#pragma omp simd
        for (int l = 0; l < SIGN_LANES; l++) {
            uint64_t p0 = (uint64_t)0xD2511F53u * c0[l], p1 = (uint64_t)0xCD9E8D57u * c2[l];
            uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1[l] ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c3[l] ^ k1;
            c1[l] = (uint32_t)p1;
            c3[l] = (uint32_t)p0;
            c0[l] = n0;
            c2[l] = n2;
        }
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    memcpy(out[0], c0, sizeof c0);
    memcpy(out[1], c1, sizeof c1);
    memcpy(out[2], c2, sizeof c2);
    memcpy(out[3], c3, sizeof c3);
}

/* From the last row to the first, so that a doubling brings up the next bit. */
static void sign_rows(float *out, const uint32_t word[16], unsigned from, unsigned to)
{
    uint32_t w[SIGN_LANES];
    if (from == to)
        return;
    for (int l = 0; l < SIGN_LANES; l++)
        w[l] = ~word[l] << (32 - to);
    for (unsigned i = to - from; i-- > 0;) {
        uint32_t bits[SIGN_LANES];
        for (int l = 0; l < SIGN_LANES; l++) {
            bits[l] = 0x3f800000u | (w[l] & 0x80000000u);
            w[l] += w[l];
        }
        memcpy(out + i * SIGN_LANES, bits, sizeof bits);
    }
}

static void sign_columns(float *out, uint32_t word, unsigned from)
{
    uint32_t bits[SIGN_LANES], w = ~word >> from;
    for (unsigned l = 0; l < SIGN_LANES; l++)
        bits[l] = 0x3f800000u | (w << (31 - l) & 0x80000000u);
    memcpy(out, bits, sizeof bits);
}

#endif

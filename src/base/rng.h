/* Counter-based random numbers: value = f(seed, stream, index), so any draw can be made in any
 * order by any thread. Philox4x32-10 (Salmon, Moraes, Dror, Shaw 2011, "Parallel random numbers: as
 * easy as 1, 2, 3"), checked against its published vectors. */
#ifndef WN_BASE_RNG_H
#define WN_BASE_RNG_H

#include <stddef.h>
#include <stdint.h>

/* The raw block function: out[4] from counter ctr[4] and key[2]. */
void wn_philox(uint32_t out[4], const uint32_t ctr[4], const uint32_t key[2]);

/* Streams keep different uses of one seed apart; give each use a number of its own. */
enum {
    WN_STREAM_SELECT = 1,  /* random strategies */
    WN_STREAM_SHUFFLE = 2, /* order of training rows */
    WN_STREAM_LORA = 3,    /* initial adapter weights */
    WN_STREAM_DROPOUT = 4,
    WN_STREAM_BOOTSTRAP = 5,
    WN_STREAM_TEST = 6,
    WN_STREAM_SPLIT = 7,
    WN_STREAM_PROJECT = 8, /* signs of a projection */
    WN_STREAM_STATE8 = 9,  /* rounding of 8-bit optimiser state */
    WN_STREAM_KRON_OUT = 16,
    WN_STREAM_KRON_IN = 17,
    WN_STREAM_SUBSETS = 32, /* random subsets of groups */
    WN_STREAM_COIN = 33,    /* signs of GradEx's reference mode */
    WN_STREAM_FOLD = 34,    /* cross-validation */
    WN_STREAM_CLUSTER = 35, /* starts of k-means */
    WN_STREAM_GUMBEL = 36
};

uint64_t wn_rng_u64(uint64_t seed, uint64_t stream, uint64_t index);
double wn_rng_uniform(uint64_t seed, uint64_t stream, uint64_t index); /* [0, 1), 53 bits */
double wn_rng_normal(uint64_t seed, uint64_t stream, uint64_t index);  /* Box-Muller */

/* A sequence on top of it, for shuffles and rejection sampling. */
typedef struct wn_rng {
    uint64_t seed, stream, next;
} wn_rng;
uint64_t wn_rng_below(wn_rng *r, uint64_t n); /* uniform in 0 .. n-1 without bias; n > 0 */
void wn_rng_shuffle(wn_rng *r, uint64_t *items, size_t n); /* Fisher-Yates */

#endif

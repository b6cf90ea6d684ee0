/* Random projections of gradients: g [p] to g~ = P^T g [d] with E[P P^T] = I, so that norms and
 * inner products are kept up to a relative error of about sqrt(2 / d). P is never stored as
 * numbers.
 *
 *   rademacher  entries +-1/sqrt(d), the counter-based signs of kernel.h with stream
 *               WN_STREAM_PROJECT: entry (k, j) is a function of (seed, k, j) alone
 *   mt19937     entries +-1/sqrt(d), the draws of NumPy's RandomState(seed): entry (k, j),
 *               row-major, takes the (k d + j)-th 32-bit output, + where its lowest bit is 1. Kept
 *               as bits: p d / 8 bytes
 *   kron        d = k_o k_i, k_o the largest divisor of d up to sqrt(d). A matrix parameter [N, K]
 *               has signs R_o [k_o, N] and R_i [k_i, K] of its own (streams WN_STREAM_KRON_OUT and
 *               _IN, rows at its offset in the gradient) and adds R_o dW R_i^T / sqrt(d), row by
 *               row, which needs the two matrices that dW is made of but never dW (Choe et al.
 *               2024, LoGra). Entries are +-1/sqrt(d) but only pairwise independent within a
 *               matrix: inner products of gradients of low rank come out noisier. Vectors and bias
 *               tables take the rademacher signs.
 */
#ifndef WN_FEATURE_PROJECT_H
#define WN_FEATURE_PROJECT_H

#include "feature/choose.h"
#include "kernel/kernel.h"

typedef enum wn_projection_kind {
    WN_PROJECT_RADEMACHER,
    WN_PROJECT_MT19937,
    WN_PROJECT_KRON
} wn_projection_kind;

typedef struct wn_projection {
    wn_projection_kind kind;
    size_t d;
    uint64_t seed;
    const wn_chosen *chosen; /* borrowed */
    wn_signs signs;          /* of rademacher and mt19937 [p, d]; of kron's vectors */
    uint32_t *word;          /* mt19937's bits, owned */
    size_t ko, ki;           /* kron */
    wn_signs out, in;
} wn_projection;

wn_err wn_projection_parse(wn_projection_kind *kind, const char *name); /* NULL: rademacher */
const char *wn_projection_name(wn_projection_kind kind);
/* max_memory: 0 or a bound in bytes for all the process holds, which mt19937's bits count against.
 * d at most WN_SIGNS_MAX. */
wn_err wn_projection_init(wn_projection *P, wn_projection_kind kind, size_t d, uint64_t seed,
                          const wn_chosen *chosen, uint64_t max_memory);
void wn_projection_free(wn_projection *P);
/* Whether kron takes the parameter as a matrix. */
bool wn_projection_factored(const wn_projection *P, const wn_param *p);

/* out [M, d] = P^T of M gradients g [M, p] (row stride ldg). Parallel; sums of tiles in double. */
wn_err wn_project(float *out, const wn_projection *P, const float *g, size_t ldg, size_t M);
/* The map back, Delta = P w: elements [first, first + n) of M vectors, out [M, n] (row stride ldo)
 * from w [M, d] (row stride ldw). Signs are made again and shared by all M, so ask for many w at
 * once and for stretches of a few parameters. Parallel; the same bytes however [0, p) is cut. */
wn_err wn_project_back(float *out, size_t ldo, const wn_projection *P, const float *w, size_t ldw,
                       size_t M, uint64_t first, size_t n);

#endif

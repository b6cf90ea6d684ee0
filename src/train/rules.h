/* The update rules behind optim.h, and their 8-bit state. */
#ifndef WN_TRAIN_RULES_H
#define WN_TRAIN_RULES_H

#include "train/optim.h"

/* ---- moments in 8 bits ---------------------------------------------------------------------
 * Blocks of WN_STATE_BLOCK numbers share one f32 scale, their largest magnitude (block-wise absmax,
 * Dettmers et al. 2022, arXiv 2110.02861). A code is a small float of 3 mantissa bits: with a sign
 * and 4 bits of exponent for m, without a sign and with 5 for v, whose range is the square of a
 * gradient's. Rounding is stochastic, by a counter: v changes by a thousandth an update, which
 * rounding to nearest would lose. A v above 0 never becomes 0, as m / sqrt(v) would explode. */
enum { WN_STATE_BLOCK = 256 };

static inline size_t wn_blocks(size_t n)
{
    return (n + WN_STATE_BLOCK - 1) / WN_STATE_BLOCK;
}
/* Numbers of one block, n <= WN_STATE_BLOCK. draw: any 32 bits that are this block's own. */
void wn_state8_put(uint8_t *code, float *scale, const float *x, size_t n, bool is_signed,
                   uint32_t draw);
void wn_state8_get(float *x, const uint8_t *code, float scale, size_t n, bool is_signed);

/* ---- rules -------------------------------------------------------------------------------- */

/* One parameter's update. */
typedef struct wn_rule {
    const wn_optim *o;
    wn_param *p;
    wn_optim_state *s;
    size_t index; /* of the parameter */
    float lr, decay, scale, clip;
    double c1, c2; /* Adam's bias corrections */
} wn_rule;

/* The gradient as it is used. */
static inline float wn_rule_grad(const wn_rule *r, float g)
{
    g *= r->scale;
    if (r->clip > 0)
        g = g > r->clip ? r->clip : g < -r->clip ? -r->clip : g;
    return g;
}

enum { WN_RULE_PIECE = 1 << 15 }; /* elements one thread updates at a time; whole blocks */

void wn_rule_elements(const wn_rule *r); /* Adam, Lion, SGD */
void wn_rule_adafactor(const wn_rule *r);
/* Whether v is kept as row and column factors. */
static inline bool wn_factored(const wn_param *p)
{
    return p->rows > 1 && p->cols > 1;
}

#endif

/* The sink that makes one row of numbers an example out of a batch's backward pass: the projected
 * gradient, or the gradient itself.
 *
 * A layer's gradient of one example, dy^T x over its tokens, is made a tile at a time (some
 * thousand elements, for up to sixteen examples) in a thread's own memory, preconditioned if asked
 * to, multiplied by the tile's signs, and gone. Signs are made once a tile for all of its examples.
 * Gains, biases and bias tables are kept until the pass ends, look-up tables' uses too (they add
 * up, and a tied output matrix is one of them). kron projections take dy and x apart and never make
 * a tile.
 *
 * A row's numbers do not depend on the other examples of the batch, nor on threads: tiles follow
 * the parameter's shape alone, sums within a tile are floats in a fixed order, sums of tiles
 * doubles in the order of the tiles. */
#ifndef WN_FEATURE_GRADSINK_H
#define WN_FEATURE_GRADSINK_H

#include "feature/choose.h"
#include "feature/project.h"

typedef struct wn_grad_sink_opts {
    const wn_params *params;
    const wn_chosen *chosen;
    const wn_projection *projection; /* NULL: the gradient itself */
    /* Adam's moments [chosen n] of [rows, cols], NULL: none. Elements become (b1 m + (1 - b1) g) /
     * sqrt(b2 v + (1 - b2) g^2 + 1e-8) with 0.9 and 0.999 before they are projected (Xia et al.
     * 2024, LESS, arXiv 2402.04333). Not with kron. */
    float *const *m, *const *v;
    size_t max_examples, max_tokens; /* of a batch, on either side */
    size_t width;                    /* of look-up tables, the model's */
} wn_grad_sink_opts;

typedef struct wn_grad_sink wn_grad_sink;
wn_err wn_grad_sink_new(wn_grad_sink **out, const wn_grad_sink_opts *o);
void wn_grad_sink_free(wn_grad_sink *s);
size_t wn_grad_sink_bytes(const wn_grad_sink_opts *o); /* what wn_grad_sink_new allocates */
size_t wn_grad_sink_dim(const wn_grad_sink *s);        /* numbers a row */

/* For each batch: begin, a backward pass into wn_grad_sink_calls (of memory WN_WORK_EXAMPLES,
 * unless no parameter of the head is chosen), finish before that memory is used again, then rows.
 */
void wn_grad_sink_begin(wn_grad_sink *s, size_t B);
wn_sink wn_grad_sink_calls(wn_grad_sink *s);
void wn_grad_sink_finish(wn_grad_sink *s);
void wn_grad_sink_row(const wn_grad_sink *s, size_t b, float *out); /* [dim] */

#endif

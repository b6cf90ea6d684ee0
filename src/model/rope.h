/* Rotary positions (Su et al. 2021, arXiv 2104.09864) and the published ways to stretch them. */
#ifndef WN_MODEL_ROPE_H
#define WN_MODEL_ROPE_H

#include "model/internal.h"

typedef struct wn_rope_rule {
    double theta;
    double partial;     /* share of a head's components that is rotated; 1: all */
    const json_t *more; /* rope_scaling or rope_parameters, NULL: none */
} wn_rope_rule;

/* Reads rope_theta, rope_scaling (transformers 4) or rope_parameters (5); `layers` names a member
 * of rope_parameters where kinds of layers differ ("full_attention"), NULL: none; theta: where the
 * config has none. */
wn_err wn_rope_read(wn_rope_rule *r, const wn_model *m, const char *layers, double theta);

/* The table of angles of that rule for heads of width d, for m->stack.positions positions. Kinds:
 * default, linear, dynamic, llama3, yarn, longrope (su). Sets m->stack.rot and, for table 0 of a
 * rule whose angles depend on a row's length, m->stack.longer; dynamic raises the positions by its
 * factor. */
wn_err wn_rope_build(wn_model *m, int table, const wn_rope_rule *r);

/* Angles of a pass's tokens by the lengths of their rows, as the reference turns each row when it
 * reads that row alone: a whole row, its prompt included, by one set of frequencies. w->pos is set.
 * Does nothing where lengths do not matter. Fails where texts behind one parent differ in it. */
wn_err wn_rope_prepare(const wn_stack *s, wn_stack_work *w, const wn_batch *b);

/* Whether rows of a and of b tokens are turned by the same angles. */
bool wn_rope_same(const wn_stack *s, uint32_t a, uint32_t b);

/* The same for a step of cached decoding: text i has seen[i] tokens in the cache, turned already.
 * Fails where its new tokens would turn those by other angles. */
wn_err wn_rope_prepare_step(const wn_stack *s, wn_stack_work *w, const wn_batch *b,
                            const uint32_t *seen);

#endif

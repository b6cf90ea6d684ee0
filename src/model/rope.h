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
 * of rope_parameters where kinds of layers differ ("full_attention"), NULL: none. */
wn_err wn_rope_read(wn_rope_rule *r, const wn_model *m, const char *layers);

/* The table of angles of that rule for heads of width d, for m->stack.positions positions, which
 * may be lowered: a scheme whose angles depend on the row's length is used where they do not, and
 * longer rows are refused. Kinds: default, linear, dynamic, llama3, yarn, longrope (su). Sets
 * m->stack.rot. */
wn_err wn_rope_build(wn_model *m, int table, const wn_rope_rule *r);

#endif

/* The flat list of a model's parameters. */
#ifndef WN_MODEL_PARAMS_H
#define WN_MODEL_PARAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* How a parameter is used. The gradient of a matrix is handed to a sink once a pass; that of a
 * look-up table in parts, one for each of its uses (input ids of encoder and decoder, a tied output
 * matrix), which add up; that of a bias table once a layer that has it. */
typedef enum wn_param_use { WN_PARAM_MATRIX, WN_PARAM_LOOKUP, WN_PARAM_BIAS_TABLE } wn_param_use;

typedef struct wn_param {
    char *name;        /* as in the Hugging Face checkpoint, or PEFT's for adapters */
    size_t rows, cols; /* cols 1 for vectors (norms, biases) */
    bool decay;        /* weight decay applies: not for norms and biases */
    bool adapter;
    wn_param_use use;
    float offset;   /* value = what the file holds + offset (Gemma's norms) */
    bool trainable; /* its gradient goes to the sink */
    float *value;   /* [rows, cols] master copy; NULL for a frozen packed matrix */
    float *grad;    /* [rows, cols], there after wn_params_make_grads if trainable */
    bool bf16;      /* its gradient is a product of bf16 numbers */
    bool fresh;     /* grad counts as zeros, whatever it holds: what is added first is written */
} wn_param;

typedef struct wn_params {
    wn_param *p;
    size_t n, cap;
} wn_params;

/* Adds one; returns its index. The array may move: keep indices, not pointers, until all are added.
 */
wn_err wn_params_add(wn_params *ps, size_t *index, const char *name, size_t rows, size_t cols,
                     bool decay);
void wn_params_free(wn_params *ps);
/* Zeroed gradients for all that is trainable; frees those of others. */
wn_err wn_params_make_grads(wn_params *ps);
void wn_params_zero_grads(wn_params *ps);
/* The same by marking them fresh, which costs no pass over memory; after the backward passes,
 * settle makes those zero that were not reached. */
void wn_params_fresh_grads(wn_params *ps);
void wn_params_settle_grads(wn_params *ps);
/* Zeroes the gradient if it is fresh: for what adds. */
void wn_param_settle(wn_param *p);
uint64_t wn_params_count(const wn_params *ps);     /* elements */
uint64_t wn_params_trainable(const wn_params *ps); /* elements that are trainable */
wn_param *wn_params_find(wn_params *ps, const char *name);

#endif

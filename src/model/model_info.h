/* What a model is, in the words of `winnow model info`. */
#ifndef WN_MODEL_MODEL_INFO_H
#define WN_MODEL_MODEL_INFO_H

#include "model/model.h"

/* Adds family, shape, precision, what a sentence-transformers folder says, the tokenizer's facts.
 * weights_bytes counts what is in memory: matrices at their precision, the rest in float32; token
 * tables stay in their file. */
wn_err wn_model_describe(json_t *j, wn_model *m);
/* Names and shapes of all parameters, in their order. */
json_t *wn_model_params_json(const wn_model *m);
/* Lines of what a user should know before; length [n]: tokens of the rows she asks about. */
json_t *wn_model_warnings(const wn_model *m, const size_t *length, size_t n);

#endif

/* sentence-transformers folders: what stands between a model's hidden states and a text's vector.
 * modules.json lists the parts in order: Transformer (the model), Pooling, then any of Dense,
 * LayerNorm and Normalize. A part of another kind, or with an option that is not known, is refused
 * by name. */
#ifndef WN_MODEL_SENTENCE_H
#define WN_MODEL_SENTENCE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "io/hash.h"
#include "io/json.h"

typedef enum wn_pooling {
    WN_POOL_MEAN,
    WN_POOL_WEIGHTED, /* position / sum of positions (Muennighoff 2022, arXiv 2202.08904) */
    WN_POOL_LAST,
    WN_POOL_CLS,
    WN_POOL_MAX,
    WN_POOL_MEAN_SQRT, /* sum / sqrt(tokens) */
    WN_POOLINGS
} wn_pooling;
const char *wn_pooling_name(wn_pooling p); /* "mean", "weighted", ... */
/* One name, or several joined by "+" in the order of their results ("cls+mean"). */
wn_err wn_pooling_parse(wn_pooling p[WN_POOLINGS], size_t *n, const char *names);

typedef enum wn_part_kind { WN_PART_NORMALIZE, WN_PART_LAYER_NORM, WN_PART_DENSE } wn_part_kind;

typedef enum wn_dense_act {
    WN_DENSE_IDENTITY,
    WN_DENSE_TANH,
    WN_DENSE_RELU,
    WN_DENSE_GELU,
    WN_DENSE_SILU,
    WN_DENSE_SIGMOID
} wn_dense_act;

typedef struct wn_sentence_part {
    wn_part_kind kind;
    size_t in, out;         /* Dense; LayerNorm: both its width */
    wn_dense_act act;       /* Dense */
    bool residual;          /* Dense: adds its input, or residual_weight times it */
    float *weight, *bias;   /* [out, in] and [out] or NULL; LayerNorm: both [in] */
    float *residual_weight; /* [out, in], NULL: in == out */
} wn_sentence_part;

typedef struct wn_sentence {
    char *model; /* folder of the Transformer module: weights, config and tokenizer */
    wn_pooling pooling[WN_POOLINGS]; /* results lie side by side */
    size_t n_pooling;
    bool skip_prompt; /* a prompt's tokens are not pooled */
    wn_sentence_part *part;
    size_t n_part, part_cap;
    size_t max_seq_length;      /* 0: not given */
    bool lower;                 /* texts are lower-cased first */
    json_t *prompts;            /* name -> text */
    const char *default_prompt; /* name, NULL: none */
    char sha[WN_SHA_HEX];       /* of all files read here */
} wn_sentence;

/* *out NULL, and WN_OK, where the folder has no modules.json. */
wn_err wn_sentence_open(wn_sentence **out, const char *folder);
void wn_sentence_close(wn_sentence *s);

/* Width of a vector behind the first `parts` parts, from states of width D pooled in n ways; fails
 * where a part expects another width than it gets. */
wn_err wn_sentence_width(size_t *width, const wn_sentence *s, size_t parts, size_t D, size_t n,
                         const char *folder);
/* A Dense or LayerNorm part at work: v [in] to out [out], which must not be the same. */
void wn_sentence_apply(float *out, const float *v, const wn_sentence_part *p);

/* The text of the named prompt (NULL: the folder's default; *out NULL where it has none). An
 * unknown name is refused with the list of names. */
wn_err wn_sentence_prompt(const char **out, const wn_sentence *s, const char *name,
                          const char *folder);

#endif

/* A model's files, behind Hugging Face's names: config.json and safetensors of a folder, or the
 * same facts read from a GGUF file (weights_gguf.h). Or none: a config alone, with numbers made up
 * as they are asked for, to plan and to time what a model of that shape would do. */
#ifndef WN_MODEL_WEIGHTS_H
#define WN_MODEL_WEIGHTS_H

#include <stdbool.h>

#include "io/gguf.h"
#include "io/hash.h"
#include "io/json.h"
#include "io/safetensors.h"

typedef struct wn_weights {
    char *path;  /* as the user gave it */
    char *place; /* the file errors name */
    bool is_gguf;
    wn_safetensors *st;
    wn_gguf *gguf;
    json_t *config; /* config.json, or made from the metadata */
    size_t skip;    /* characters of a name this checkpoint leaves out at its beginning */
    const char
        *prefix; /* before every tensor's name in this checkpoint, "" or "model." or "bert." */
    const struct wn_gguf_arch *arch; /* of a GGUF file, else NULL */
    struct wn_made_up *made_up;      /* there is no file: every tensor asked for exists */
} wn_weights;

wn_err wn_weights_open(wn_weights *w, const char *path);
/* config (as config.json) is taken over; `place` stands in errors. */
wn_err wn_weights_make_up(wn_weights *w, json_t *config, const char *place);
void wn_weights_close(wn_weights *w);

/* The tensor of that Hugging Face name, NULL if there is none. */
const wn_tensor *wn_weights_find(const wn_weights *w, const char *name);
/* The same, checked: missing, or another shape than [rows, cols] (cols 0: a vector), is an error
 * that names file, tensor, expected and found shape. */
wn_err wn_weights_get(const wn_tensor **out, const wn_weights *w, const char *name, size_t rows,
                      size_t cols);

/* Rows that a GGUF file may hold in another order: heads of width `head` (0: none are), of queries
 * or keys, or mixed: q, k and v of each head in turn. */
typedef struct wn_row_order {
    size_t head;
    bool mixed;
} wn_row_order;

/* Rows [first, first + n) of a matrix (or all of a vector: n = 1) as float32, put back into Hugging
 * Face's order. NaN or infinity is an error that names file, tensor and place. Safe in parallel. */
wn_err wn_weights_rows(float *out, const wn_weights *w, const wn_tensor *t, size_t first, size_t n,
                       wn_row_order order);

/* SHA-256 over the weight files' bytes and the config. */
wn_err wn_weights_sha(const wn_weights *w, char hex[WN_SHA_HEX]);

#endif

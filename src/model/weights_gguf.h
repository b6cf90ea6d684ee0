/* GGUF files as llama.cpp's converter writes them, behind Hugging Face's names: a row of a table
 * for each architecture. */
#ifndef WN_MODEL_WEIGHTS_GGUF_H
#define WN_MODEL_WEIGHTS_GGUF_H

#include "model/weights.h"

/* Finds the file's architecture and makes the config.json its family reads from metadata and
 * tensors: w->arch, w->config. Errors name file and key; an unknown architecture is refused with
 * the list of known ones. */
wn_err wn_gguf_config(wn_weights *w);

/* The file's name of a Hugging Face tensor; false where the architecture has none. */
bool wn_gguf_name(char *out, size_t size, const wn_weights *w, const char *name);

/* Where row r of a Hugging Face matrix (or element of a bias) stands in the file. The converter
 * reorders the rows of two kinds of matrices: queries' and keys' heads of the llama kind (halves to
 * pairs, as its rotation goes) and fused ones (from q, k, v of head 0, then of head 1, ... to all
 * q, all k, all v). */
size_t wn_gguf_row(const wn_weights *w, const wn_row_order *o, size_t rows, size_t r);

#endif

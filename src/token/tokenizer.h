/* Tokenizers: text to ids exactly as the model's own tokenizer.json (Hugging Face tokenizers), its
 * SentencePiece .model, or the metadata of a GGUF file say. Normalisers, pre-tokenisers and
 * post-processors are data: a small pipeline built from the JSON's node types, no per-model code.
 * An unknown node type, or a known one with an unknown option, is refused by name.
 *
 * Open, encode, decode, close and wn_tokenizer_vocab are public (winnow.h); here is what the rest
 * of the library also needs. */
#ifndef WN_TOKEN_TOKENIZER_H
#define WN_TOKEN_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "io/hash.h"
#include "io/json.h"

/* A growing list of ids. */
typedef struct wn_ids {
    int32_t *id;
    size_t n, cap;
} wn_ids;
void wn_ids_clear(wn_ids *ids);
void wn_ids_release(wn_ids *ids);

/* Scratch of one thread, so that encoding does not allocate once it is warm. Zero it first. */
typedef struct wn_token_work {
    struct wn_token_memory *memory;
} wn_token_work;
void wn_token_work_free(wn_token_work *w);

/* Appends the ids of text without special tokens of the post-processor (special tokens spelled out
 * in the text become their ids, as the reference does). */
wn_err wn_tokenizer_append(const wn_tokenizer *t, wn_token_work *w, const char *text, size_t len,
                           wn_ids *out);

typedef struct wn_token_facts {
    int32_t bos, eos, unk,
        pad;               /* -1: none. eos: tokenizer_config.json's eos_token, else config.json's,
                              else generation_config's; from GGUF: tokenizer.ggml.eos_token_id */
    const int32_t *prefix; /* what the post-processor puts before a single text ([CLS], BOS, ...) */
    size_t n_prefix;
    const int32_t *suffix; /* and behind it ([SEP], </s>, ...) */
    size_t n_suffix;
    bool adds_space;           /* puts a space before every text (SentencePiece's dummy prefix) */
    size_t vocab;              /* ids are below this */
    const char *kind;          /* "wordpiece", "bpe", "unigram" */
    const char *chat_template; /* Jinja text or NULL */
    const struct wn_template *chat; /* its format, NULL: not known */
    bool chat_bos;                  /* the text writes BOS */
    bool chat_system;               /* and, if there is one, a system prompt */
} wn_token_facts;
const wn_token_facts *wn_tokenizer_facts(const wn_tokenizer *t);
const char *wn_tokenizer_token(const wn_tokenizer *t,
                               int32_t id); /* its text, NULL if there is none */
int32_t wn_tokenizer_id(const wn_tokenizer *t, const char *token); /* -1 if there is none */
/* Texts are lower-cased before all other normalisation, unless that is done already. Once, before
 * the first use. */
wn_err wn_tokenizer_lowercase(wn_tokenizer *t);
/* Of the file it came from; for GGUF of the tokenizer's metadata, as the file also holds the
 * weights. */
const char *wn_tokenizer_sha(const wn_tokenizer *t);
/* What a tokenizer read from GGUF does, as tokenizer.json says it. A unigram of SentencePiece is
 * refused: its normalisation has no words there. */
wn_err wn_tokenizer_json(json_t **out, const wn_tokenizer *t);

#endif

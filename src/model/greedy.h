/* Decoding token by token: keys and values of what was read stay in a cache, so a step computes
 * only the tokens that are new. A step's batch mixes texts that just came (their whole prompt) with
 * texts that go on (one token each), so texts enter and leave at any step.
 *
 * A text owns a run of cache rows, one a token, chosen by the caller; an encoder-decoder's also a
 * run of source rows, one for each token of the encoder's side, which is read once. */
#ifndef WN_MODEL_GREEDY_H
#define WN_MODEL_GREEDY_H

#include "model/model.h"

typedef struct wn_cache wn_cache;
/* rows and source_rows below 2^32; source_rows is ignored where the model has no encoder. */
wn_err wn_cache_new(wn_cache **out, const wn_model *m, size_t rows, size_t source_rows);
void wn_cache_free(wn_cache *c);
/* What wn_cache_new would allocate: rows of keys and values of all layers, float32. */
size_t wn_cache_bytes(const wn_model *m, size_t rows, size_t source_rows);

typedef struct wn_step {
    const wn_batch *b;     /* new tokens; id, B, T, off and, of an encoder-decoder, source: the
                              encoder's side of the texts that came with this step (B may be 0) */
    const uint32_t *first; /* [B] cache row of each text's first token */
    const uint32_t *seen;  /* [B] tokens of it read in earlier steps */
    const uint32_t *source_first, *source_n; /* [B] source rows that a text looks at */
    const uint32_t *source_to;               /* [b->source->B] where those that came go */
} wn_step;

/* next [B]: the likeliest token behind each segment's last; of equal ones the smallest id. w: for
 * at least T tokens, B segments and B labels. A text longer than the model's positions, and logits
 * that are no numbers, are errors. A text's tokens do not depend on the others of the batch, on how
 * it was cut into steps, nor on threads. */
wn_err wn_model_next(const wn_model *m, wn_work *w, wn_cache *c, const wn_step *s, int32_t *next);

/* Whether a text that is read as n tokens first may grow to `most`: not across a length from which
 * on the model turns all of a row by other angles, which keys in a cache cannot follow. */
bool wn_model_can_grow(const wn_model *m, size_t n, size_t most);

/* Ids that end a text: eos_token_id of generation_config.json (a number or a list; config.json's
 * without one), the tokenizer's end-of-text token, and, of a GGUF file, its end-of-turn and
 * end-of-message tokens. */
wn_err wn_model_ends(wn_ids *out, const wn_model *m);

#endif

/* Embeddings: one vector a row, from hidden states pooled over a row's tokens. */
#ifndef WN_FEATURE_EMBED_H
#define WN_FEATURE_EMBED_H

#include "feature/pooling.h"
#include "model/model.h"
#include "pool/pool.h"

/* Tokens that a thread takes at once: 5 % less time than 256 (MiniLM in bf16). */
enum { WN_EMBED_TOKENS = 512 };

typedef struct wn_embed_rule {
    wn_vector_rule vector;
    int layer;
    bool both;          /* prompt and target */
    const char *prompt; /* in front of every text, NULL: nothing; borrowed from options or model */
    const char *prompt_name; /* NULL: none, or given as text */
    wn_encode_rule encode;
} wn_embed_rule;
/* Fills what the caller left open (NULL strings, 0) from the model's own settings. */
wn_err wn_embed_rule_init(wn_embed_rule *r, const wn_model *m, const wn_embed_opts *o);

/* Bytes that wn_embed_rows allocates for rows of so many tokens, with the model's own rule. */
uint64_t wn_embed_bytes(const wn_model *m, size_t row_tokens);

/* Embeds rows [first, first + n) of the pool and hands them to `emit` in row order (vector [D], row
 * parsed, tokens used). Collective: of several ranks (base/ranks.h) each embeds its share, and on
 * rank 0 alone rows are emitted and counted. Rows are batched by length inside a window of some
 * thousands; memory is bounded; a row's vector does not depend on its neighbours, on threads or
 * ranks. NaN or infinity is refused by id. */
typedef wn_err (*wn_embed_emit)(void *ctx, uint64_t row, const wn_row *r, const float *vector,
                                uint32_t tokens);
wn_err wn_embed_rows(wn_model *m, const wn_pool *p, uint64_t first, uint64_t n,
                     const wn_embed_rule *r, wn_embed_emit emit, void *ctx,
                     wn_encode_counts *counts);

#endif

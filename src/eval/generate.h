/* Greedy continuation of rows' prompts, texts entering and leaving a running batch. */
#ifndef WN_EVAL_GENERATE_H
#define WN_EVAL_GENERATE_H

#include "eval/answers.h"
#include "eval/eval.h"

enum { WN_MAX_NEW = 128 };

typedef struct wn_generate_rule {
    size_t max_new;          /* most tokens of an answer, its end token included; 0: 128 */
    const char *const *stop; /* an answer ends before the first of these texts */
    size_t n_stop;
    uint64_t max_memory; /* of the process, bytes; 0: the cache gets at most 1 GiB (but room for
                            the longest text) */
    bool all;            /* rows with choices too */
} wn_generate_rule;

typedef struct wn_generate_counts {
    wn_encode_counts prompts;
    size_t room; /* tokens a prompt was cut to */
    uint64_t rows, tokens, unended;
} wn_generate_counts;

/* Sets out of every row that has no choices (or of all): what the model says, special tokens
 * dropped, up to a stop text. An answer ends at one of wn_model_ends, at the token that closes an
 * answer in the rule's chat format, at a stop text or after max_new tokens. A decoder's prompt
 * loses its beginning where prompt and max_new tokens would be more than rule->max_tokens; max_new
 * that leaves no room is refused.
 *
 * Memory is planned before the first step: prompts are measured, then the cache gets rows for as
 * many texts as fit, 32 at most. A row's answer does not depend on the others, nor on threads.
 * kept, NULL or not, as in eval.h: an answer is kept as soon as it has ended. */
wn_err wn_generate_rows(wn_predictions *out, wn_model *m, const wn_pool *rows,
                        const wn_encode_rule *rule, const wn_generate_rule *g,
                        wn_generate_counts *counts, wn_kept *kept);

#endif

/* How a row becomes tokens: the rules of cli.md, "Models", in one place for embed, score, train and
 * eval. Cuts are counted, never silent. */
#ifndef WN_TOKEN_ENCODE_H
#define WN_TOKEN_ENCODE_H

#include "pool/pool.h"
#include "token/tokenizer.h"

typedef enum wn_shape { WN_SHAPE_ENCODER, WN_SHAPE_DECODER, WN_SHAPE_ENCDEC } wn_shape;

typedef struct wn_encode_rule {
    wn_shape shape;
    size_t max_tokens;  /* encoder: the whole text with special tokens; decoder: the whole sequence;
                           encoder-decoder: the encoder's side */
    size_t max_target;  /* 0: never cut */
    const char *tmpl;   /* chat template name, NULL: none */
    const char *system; /* system prompt of the chat format, NULL: none */
    const char *lead;   /* put in front of every prompt's text, NULL: nothing */
    bool supervise_prompt;
    bool no_eos; /* targets end with their text: no EOS, no closing mark of the chat format */
} wn_encode_rule;

typedef struct wn_encode_counts {
    uint64_t rows, tokens, prompts_cut, prompt_tokens_cut, targets_cut, target_tokens_cut;
    uint64_t computed; /* tokens that scoring sent through the model: a prompt's once, whatever the
                          number of its choices */
} wn_encode_counts;

/* Refuses a chat format that is not known, or a system prompt it has no place for, before any row
 * is read. */
wn_err wn_encode_check(const wn_tokenizer *t, const wn_encode_rule *rule);

/* Whether a space is put between a decoder's prompt and its answer: there is a text, and no white
 * space where they meet. (A tokenizer that puts one itself needs none.) */
bool wn_encode_apart(wn_span prompt, wn_span text);

/* Prompt alone, for embedding: encoder: prefix + text + suffix; decoder: BOS + text, no EOS; T5:
 * text + EOS. An encoder's or T5's prompt keeps its beginning when cut, a decoder's its end (BOS
 * stays). `both`: prompt, then target behind it as training would put it. */
wn_err wn_encode_prompt(wn_ids *out, const wn_tokenizer *t, wn_token_work *w, const wn_row *row,
                        const wn_encode_rule *rule, bool both, wn_encode_counts *counts);

/* Prompt and n targets that share it (n = 1: the row's target; else its choices). For a decoder:
 * prompt = BOS + prompt tokens, target i = [space] text + EOS, the prompt cut so that the longest
 * target fits. part[i] .. part[i+1] delimit target i in `targets` (n + 1 entries). A row whose
 * longest target leaves no room for any prompt token fails with WN_EARG naming the row's id; so
 * does a target that has no token. */
wn_err wn_encode_targets(wn_ids *prompt, wn_ids *targets, size_t *part, const wn_tokenizer *t,
                         wn_token_work *w, const wn_row *row, const wn_span *text, size_t n,
                         const wn_encode_rule *rule, wn_encode_counts *counts);

/* One line for people: "3 of 200 prompts cut to 512 tokens (1,234 tokens dropped)"; empty if
 * nothing was. */
void wn_encode_summary(wn_str *s, const wn_encode_counts *c, const wn_encode_rule *rule);

#endif

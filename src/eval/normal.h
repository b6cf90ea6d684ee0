/* Texts to words, as the scoring scripts of the field cut them. */
#ifndef WN_EVAL_NORMAL_H
#define WN_EVAL_NORMAL_H

#include "base/err.h"
#include "base/str.h"

/* Words in the text's order; spans point into `text`. Zero it first; wn_normal_free last. */
typedef struct wn_normal {
    wn_str text;
    wn_span *word;
    size_t n, cap;
} wn_normal;
void wn_normal_free(wn_normal *w);

/* Without the ASCII blanks at its ends. */
wn_span wn_trim(wn_span s);

/* Lower-cased, ASCII punctuation dropped, split at (Unicode) blanks. */
wn_err wn_normal_plain(wn_normal *w, wn_span text);
/* Lower-cased, [a-z0-9]+, those above 3 letters stemmed. */
wn_err wn_normal_rouge(wn_normal *w, wn_span text);
/* The DROP script's normal form, split at blanks. */
wn_err wn_normal_drop(wn_normal *w, wn_span text);
/* Whether Python's float() would read the word. */
bool wn_word_is_number(wn_span word, double *value);

#endif

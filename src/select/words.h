/* Texts as words, for telling shared text apart from different spellings of it: lower case, punctuation
 * and symbols are blanks, every ideograph is a word of its own. */
#ifndef WN_SELECT_WORDS_H
#define WN_SELECT_WORDS_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

/* hash 0: the border between two texts, which no run of words crosses. at, len: the word in `text`. */
typedef struct wn_word {
    uint64_t hash;
    uint32_t at, len;
} wn_word;

typedef struct wn_words {
    wn_word *word;
    size_t n, cap;
    wn_str text;
} wn_words;

void wn_words_clear(wn_words *w);
void wn_words_free(wn_words *w);
/* Appends the words of a text, and a border. Invalid UTF-8 is a blank. */
wn_err wn_words_add(wn_words *w, wn_span text);

/* Hash of the n words from `first` on; depends on their order and number. */
uint64_t wn_words_hash(const wn_words *w, size_t first, size_t n);
/* The same for every window of n words that crosses no border, one multiplication a window: call with i
 * ascending from 0; true: *hash is that of the words i+1-n .. i. Zero the state first. */
typedef struct wn_window {
    uint64_t hash, lead; /* lead: the multiplier of the word that leaves, set at first use */
    size_t run;
} wn_window;
int wn_window_push(wn_window *s, uint64_t *hash, const wn_words *w, size_t i, size_t n);

#endif

/* Texts as words, for telling shared text apart from different spellings of it: lower case,
 * punctuation and symbols are blanks, every ideograph is a word of its own. */
#ifndef WN_SELECT_WORDLIST_H
#define WN_SELECT_WORDLIST_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

/* hash 0: the border between two texts, which no run of words crosses. at, len: the word in `text`.
 */
typedef struct wn_listed_word {
    uint64_t hash;
    uint32_t at, len;
} wn_listed_word;

typedef struct wn_wordlist {
    wn_listed_word *word;
    size_t n, cap;
    wn_str text;
} wn_wordlist;

void wn_wordlist_clear(wn_wordlist *w);
void wn_wordlist_free(wn_wordlist *w);
/* Appends the words of a text, and a border. Invalid UTF-8 is a blank. */
wn_err wn_wordlist_add(wn_wordlist *w, wn_span text);

/* Hash of the n words from `first` on; depends on their order and number. */
uint64_t wn_wordlist_hash(const wn_wordlist *w, size_t first, size_t n);
/* The same for every window of n words that crosses no border, one multiplication a window: call
 * with i ascending from 0; true: *hash is that of the words i+1-n .. i. Zero the state first. */
typedef struct wn_window {
    uint64_t hash, lead; /* lead: the multiplier of the word that leaves, set at first use */
    size_t run;
} wn_window;
int wn_window_push(wn_window *s, uint64_t *hash, const wn_wordlist *w, size_t i, size_t n);

#endif

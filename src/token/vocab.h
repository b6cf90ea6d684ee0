/* The two look-ups that tokenizers are made of: a vocabulary (text <-> id, an open-addressing
 * table) and a trie of byte strings (every entry that a text starts with). Both are built once and
 * read by all threads. */
#ifndef WN_TOKEN_VOCAB_H
#define WN_TOKEN_VOCAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

/* Ids need not be dense: a hole has no text. */
typedef struct wn_vocab {
    wn_str text;     /* all texts, each followed by a NUL */
    uint32_t *start; /* [n] offset into text; NO_TEXT for a hole */
    uint32_t *len;   /* [n] */
    size_t n, cap;   /* highest id + 1 */
    size_t count;    /* ids that have a text */
    uint32_t *slot;  /* [mask + 1] id + 1, 0 empty */
    size_t mask;
} wn_vocab;

/* `expect`: about how many entries will come. */
wn_err wn_vocab_init(wn_vocab *v, size_t expect);
void wn_vocab_free(wn_vocab *v);
/* Gives `id` the text. WN_EFORMAT (without a place: the caller knows it) if the id or the text is
 * taken or the id is beyond `limit`. A taken text with `keep_first` keeps its first id in the
 * look-up. */
wn_err wn_vocab_add(wn_vocab *v, const char *text, size_t len, int64_t id, int64_t limit,
                    bool keep_first);
int32_t wn_vocab_find(const wn_vocab *v, const char *text, size_t len); /* id or -1 */
/* The text of an id, {NULL, 0} for a hole or an id out of range. NUL-terminated. */
wn_span wn_vocab_text(const wn_vocab *v, int64_t id);

/* A trie in breadth-first order: a node's children lie together, sorted by byte. */
typedef struct wn_trie_node {
    uint32_t child; /* index of the first child */
    int32_t value;  /* of the entry that ends here, -1: none */
    uint16_t n_child;
    uint8_t byte;
} wn_trie_node;

typedef struct wn_trie {
    wn_trie_node *node;
    size_t n;
    uint32_t root[256]; /* the root's child by byte, 0: none */
} wn_trie;

typedef struct wn_trie_entry {
    wn_span text;  /* borrowed for the call */
    int32_t value; /* >= 0 */
} wn_trie_entry;

/* Sorts `entry`. Empty texts are left out; of equal texts the one given last wins. */
wn_err wn_trie_build(wn_trie *t, wn_trie_entry *entry, size_t n);
void wn_trie_free(wn_trie *t);
/* The child of `node` (0: the root) by `byte`, 0 if there is none. */
uint32_t wn_trie_step_slow(const wn_trie *t, uint32_t node, unsigned char byte);
static inline uint32_t wn_trie_step(const wn_trie *t, uint32_t node, unsigned char byte)
{
    return node ? wn_trie_step_slow(t, node, byte) : t->root[byte];
}

#endif

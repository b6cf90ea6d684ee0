/* WordPiece: the longest entry from the left, then the longest continuing one ("##..."), and so on;
 * a word that cannot be covered is one unknown token. One walk of the trie finds each longest
 * entry. */
#include "token/parts.h"

wn_err wn_wordpiece_encode(const wn_tokenizer *t, wn_token_memory *m, const char *s, size_t len,
                           wn_ids *out)
{
    (void)m;
    const wn_lexicon *x = &t->model;
    size_t first = out->n, at = 0;
    uint32_t more = 0; /* the node behind the continuing prefix */
    for (size_t i = 0; i < x->prefix.len; i++) {
        more = i && !more ? 0 : wn_trie_step(&x->trie, more, (unsigned char)x->prefix.p[i]);
        if (!more)
            break;
    }
    bool bad = wn_utf8_count(s, len) > x->max_chars;
    while (at < len && !bad) {
        uint32_t node = at ? more : 0;
        bool root = !at || !x->prefix.len;
        int32_t best = -1;
        size_t end = at;
        for (size_t i = at; i < len; i++) {
            if (!node && !root)
                break;
            node = wn_trie_step(&x->trie, node, (unsigned char)s[i]);
            root = false;
            if (node && x->trie.node[node].value >= 0) {
                best = x->trie.node[node].value;
                end = i + 1;
            }
        }
        bad = best < 0;
        if (!bad)
            WN_TRY(wn_ids_push(out, best));
        at = end;
    }
    if (!bad)
        return WN_OK;
    out->n = first;
    if (x->unk < 0)
        return wn_fail(WN_EFORMAT, "%s: the vocabulary lacks its unknown token", t->path);
    return wn_ids_push(out, x->unk);
}

/* Unigram: the segmentation of highest summed score, by Viterbi from the left. A character that no
 * entry covers alone may be unknown at min_score - 10; neighbouring unknown ones are one token, or
 * their bytes. Sums and comparisons are in the reference's order, so ties fall alike. */
#include <string.h>

#include "base/mem.h"
#include "token/parts.h"

static const double UNKNOWN_PENALTY = 10.0;

static void offer(wn_best *b, double score, size_t from, int32_t id)
{
    if (b->from < 0 || score > b->score)
        *b = (wn_best){score, (int32_t)from, id};
}

/* SentencePiece adds in single precision, the tokenizers library in double: ties differ. */
static double sum(const wn_lexicon *x, double a, double b)
{
    return x->single ? (double)(float)(a + b) : a + b;
}

static wn_err search(const wn_tokenizer *t, wn_best *best, const char *s, size_t len)
{
    const wn_lexicon *x = &t->model;
    for (size_t i = 0; i <= len; i++)
        best[i] = (wn_best){0, -1, -1};
    for (size_t i = 0, k; i < len; i += k) {
        k = wn_utf8_size(s + i);
        double here = best[i].score;
        bool single = false;
        uint32_t node = 0;
        for (size_t j = i; j < len;) {
            node = wn_trie_step(&x->trie, node, (unsigned char)s[j++]);
            if (!node)
                break;
            int32_t id = x->trie.node[node].value;
            if (id < 0)
                continue;
            offer(&best[j], sum(x, x->score[id], here), i, id);
            single |= j == i + k;
        }
        if (single)
            continue;
        if (x->unk < 0)
            return wn_fail(WN_EFORMAT,
                           "%s: a character is not in the vocabulary and there is no "
                           "unknown token",
                           t->path);
        offer(&best[i + k], sum(x, sum(x, x->min_score, -UNKNOWN_PENALTY), here), i, x->unk);
    }
    return WN_OK;
}

/* A run of unknown characters, written from its end: ids come out backwards. */
static wn_err put_unknown(const wn_tokenizer *t, const char *s, size_t len, wn_ids *out)
{
    const wn_lexicon *x = &t->model;
    int32_t id = wn_vocab_find(&t->vocab, s, len);
    if (id >= 0)
        return wn_ids_push(out, id);
    bool all = x->byte_fallback;
    for (size_t i = 0; i < len && all; i++)
        all = x->fallback_id[(unsigned char)s[i]] >= 0;
    for (size_t i = len; i-- > 0 && all;)
        WN_TRY(wn_ids_push(out, x->fallback_id[(unsigned char)s[i]]));
    return all ? WN_OK : wn_ids_push(out, x->unk);
}

wn_err wn_unigram_encode(const wn_tokenizer *t, wn_token_memory *m, const char *s, size_t len,
                         wn_ids *out)
{
    if (len >= INT32_MAX - 1)
        return wn_fail(WN_EARG, "a text of %zu bytes is too long", len);
    if (len + 1 > m->best_cap) {
        size_t cap = m->best_cap ? m->best_cap : 256;
        while (cap < len + 1)
            cap *= 2;
        wn_best *b = wn_realloc(m->best, cap * sizeof *b);
        if (!b)
            return WN_ENOMEM;
        m->best = b;
        m->best_cap = cap;
    }
    WN_TRY(search(t, m->best, s, len));
    size_t first = out->n, unknown_end = 0;
    for (size_t end = len; end > 0;) {
        wn_best b = m->best[end];
        size_t from = (size_t)b.from;
        bool unknown = b.id == t->model.unk;
        if (unknown && !unknown_end)
            unknown_end = end;
        if (!unknown) {
            if (unknown_end)
                WN_TRY(put_unknown(t, s + end, unknown_end - end, out));
            unknown_end = 0;
            WN_TRY(wn_ids_push(out, b.id));
        }
        end = from;
    }
    if (unknown_end)
        WN_TRY(put_unknown(t, s, unknown_end, out));
    for (size_t i = first, j = out->n; i + 1 < j; i++) {
        int32_t swap = out->id[i];
        out->id[i] = out->id[--j];
        out->id[j] = swap;
    }
    return WN_OK;
}

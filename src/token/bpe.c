/* Byte-pair encoding: characters, then the pair of least rank (leftmost of equals) merged until no
 * pair is in the table. Words of a few characters keep their ranks in an array; long ones use a
 * heap with stale entries, O(n log n). */
#include <string.h>

#include "base/mem.h"
#include "token/parts.h"

enum { SHORT = 40 };

static size_t slot_of(const wn_lexicon *x, uint64_t key)
{
    uint64_t h = key * 0x9e3779b97f4a7c15u;
    return (size_t)(h ^ h >> 32) & x->pair_mask;
}

static const wn_pair *find_pair(const wn_lexicon *x, int32_t left, int32_t right)
{
    uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    for (size_t i = slot_of(x, key); x->pair[i].key != UINT64_MAX; i = (i + 1) & x->pair_mask)
        if (x->pair[i].key == key)
            return &x->pair[i];
    return NULL;
}

wn_err wn_pairs_init(wn_lexicon *x, size_t n)
{
    size_t size = 64;
    while (size < n * 2)
        size *= 2;
    x->pair = wn_malloc(size * sizeof *x->pair);
    if (!x->pair)
        return WN_ENOMEM;
    memset(x->pair, 0xff, size * sizeof *x->pair);
    x->pair_mask = size - 1;
    return WN_OK;
}

void wn_pairs_put(wn_lexicon *x, int32_t left, int32_t right, uint32_t rank, int32_t id)
{
    uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    size_t i = slot_of(x, key);
    while (x->pair[i].key != UINT64_MAX && x->pair[i].key != key)
        i = (i + 1) & x->pair_mask;
    x->n_pair += x->pair[i].key != key;
    x->pair[i] = (wn_pair){key, rank, id};
}

wn_err wn_pairs_grow(wn_lexicon *x)
{
    wn_pair *old = x->pair;
    size_t n = x->pair_mask + 1;
    wn_err err = wn_pairs_init(x, n);
    if (err) {
        x->pair = old;
        return err;
    }
    x->n_pair = 0;
    for (size_t i = 0; i < n; i++)
        if (old[i].key != UINT64_MAX)
            wn_pairs_put(x, (int32_t)(old[i].key >> 32), (int32_t)old[i].key, old[i].rank,
                         old[i].id);
    wn_free(old);
    return WN_OK;
}

wn_err wn_pairs_merge(wn_lexicon *x, const wn_vocab *v, wn_span a, wn_span b, size_t rank,
                      wn_str *joined)
{
    size_t skip = b.len < x->prefix.len ? b.len : x->prefix.len;
    wn_str_clear(joined);
    wn_str_add(joined, a.p, a.len);
    wn_str_add(joined, b.p + skip, b.len - skip);
    WN_TRY(wn_str_check(joined));
    int32_t left = wn_vocab_find(v, a.p, a.len), right = wn_vocab_find(v, b.p, b.len);
    int32_t id = wn_vocab_find(v, joined->p, joined->len);
    if (left < 0 || right < 0 || id < 0)
        return wn_fail(WN_EFORMAT, "merge %zu, '%.*s' and '%.*s': not all in the vocabulary", rank,
                       (int)(a.len < 64 ? a.len : 64), a.p, (int)(b.len < 64 ? b.len : 64), b.p);
    wn_pairs_put(x, left, right, (uint32_t)rank, id);
    return WN_OK;
}

wn_err wn_lexicon_trie(wn_lexicon *x, const wn_vocab *v, const unsigned char *usable)
{
    wn_trie_entry *e;
    WN_NEW(e, v->n + 1);
    size_t n = 0;
    for (size_t id = 0; id < v->n; id++) {
        wn_span s = wn_vocab_text(v, (int64_t)id);
        if (s.len && (!usable || usable[id]))
            e[n++] = (wn_trie_entry){s, (int32_t)id};
    }
    wn_err err = wn_trie_build(&x->trie, e, n);
    wn_free(e);
    return err;
}

void wn_lexicon_bytes(wn_lexicon *x, const wn_vocab *v)
{
    for (int b = 0; b < 256; b++) {
        char s[8] = {'<', '0', 'x', "0123456789ABCDEF"[b >> 4], "0123456789ABCDEF"[b & 15], '>'};
        x->fallback_id[b] = wn_vocab_find(v, s, 6);
        x->byte_id[b] = wn_vocab_find(v, s, wn_utf8_put(s, wn_byte_char((unsigned char)b)));
    }
}

/* ---- parts ---------------------------------------------------------------------------------
 * Vocabularies without a pre-tokeniser (Llama 2, Gemma) merge a whole text. Nearly none of their
 * pairs joins a character with the mark of a blank behind it, so no merge ever crosses such a place
 * and the parts between them can be done one by one: short, and mostly remembered. */

static const char MARK[] = "\xe2\x96\x81";
enum { MARK_BYTES = 3 };

static bool marked(wn_span s)
{
    return s.len >= MARK_BYTES && memcmp(s.p, MARK, MARK_BYTES) == 0;
}

/* Of a pair whose right side begins with the mark: the left one's last byte cannot be parted from
 * it, or, where its text is not what it stands for (a byte, the unknown token), nothing can. */
static bool glue(wn_lexicon *x, const wn_vocab *v, int32_t left)
{
    wn_span s = wn_vocab_text(v, left);
    for (int b = 0; b < 256; b++)
        if (x->fallback_id[b] == left)
            return false;
    if (left == x->unk || !s.len)
        return false;
    if (s.len < MARK_BYTES || memcmp(s.p + s.len - MARK_BYTES, MARK, MARK_BYTES) != 0)
        x->glued[(unsigned char)s.p[s.len - 1]] = 1;
    return true;
}

wn_err wn_bpe_parts(wn_lexicon *x, const wn_vocab *v)
{
    unsigned char *starts;
    if (!x->pair || x->ignore_merges || x->prefix.len || x->suffix.len ||
        wn_vocab_find(v, MARK, MARK_BYTES) < 0)
        return WN_OK;
    WN_NEW(starts, v->n + 1);
    for (size_t id = 0; id < v->n; id++)
        starts[id] = marked(wn_vocab_text(v, (int64_t)id));
    x->parts = true;
    for (size_t i = 0; i <= x->pair_mask && x->parts; i++)
        if (x->pair[i].key != UINT64_MAX && starts[(uint32_t)x->pair[i].key])
            x->parts = glue(x, v, (int32_t)(x->pair[i].key >> 32));
    wn_free(starts);
    return WN_OK;
}

size_t wn_bpe_part(const wn_lexicon *x, const char *s, size_t len)
{
    for (size_t i = 1; i + MARK_BYTES <= len; i++) {
        const char *at = memchr(s + i, MARK[0], len - MARK_BYTES + 1 - i);
        if (!at)
            return len;
        i = (size_t)(at - s);
        bool behind_mark = i >= MARK_BYTES && memcmp(at - MARK_BYTES, MARK, MARK_BYTES) == 0;
        if (memcmp(at, MARK, MARK_BYTES) == 0 && !behind_mark && !x->glued[(unsigned char)at[-1]])
            return i;
    }
    return len;
}

void wn_lexicon_free(wn_lexicon *x)
{
    wn_str_free(&x->prefix);
    wn_str_free(&x->suffix);
    wn_free(x->pair);
    wn_free(x->score);
    wn_trie_free(&x->trie);
}

/* ---- first symbols --------------------------------------------------------------------------- */

typedef struct word {
    const wn_tokenizer *t;
    wn_token_memory *m;
    size_t n;
    bool unk; /* an unknown character waits to be put */
} word;

static wn_err add(word *w, int32_t id)
{
    wn_token_memory *m = w->m;
    if (w->n == m->symbol_cap && !WN_GROW(m->symbol, w->n, m->symbol_cap))
        return WN_ENOMEM;
    m->symbol[w->n++].id = id;
    return WN_OK;
}

/* A character that the vocabulary lacks. An unknown one waits until the next known one, so that a
 * run can become one token; bytes do not flush it, which puts it behind them: the reference's
 * order. */
static wn_err add_unknown(word *w, const char *s, size_t len)
{
    const wn_lexicon *x = &w->t->model;
    bool all = x->byte_fallback;
    for (size_t i = 0; i < len && all; i++)
        all = x->fallback_id[(unsigned char)s[i]] >= 0;
    if (all) {
        for (size_t i = 0; i < len; i++)
            WN_TRY(add(w, x->fallback_id[(unsigned char)s[i]]));
        return WN_OK;
    }
    if (x->unk == -1)
        return WN_OK; /* dropped */
    if (x->unk < 0)
        return wn_fail(WN_EFORMAT, "%s: the vocabulary lacks its unknown token", w->t->path);
    if (w->unk && !x->fuse_unk)
        WN_TRY(add(w, x->unk));
    w->unk = true;
    return WN_OK;
}

static wn_err add_known(word *w, int32_t id)
{
    if (w->unk)
        WN_TRY(add(w, w->t->model.unk));
    w->unk = false;
    return add(w, id);
}

static wn_err symbols_of_bytes(word *w, const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        char c[4];
        int32_t id = w->t->model.byte_id[(unsigned char)s[i]];
        if (id >= 0)
            WN_TRY(add_known(w, id));
        else
            WN_TRY(add_unknown(w, c, wn_utf8_put(c, wn_byte_char((unsigned char)s[i]))));
    }
    return WN_OK;
}

static wn_err symbols_of_chars(word *w, const char *s, size_t len)
{
    const wn_lexicon *x = &w->t->model;
    wn_str *tmp = &w->m->tmp;
    for (size_t i = 0, k; i < len; i += k) {
        k = wn_utf8_size(s + i);
        const char *c = s + i;
        size_t n = k;
        if ((i && x->prefix.len) || (i + k == len && x->suffix.len)) {
            wn_str_clear(tmp);
            if (i)
                wn_str_add(tmp, x->prefix.p, x->prefix.len);
            wn_str_add(tmp, c, k);
            if (i + k == len)
                wn_str_add(tmp, x->suffix.p, x->suffix.len);
            WN_TRY(wn_str_check(tmp));
            c = tmp->p;
            n = tmp->len;
        }
        int32_t id = wn_vocab_find(&w->t->vocab, c, n);
        WN_TRY(id >= 0 ? add_known(w, id) : add_unknown(w, c, n));
    }
    return WN_OK;
}

/* ---- merging --------------------------------------------------------------------------- */

static size_t merge_short(const wn_lexicon *x, wn_symbol *s, size_t n)
{
    uint32_t rank[SHORT];
    int32_t id[SHORT];
    for (size_t i = 0; i + 1 < n; i++) {
        const wn_pair *p = find_pair(x, s[i].id, s[i + 1].id);
        rank[i] = p ? p->rank : UINT32_MAX;
        id[i] = p ? p->id : -1;
    }
    while (n > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < n; i++)
            if (rank[i] < rank[best])
                best = i;
        if (id[best] < 0)
            break;
        s[best].id = id[best];
        n--;
        for (size_t i = best + 1; i < n; i++) {
            s[i].id = s[i + 1].id;
            rank[i - 1] = rank[i];
            id[i - 1] = id[i];
        }
        for (size_t i = best ? best - 1 : 0; i <= best && i + 1 < n; i++) {
            const wn_pair *p = find_pair(x, s[i].id, s[i + 1].id);
            rank[i] = p ? p->rank : UINT32_MAX;
            id[i] = p ? p->id : -1;
        }
    }
    return n;
}

static wn_err push_merge(wn_token_memory *m, const wn_lexicon *x, int32_t at)
{
    wn_symbol *s = &m->symbol[at];
    const wn_pair *p = find_pair(x, s->id, m->symbol[s->next].id);
    if (!p)
        return WN_OK;
    if (m->n_heap == m->heap_cap && !WN_GROW(m->heap, m->n_heap, m->heap_cap))
        return WN_ENOMEM;
    wn_merge e = {(uint64_t)p->rank << 32 | (uint32_t)at, p->id};
    size_t i = m->n_heap++;
    for (; i > 0 && m->heap[(i - 1) / 2].key > e.key; i = (i - 1) / 2)
        m->heap[i] = m->heap[(i - 1) / 2];
    m->heap[i] = e;
    return WN_OK;
}

static wn_merge pop_merge(wn_token_memory *m)
{
    wn_merge top = m->heap[0], last = m->heap[--m->n_heap];
    size_t i = 0;
    for (size_t k; (k = 2 * i + 1) < m->n_heap; i = k) {
        if (k + 1 < m->n_heap && m->heap[k + 1].key < m->heap[k].key)
            k++;
        if (m->heap[k].key >= last.key)
            break;
        m->heap[i] = m->heap[k];
    }
    m->heap[i] = last;
    return top;
}

static wn_err merge_long(wn_token_memory *m, const wn_lexicon *x, size_t n)
{
    m->n_heap = 0;
    for (size_t i = 0; i < n; i++) {
        m->symbol[i].prev = (int32_t)i - 1;
        m->symbol[i].next = i + 1 < n ? (int32_t)i + 1 : -1;
    }
    for (size_t i = 0; i + 1 < n; i++)
        WN_TRY(push_merge(m, x, (int32_t)i));
    while (m->n_heap) {
        wn_merge e = pop_merge(m);
        int32_t at = (int32_t)(e.key & UINT32_MAX);
        wn_symbol *s = &m->symbol[at];
        if (s->id < 0 || s->next < 0)
            continue;
        wn_symbol *right = &m->symbol[s->next];
        const wn_pair *p = find_pair(x, s->id, right->id);
        if (!p || p->id != e.id)
            continue;
        s->id = e.id;
        s->next = right->next;
        right->id = -1;
        if (s->next >= 0) {
            m->symbol[s->next].prev = at;
            WN_TRY(push_merge(m, x, at));
        }
        if (s->prev >= 0)
            WN_TRY(push_merge(m, x, s->prev));
    }
    return WN_OK;
}

wn_err wn_bpe_encode(const wn_tokenizer *t, wn_token_memory *m, const char *s, size_t len,
                     bool mapped, wn_ids *out)
{
    const wn_lexicon *x = &t->model;
    if (mapped && (x->ignore_merges || x->prefix.len || x->suffix.len)) {
        wn_str_clear(&m->clean);
        wn_byte_map(&m->clean, s, len);
        WN_TRY(wn_str_check(&m->clean));
        if (x->prefix.len || x->suffix.len) {
            s = m->clean.p;
            len = m->clean.len;
            mapped = false;
        }
    }
    if (x->ignore_merges) {
        int32_t id = mapped ? wn_vocab_find(&t->vocab, m->clean.p, m->clean.len)
                            : wn_vocab_find(&t->vocab, s, len);
        if (id >= 0)
            return wn_ids_push(out, id);
    }
    if (len >= INT32_MAX)
        return wn_fail(WN_EARG, "a word of %zu bytes is too long", len);
    word w = {.t = t, .m = m};
    WN_TRY(mapped ? symbols_of_bytes(&w, s, len) : symbols_of_chars(&w, s, len));
    if (w.unk)
        WN_TRY(add(&w, x->unk));
    WN_TRY(wn_ids_reserve(out, w.n));
    if (w.n <= SHORT) {
        size_t n = merge_short(x, m->symbol, w.n);
        for (size_t i = 0; i < n; i++)
            out->id[out->n++] = m->symbol[i].id;
        return WN_OK;
    }
    WN_TRY(merge_long(m, x, w.n));
    for (int32_t i = 0; i >= 0; i = m->symbol[i].next)
        out->id[out->n++] = m->symbol[i].id;
    return WN_OK;
}

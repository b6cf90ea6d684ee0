#include "token/vocab.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/hash.h"

#define NO_TEXT UINT32_MAX

static wn_err make_slots(wn_vocab *v, size_t expect)
{
    size_t size = 64;
    while (size < expect * 2)
        size *= 2;
    uint32_t *slot;
    WN_NEW(slot, size);
    for (size_t id = 0; id < v->n && v->slot; id++) {
        if (v->start[id] == NO_TEXT)
            continue;
        wn_span s = wn_vocab_text(v, (int64_t)id);
        if (wn_vocab_find(v, s.p, s.len) != (int32_t)id)
            continue; /* a later holder of the same text */
        size_t i = wn_hash64(s.p, s.len, 0) & (size - 1);
        while (slot[i])
            i = (i + 1) & (size - 1);
        slot[i] = (uint32_t)id + 1;
    }
    wn_free(v->slot);
    v->slot = slot;
    v->mask = size - 1;
    return WN_OK;
}

wn_err wn_vocab_init(wn_vocab *v, size_t expect)
{
    *v = (wn_vocab){0};
    return make_slots(v, expect);
}

void wn_vocab_free(wn_vocab *v)
{
    wn_str_free(&v->text);
    wn_free(v->start);
    wn_free(v->len);
    wn_free(v->slot);
    *v = (wn_vocab){0};
}

static wn_err reserve_ids(wn_vocab *v, size_t n)
{
    if (n > v->cap) {
        size_t cap = v->cap ? v->cap : 256;
        while (cap < n)
            cap *= 2;
        uint32_t *start = wn_realloc(v->start, cap * sizeof *start);
        if (!start)
            return WN_ENOMEM;
        v->start = start;
        uint32_t *len = wn_realloc(v->len, cap * sizeof *len);
        if (!len)
            return WN_ENOMEM;
        v->len = len;
        v->cap = cap;
    }
    for (; v->n < n; v->n++) {
        v->start[v->n] = NO_TEXT;
        v->len[v->n] = 0;
    }
    return WN_OK;
}

wn_err wn_vocab_add(wn_vocab *v, const char *text, size_t len, int64_t id, int64_t limit,
                    bool keep_first)
{
    if (id < 0 || id > limit)
        return wn_fail(WN_EFORMAT, "token id %lld, expected 0 to %lld", (long long)id,
                       (long long)limit);
    if (v->text.len + len + 1 >= NO_TEXT)
        return wn_fail(WN_EFORMAT, "vocabulary of more than 4 GB of text");
    if ((size_t)id < v->n && v->start[id] != NO_TEXT)
        return wn_fail(WN_EFORMAT, "token id %lld given to two tokens, '%s' and '%.*s'",
                       (long long)id, wn_vocab_text(v, id).p, (int)(len < 64 ? len : 64), text);
    int32_t old = wn_vocab_find(v, text, len);
    if (old >= 0 && !keep_first)
        return wn_fail(WN_EFORMAT, "token '%.*s' has two ids, %d and %lld",
                       (int)(len < 64 ? len : 64), text, (int)old, (long long)id);
    WN_TRY(reserve_ids(v, (size_t)id + 1));
    v->start[id] = (uint32_t)v->text.len;
    v->len[id] = (uint32_t)len;
    wn_str_add(&v->text, text, len);
    wn_str_putc(&v->text, '\0');
    WN_TRY(wn_str_check(&v->text));
    v->count++;
    if (old >= 0)
        return WN_OK;
    if (v->count * 2 > v->mask + 1)
        WN_TRY(make_slots(v, v->count * 2));
    size_t i = wn_hash64(text, len, 0) & v->mask;
    while (v->slot[i]) {
        if (v->slot[i] == (uint32_t)id + 1)
            return WN_OK; /* make_slots has put it in */
        i = (i + 1) & v->mask;
    }
    v->slot[i] = (uint32_t)id + 1;
    return WN_OK;
}

int32_t wn_vocab_find(const wn_vocab *v, const char *text, size_t len)
{
    for (size_t i = wn_hash64(text, len, 0) & v->mask; v->slot[i]; i = (i + 1) & v->mask) {
        uint32_t id = v->slot[i] - 1;
        if (v->len[id] == len && memcmp(v->text.p + v->start[id], text, len) == 0)
            return (int32_t)id;
    }
    return -1;
}

wn_span wn_vocab_text(const wn_vocab *v, int64_t id)
{
    if (id < 0 || (uint64_t)id >= v->n || v->start[id] == NO_TEXT)
        return (wn_span){0};
    return (wn_span){v->text.p + v->start[id], v->len[id]};
}

typedef struct ranked {
    wn_trie_entry e;
    size_t order;
} ranked;

static int by_text(const void *a, const void *b)
{
    const ranked *x = a, *y = b;
    size_t n = x->e.text.len < y->e.text.len ? x->e.text.len : y->e.text.len;
    int d = n ? memcmp(x->e.text.p, y->e.text.p, n) : 0;
    if (d)
        return d;
    if (x->e.text.len != y->e.text.len)
        return x->e.text.len < y->e.text.len ? -1 : 1;
    return x->order < y->order ? -1 : x->order > y->order;
}

typedef struct range {
    uint32_t first, last; /* entries whose texts share the node's path */
} range;

/* Breadth first: the children of node i are the different bytes at `depth` among its entries. */
static wn_err grow(wn_trie *t, const ranked *e, size_t n)
{
    size_t cap = 256, depth = 0, level_end = 1;
    range *r = wn_malloc(cap * sizeof *r);
    t->node = wn_malloc(cap * sizeof *t->node);
    if (!r || !t->node) {
        wn_free(r);
        return WN_ENOMEM;
    }
    t->n = 1;
    t->node[0] = (wn_trie_node){.value = -1};
    r[0] = (range){0, (uint32_t)n};
    for (size_t i = 0; i < t->n; i++) {
        if (i == level_end) {
            level_end = t->n;
            depth++;
        }
        uint32_t at = r[i].first, last = r[i].last;
        while (at < last && e[at].e.text.len == depth)
            t->node[i].value = e[at++].e.value;
        t->node[i].child = (uint32_t)t->n;
        while (at < last) {
            unsigned char b = (unsigned char)e[at].e.text.p[depth];
            uint32_t from = at;
            while (at < last && (unsigned char)e[at].e.text.p[depth] == b)
                at++;
            if (t->n == cap) {
                cap *= 2;
                range *more = wn_realloc(r, cap * sizeof *r);
                wn_trie_node *node = more ? wn_realloc(t->node, cap * sizeof *node) : NULL;
                r = more ? more : r;
                t->node = node ? node : t->node;
                if (!node) {
                    wn_free(r);
                    return WN_ENOMEM;
                }
            }
            r[t->n] = (range){from, at};
            t->node[t->n++] = (wn_trie_node){.value = -1, .byte = b};
            t->node[i].n_child++;
        }
    }
    wn_free(r);
    return WN_OK;
}

wn_err wn_trie_build(wn_trie *t, wn_trie_entry *entry, size_t n)
{
    *t = (wn_trie){0};
    if (n >= UINT32_MAX / 2)
        return wn_fail(WN_EFORMAT, "%zu vocabulary entries are too many", n);
    ranked *e;
    WN_NEW(e, n + 1);
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if (entry[i].text.len)
            e[kept++] = (ranked){entry[i], i};
    qsort(e, kept, sizeof *e, by_text);
    wn_err err = grow(t, e, kept);
    wn_free(e);
    if (err) {
        wn_trie_free(t);
        return err;
    }
    for (uint32_t i = 0; i < t->node[0].n_child; i++)
        t->root[t->node[t->node[0].child + i].byte] = t->node[0].child + i;
    return WN_OK;
}

void wn_trie_free(wn_trie *t)
{
    wn_free(t->node);
    *t = (wn_trie){0};
}

uint32_t wn_trie_step_slow(const wn_trie *t, uint32_t node, unsigned char byte)
{
    uint32_t lo = t->node[node].child, hi = lo + t->node[node].n_child;
    while (hi - lo > 8) {
        uint32_t mid = lo + (hi - lo) / 2;
        if (t->node[mid].byte > byte)
            hi = mid;
        else
            lo = mid;
    }
    for (; lo < hi; lo++)
        if (t->node[lo].byte == byte)
            return lo;
    return 0;
}

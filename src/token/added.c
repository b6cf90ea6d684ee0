/* Added tokens: cut out of the text before anything else sees it. Leftmost longest matches, one
 * pass; a match that its single_word flag rejects is still consumed, as in the reference. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "token/parts.h"

static void free_token(wn_added_token *t)
{
    wn_str_free(&t->content);
    wn_str_free(&t->normal);
}

wn_err wn_added_push(wn_added *a, wn_added_token *t)
{
    bool ascends = !a->n || a->token[a->n - 1].id < t->id;
    for (size_t i = 0; i < a->n && !ascends; i++) {
        if (a->token[i].id == t->id) {
            free_token(&a->token[i]);
            a->token[i] = *t;
            return WN_OK;
        }
    }
    if (a->n == a->cap && !WN_GROW(a->token, a->n, a->cap)) {
        free_token(t);
        return WN_ENOMEM;
    }
    a->token[a->n++] = *t;
    return WN_OK;
}

wn_err wn_added_take(wn_tokenizer *t, wn_added_token *a)
{
    wn_token_work w = {0};
    wn_span text = {a->content.p, a->content.len};
    wn_err err = WN_OK;
    bool kept;
    if (a->normalized) {
        w.memory = wn_calloc(1, sizeof *w.memory);
        err =
            !w.memory ? WN_ENOMEM : wn_normalize(&text, &kept, t->norm, t->n_norm, w.memory, text);
    }
    wn_str_add(&a->normal, text.p, text.len);
    if (!err)
        err = wn_str_check(&a->normal);
    wn_token_work_free(&w);
    if (!err)
        return wn_added_push(&t->added, a);
    free_token(a);
    return err;
}

static int by_id(const void *x, const void *y)
{
    int32_t a = ((const wn_added_token *)x)->id, b = ((const wn_added_token *)y)->id;
    return a < b ? -1 : a > b;
}

static wn_err index_one(wn_added *a, wn_trie *trie, wn_trie_entry *e, bool normalized)
{
    size_t n = 0;
    for (size_t i = 0; i < a->n; i++) {
        const wn_added_token *t = &a->token[i];
        const wn_str *s = normalized ? &t->normal : &t->content;
        if (t->normalized == normalized)
            e[n++] = (wn_trie_entry){{s->p, s->len}, (int32_t)i};
    }
    return wn_trie_build(trie, e, n);
}

wn_err wn_added_index(wn_added *a)
{
    wn_trie_entry *e;
    WN_NEW(e, a->n + 1);
    if (a->n)
        qsort(a->token, a->n, sizeof *a->token, by_id);
    wn_err err = index_one(a, &a->raw, e, false);
    if (!err)
        err = index_one(a, &a->normal, e, true);
    wn_free(e);
    return err;
}

void wn_added_free(wn_added *a)
{
    for (size_t i = 0; i < a->n; i++)
        free_token(&a->token[i]);
    wn_free(a->token);
    wn_trie_free(&a->raw);
    wn_trie_free(&a->normal);
    *a = (wn_added){0};
}

const wn_added_token *wn_added_find(const wn_added *a, int64_t id)
{
    size_t lo = 0, hi = a->n;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (a->token[mid].id < id)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < a->n && a->token[lo].id == id ? &a->token[lo] : NULL;
}

const wn_added_token *wn_added_named(const wn_added *a, const char *text, size_t len)
{
    for (size_t i = 0; i < a->n; i++)
        if (a->token[i].content.len == len && !memcmp(a->token[i].content.p, text, len))
            return &a->token[i];
    return NULL;
}

static bool word_border(const char *s, size_t len, size_t start, size_t end)
{
    size_t n;
    if (start > 0 && wn_uc_word(wn_utf8_get(s + wn_utf8_back(s, start), &n)))
        return false;
    return end == len || !wn_uc_word(wn_utf8_get(s + end, &n));
}

static wn_err cut(wn_cuts *v, size_t start, size_t end, int32_t id)
{
    if (v->n == v->cap && !WN_GROW(v->at, v->n, v->cap))
        return WN_ENOMEM;
    v->at[v->n++] = (wn_cut){start, end, id};
    return WN_OK;
}

/* The longest entry that starts at s[i]: its value and end, or -1. */
static int32_t longest(const wn_trie *t, const char *s, size_t len, size_t i, size_t *end)
{
    int32_t best = -1;
    *end = i;
    uint32_t node = t->root[(unsigned char)s[i]];
    while (node) {
        i++;
        if (t->node[node].value >= 0) {
            best = t->node[node].value;
            *end = i;
        }
        node = i < len ? wn_trie_step(t, node, (unsigned char)s[i]) : 0;
    }
    return best;
}

wn_err wn_added_split(wn_cuts *out, const wn_added *a, const wn_trie *trie, const char *s,
                      size_t len)
{
    out->n = 0;
    size_t done = 0, end, n;
    for (size_t i = 0; i < len && trie->n > 1;) {
        int32_t k = trie->root[(unsigned char)s[i]] ? longest(trie, s, len, i, &end) : -1;
        if (k < 0) {
            i++;
            continue;
        }
        const wn_added_token *t = &a->token[k];
        size_t start = i, stop = i = end;
        if (t->single_word && !word_border(s, len, start, stop))
            continue;
        if (t->lstrip) {
            while (start > done && wn_uc_space(wn_utf8_get(s + wn_utf8_back(s, start), &n)))
                start = wn_utf8_back(s, start);
        }
        if (t->rstrip) {
            while (stop < len && wn_uc_space(wn_utf8_get(s + stop, &n)))
                stop += n;
        }
        if (done < start)
            WN_TRY(cut(out, done, start, -1));
        WN_TRY(cut(out, start, stop, t->id));
        done = stop;
    }
    return done < len ? cut(out, done, len, -1) : WN_OK;
}

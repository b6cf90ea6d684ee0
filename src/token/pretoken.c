/* Pre-tokenisers: each makes a list of pieces out of every piece of the list before it. Pieces are
 * views of the text; only Metaspace and ByteLevel's prefix write new text. */
#include <string.h>

#include "base/mem.h"
#include "token/parts.h"

void wn_pre_free(wn_pre *p)
{
    wn_pattern_free(&p->pattern);
}

wn_err wn_pieces_push(wn_pieces *v, const char *p, size_t len, bool origin)
{
    if (!len)
        return WN_OK;
    if (v->n == v->cap && !WN_GROW(v->at, v->n, v->cap))
        return WN_ENOMEM;
    v->at[v->n++] = (wn_piece){p, len, origin};
    return WN_OK;
}

uint32_t wn_byte_char(unsigned char b)
{
    if ((b >= '!' && b <= '~') || (b >= 0xa1 && b != 0xad))
        return b;
    if (b <= ' ')
        return 256u + b;
    return b < 0xa1 ? 256u + 33 + (b - 127u) : 256u + 67; /* 127 to 160, then 173 */
}

int wn_char_byte(uint32_t c)
{
    if ((c >= '!' && c <= '~') || (c >= 0xa1 && c <= 0xff && c != 0xad))
        return (int)c;
    if (c < 256 || c > 256 + 67)
        return -1;
    c -= 256;
    return c <= 32 ? (int)c : c < 67 ? (int)(c - 33 + 127) : 173;
}

void wn_byte_map(wn_str *out, const char *s, size_t len)
{
    for (size_t i = 0; i < len; i++)
        wn_utf8_add(out, wn_byte_char((unsigned char)s[i]));
}

/* ---- matches and what becomes of them -------------------------------------------------- */

static wn_err push_span(wn_cuts *v, size_t start, size_t end, bool match)
{
    if (v->n == v->cap && !WN_GROW(v->at, v->n, v->cap))
        return WN_ENOMEM;
    v->at[v->n++] = (wn_cut){start, end, match};
    return WN_OK;
}

typedef bool (*is_fn)(uint32_t c);

static wn_err spans_by_char(wn_cuts *v, const char *s, size_t len, is_fn is, uint32_t only)
{
    size_t from = 0;
    for (size_t i = 0, k; i < len; i += k) {
        uint32_t c = wn_utf8_get(s + i, &k);
        if (is ? !is(c) : c != only)
            continue;
        if (from < i)
            WN_TRY(push_span(v, from, i, false));
        WN_TRY(push_span(v, i, i + k, true));
        from = i + k;
    }
    return from < len ? push_span(v, from, len, false) : WN_OK;
}

static wn_err spans_by_pattern(wn_cuts *v, const wn_pattern *p, wn_token_memory *m, const char *s,
                               size_t len)
{
    if (p->scan) {
        for (size_t i = 0, end; i < len; i = end) {
            end = p->scan(s, i, len);
            WN_TRY(push_span(v, i, end, true));
        }
        return WN_OK;
    }
    size_t at = 0, start, end;
    wn_search search = {0};
    for (bool found;; at = end) {
        WN_TRY(wn_pattern_next(p, &m->match, s, len, &search, &found, &start, &end));
        if (!found)
            break;
        if (at < start)
            WN_TRY(push_span(v, at, start, false));
        WN_TRY(push_span(v, start, end, true));
    }
    return at < len ? push_span(v, at, len, false) : WN_OK;
}

/* Runs of word characters, runs of what is neither word nor blank: /\w+|[^\w\s]+/. */
static wn_err spans_of_words(wn_cuts *v, const char *s, size_t len)
{
    size_t from = 0;
    int run = -1;
    for (size_t i = 0, k; i < len; i += k) {
        uint32_t c = wn_utf8_get(s + i, &k);
        int kind = wn_uc_word(c) ? 1 : wn_uc_space(c) ? 0 : 2;
        if (kind != run && i > from) {
            WN_TRY(push_span(v, from, i, run == 0));
            from = i;
        }
        run = kind;
    }
    return from < len ? push_span(v, from, len, run == 0) : WN_OK;
}

/* Merges spans as the behaviour says; what is to go away becomes empty. */
static void behave(wn_cuts *v, wn_behavior b)
{
    size_t n = 0;
    bool before = false;
    if (b == WN_ISOLATED)
        return;
    if (b == WN_REMOVED) {
        for (size_t i = 0; i < v->n; i++)
            if (!v->at[i].id)
                v->at[n++] = v->at[i];
        v->n = n;
        return;
    }
    if (b == WN_MERGED_WITH_NEXT) {
        n = v->n;
        for (size_t i = v->n; i-- > 0;) {
            bool match = v->at[i].id;
            if (match && !before && n < v->n)
                v->at[n].start = v->at[i].start;
            else
                v->at[--n] = v->at[i];
            before = match;
        }
        memmove(v->at, v->at + n, (v->n - n) * sizeof *v->at);
        v->n -= n;
        return;
    }
    for (size_t i = 0; i < v->n; i++) {
        bool match = v->at[i].id;
        bool merge = b == WN_CONTIGUOUS ? match == before : match && !before;
        if (merge && n > 0)
            v->at[n - 1].end = v->at[i].end;
        else
            v->at[n++] = v->at[i];
        before = match;
    }
    v->n = n;
}

/* ---- one node, one piece --------------------------------------------------------------- */

static wn_err push_spans(wn_pieces *out, const wn_cuts *v, wn_piece in)
{
    for (size_t i = 0; i < v->n; i++)
        WN_TRY(wn_pieces_push(out, in.p + v->at[i].start, v->at[i].end - v->at[i].start,
                              in.origin && v->at[i].start == 0));
    return WN_OK;
}

/* Blanks part, punctuation stands alone. */
static wn_err split_bert(wn_pieces *out, wn_piece in)
{
    size_t from = 0;
    for (size_t i = 0, k; i < in.len; i += k) {
        uint32_t c = wn_utf8_get(in.p + i, &k);
        bool space = wn_uc_space(c);
        if (!space && !wn_uc_punctuation(c))
            continue;
        WN_TRY(wn_pieces_push(out, in.p + from, i - from, in.origin && !from));
        if (!space)
            WN_TRY(wn_pieces_push(out, in.p + i, k, in.origin && !i));
        from = i + k;
    }
    return wn_pieces_push(out, in.p + from, in.len - from, in.origin && !from);
}

static wn_err split_fixed(wn_pieces *out, wn_piece in, size_t length)
{
    for (size_t i = 0; i < in.len;) {
        size_t from = i;
        for (size_t n = 0; n < length && i < in.len; n++)
            i += wn_utf8_size(in.p + i);
        WN_TRY(wn_pieces_push(out, in.p + from, i - from, in.origin && !from));
    }
    return WN_OK;
}

static wn_err split_piece(const wn_pre *node, wn_token_memory *m, wn_piece in, wn_pieces *out)
{
    wn_cuts *v = &m->spans;
    wn_behavior behavior = node->behavior;
    v->n = 0;
    switch (node->kind) {
    case WN_PRE_BERT:
        return split_bert(out, in);
    case WN_PRE_FIXED:
        return split_fixed(out, in, node->length);
    case WN_PRE_WHITESPACE:
        WN_TRY(spans_of_words(v, in.p, in.len));
        behavior = WN_REMOVED;
        break;
    case WN_PRE_WHITESPACE_SPLIT:
        WN_TRY(spans_by_char(v, in.p, in.len, wn_uc_space, 0));
        behavior = WN_REMOVED;
        break;
    case WN_PRE_PUNCTUATION:
        WN_TRY(spans_by_char(v, in.p, in.len, wn_uc_punctuation, 0));
        break;
    case WN_PRE_DIGITS:
        WN_TRY(spans_by_char(v, in.p, in.len, wn_uc_numeric, 0));
        behavior = node->individual ? WN_ISOLATED : WN_CONTIGUOUS;
        break;
    case WN_PRE_DELIMITER:
        WN_TRY(spans_by_char(v, in.p, in.len, NULL, node->character));
        behavior = WN_REMOVED;
        break;
    case WN_PRE_METASPACE:
        WN_TRY(spans_by_char(v, in.p, in.len, NULL, node->character));
        behavior = WN_MERGED_WITH_NEXT;
        break;
    case WN_PRE_BYTES:
        WN_TRY(spans_by_pattern(v, &node->pattern, m, in.p, in.len));
        behavior = WN_ISOLATED;
        break;
    case WN_PRE_SPLIT:
        WN_TRY(spans_by_pattern(v, &node->pattern, m, in.p, in.len));
        for (size_t i = 0; node->invert && i < v->n; i++)
            v->at[i].id = !v->at[i].id;
        break;
    }
    behave(v, behavior);
    return push_spans(out, v, in);
}

/* ---- nodes that write text ------------------------------------------------------------- */

/* Rewrites every piece into one buffer; pieces then point there. Offsets first, since it may move.
 */
static wn_err rewrite_pieces(const wn_pre *node, wn_str *text, wn_pieces *v)
{
    wn_str_clear(text);
    for (size_t i = 0; i < v->n; i++) {
        wn_piece *p = &v->at[i];
        size_t start = text->len;
        if (node->kind == WN_PRE_BYTES) {
            if (node->prefix_space && p->p[0] != ' ')
                wn_str_putc(text, ' ');
            wn_str_add(text, p->p, p->len);
        } else {
            size_t k;
            uint32_t first = wn_utf8_get(p->p, &k);
            bool marked = first == node->character || first == ' ';
            bool prepend = node->prepend == WN_PREPEND_ALWAYS ||
                           (node->prepend == WN_PREPEND_FIRST && p->origin);
            if (!marked && prepend)
                wn_utf8_add(text, node->character);
            char mark[4];
            size_t mark_len = wn_utf8_put(mark, node->character);
            for (size_t from = 0, at; from < p->len; from = at + 1) {
                const char *blank = memchr(p->p + from, ' ', p->len - from);
                at = blank ? (size_t)(blank - p->p) : p->len;
                wn_str_add(text, p->p + from, at - from);
                if (blank)
                    wn_str_add(text, mark, mark_len);
            }
        }
        WN_TRY(wn_str_check(text));
        p->p = (const char *)(uintptr_t)start;
        p->len = text->len - start;
    }
    for (size_t i = 0; i < v->n; i++)
        v->at[i].p = text->p + (uintptr_t)v->at[i].p;
    return WN_OK;
}

/* ByteLevel that is not the last node: the mapped characters are what later nodes see. */
static wn_err map_pieces(wn_str *text, wn_pieces *v)
{
    wn_str_clear(text);
    for (size_t i = 0; i < v->n; i++) {
        size_t start = text->len;
        wn_byte_map(text, v->at[i].p, v->at[i].len);
        WN_TRY(wn_str_check(text));
        v->at[i].p = (const char *)(uintptr_t)start;
        v->at[i].len = text->len - start;
    }
    for (size_t i = 0; i < v->n; i++)
        v->at[i].p = text->p + (uintptr_t)v->at[i].p;
    return WN_OK;
}

wn_err wn_pretokenize(const wn_pieces **out, bool *mapped, const wn_pre *node, size_t n,
                      wn_token_memory *m, wn_span text, bool origin)
{
    wn_pieces *now = &m->pieces[0], *next = &m->pieces[1];
    int buffer = 0;
    now->n = 0;
    *mapped = false;
    WN_TRY(wn_pieces_push(now, text.p, text.len, origin));
    for (size_t i = 0; i < n; i++) {
        bool bytes = node[i].kind == WN_PRE_BYTES, meta = node[i].kind == WN_PRE_METASPACE;
        if (meta || (bytes && node[i].prefix_space))
            WN_TRY(rewrite_pieces(&node[i], &m->pre[buffer++ & 1], now));
        if (!(bytes && !node[i].use_regex) && !(meta && !node[i].split)) {
            next->n = 0;
            for (size_t k = 0; k < now->n; k++)
                WN_TRY(split_piece(&node[i], m, now->at[k], next));
            wn_pieces *swap = now;
            now = next;
            next = swap;
        }
        if (bytes && i + 1 < n)
            WN_TRY(map_pieces(&m->pre[buffer++ & 1], now));
        *mapped = bytes;
    }
    *out = now;
    return WN_OK;
}

/* Normalisers: each appends its result to a buffer; wn_normalize runs them between two buffers. */
#include <string.h>

#include "base/mem.h"
#include "token/parts.h"

void wn_norm_free(wn_norm *n)
{
    wn_pattern_free(&n->pattern);
    wn_str_free(&n->content);
    wn_charsmap_free(&n->map);
}

/* clean_text and handle_chinese_chars, character by character. */
static void clean(const wn_norm *n, wn_str *out, const char *s, size_t len)
{
    for (size_t i = 0, k; i < len; i += k) {
        uint32_t c = wn_utf8_get(s + i, &k);
        if (n->clean) {
            if (c == 0 || wn_uc_bert_control(c))
                continue;
            if (wn_uc_space(c)) {
                wn_str_putc(out, ' ');
                continue;
            }
        }
        if (n->chinese && wn_uc_bert_chinese(c)) {
            wn_str_putc(out, ' ');
            wn_str_add(out, s + i, k);
            wn_str_putc(out, ' ');
        } else {
            wn_str_add(out, s + i, k);
        }
    }
}

static void put_lower(wn_str *out, uint32_t c)
{
    uint32_t low[2];
    int n = wn_uc_lower(c, low);
    for (int i = 0; i < n; i++)
        wn_utf8_add(out, low[i]);
}

/* A run without ASCII: decomposed, accents dropped, lower-cased, as the flags say. */
static wn_err fold_run(const wn_norm *n, wn_token_memory *m, wn_str *out, const char *s, size_t len)
{
    if (!n->accents) {
        for (size_t i = 0, k; i < len; i += k) {
            uint32_t c = wn_utf8_get(s + i, &k);
            n->lower ? put_lower(out, c) : wn_str_add(out, s + i, k);
        }
        return WN_OK;
    }
    WN_TRY(wn_uc_decompose(&m->points, s, len, false));
    for (size_t i = 0; i < m->points.n; i++) {
        uint32_t c = (uint32_t)m->points.c[i];
        if (wn_uc_bert_accent(c))
            continue;
        n->lower ? put_lower(out, c) : wn_utf8_add(out, c);
    }
    return WN_OK;
}

/* The flags of an ASCII text at once, in place behind the end of out. */
static wn_err bert_ascii(const wn_norm *n, wn_str *out, const char *s, size_t len)
{
    wn_str_add(out, s, len); /* makes the room */
    WN_TRY(wn_str_check(out));
    char *to = out->p + out->len - len, *at = to;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c < ' ' || c == 127) {
            if (!n->clean)
                *at++ = (char)c;
            else if (c >= 9 && c <= 13 && c != 11 && c != 12)
                *at++ = ' ';
        } else {
            *at++ = (char)(n->lower && c >= 'A' && c <= 'Z' ? c + 32 : c);
        }
    }
    out->len = (size_t)(at - out->p);
    *at = '\0';
    return WN_OK;
}

static wn_err bert(const wn_norm *n, wn_token_memory *m, wn_str *out, const char *s, size_t len)
{
    if (wn_ascii_only(s, len))
        return bert_ascii(n, out, s, len);
    wn_str_clear(&m->clean);
    clean(n, &m->clean, s, len);
    WN_TRY(wn_str_check(&m->clean));
    s = m->clean.p;
    len = m->clean.len;
    for (size_t i = 0; i < len;) {
        size_t from = i;
        for (; i < len && (unsigned char)s[i] < 0x80; i++)
            wn_str_putc(out, n->lower && s[i] >= 'A' && s[i] <= 'Z' ? (char)(s[i] + 32) : s[i]);
        for (from = i; i < len && (unsigned char)s[i] >= 0x80;)
            i++;
        if (i > from)
            WN_TRY(fold_run(n, m, out, s + from, i - from));
    }
    return WN_OK;
}

static void strip(const wn_norm *n, wn_str *out, const char *s, size_t len)
{
    size_t from = 0, k;
    while (n->left && from < len && wn_uc_space(wn_utf8_get(s + from, &k)))
        from += k;
    while (n->right && len > from) {
        size_t last = wn_utf8_back(s, len);
        if (!wn_uc_space(wn_utf8_get(s + last, &k)))
            break;
        len = last;
    }
    wn_str_add(out, s + from, len - from);
}

static wn_err replace(const wn_norm *n, wn_token_memory *m, wn_str *out, const char *s, size_t len)
{
    size_t at = 0, start, end;
    wn_search search = {0};
    for (bool found;; at = end) {
        WN_TRY(wn_pattern_next(&n->pattern, &m->match, s, len, &search, &found, &start, &end));
        if (!found)
            break;
        wn_str_add(out, s + at, start - at);
        wn_str_add(out, n->content.p, n->content.len);
    }
    wn_str_add(out, s + at, len - at);
    return WN_OK;
}

/* SentencePiece's nmt rules for control characters and odd blanks. */
static void nmt(wn_str *out, const char *s, size_t len)
{
    for (size_t i = 0, k; i < len; i += k) {
        uint32_t c = wn_utf8_get(s + i, &k);
        if ((c >= 1 && c <= 8) || c == 0xb || (c >= 0xe && c <= 0x1f) || c == 0x7f || c == 0x8f ||
            c == 0x9f)
            continue;
        bool blank = c == 9 || c == 0xa || c == 0xc || c == 0xd || c == 0x1680 ||
                     (c >= 0x200b && c <= 0x200f) || c == 0x2028 || c == 0x2029 || c == 0x2581 ||
                     c == 0xfeff || c == 0xfffd;
        if (blank)
            wn_str_putc(out, ' ');
        else
            wn_str_add(out, s + i, k);
    }
}

static void spm_spaces(wn_str *out, const char *s, size_t len)
{
    while (len && s[len - 1] == ' ')
        len--;
    bool blank = true; /* leading ones go as well */
    for (size_t i = 0; i < len; i++) {
        if (s[i] != ' ' || !blank)
            wn_str_putc(out, s[i]);
        blank = s[i] == ' ';
    }
}

wn_err wn_norm_apply(const wn_norm *n, wn_token_memory *m, wn_str *out, const char *s, size_t len)
{
    switch (n->kind) {
    case WN_NORM_BERT:
        return bert(n, m, out, s, len);
    case WN_NORM_FORM:
        return wn_uc_normalize(out, &m->points, s, len, n->form);
    case WN_NORM_LOWER:
        for (size_t i = 0, k; i < len; i += k)
            put_lower(out, wn_utf8_get(s + i, &k));
        break;
    case WN_NORM_STRIP:
        strip(n, out, s, len);
        break;
    case WN_NORM_STRIP_ACCENTS:
        for (size_t i = 0, k; i < len; i += k)
            if (!wn_uc_combining(wn_utf8_get(s + i, &k)))
                wn_str_add(out, s + i, k);
        break;
    case WN_NORM_REPLACE:
        return replace(n, m, out, s, len);
    case WN_NORM_PREPEND:
        if (len)
            wn_str_add(out, n->content.p, n->content.len);
        wn_str_add(out, s, len);
        break;
    case WN_NORM_PRECOMPILED:
        return wn_charsmap_apply(&n->map, out, s, len);
    case WN_NORM_NMT:
        nmt(out, s, len);
        break;
    case WN_NORM_BYTES:
        wn_byte_map(out, s, len);
        break;
    case WN_NORM_SPM_SPACES:
        spm_spaces(out, s, len);
        break;
    }
    return WN_OK;
}

/* True where the node drops the text's first character instead of replacing it. */
static bool drops_first(const wn_norm *n, wn_span text)
{
    if (!text.len)
        return false;
    size_t k;
    uint32_t c = wn_utf8_get(text.p, &k);
    switch (n->kind) {
    case WN_NORM_STRIP:
        return n->left && wn_uc_space(c);
    case WN_NORM_BERT:
        return (n->clean && (c == 0 || wn_uc_bert_control(c))) ||
               (n->accents && wn_uc_bert_accent(c));
    case WN_NORM_STRIP_ACCENTS:
        return wn_uc_combining(c);
    default:
        return false;
    }
}

wn_err wn_normalize(wn_span *out, bool *kept, const wn_norm *node, size_t n, wn_token_memory *m,
                    wn_span text)
{
    *kept = true;
    for (size_t i = 0; i < n; i++) {
        wn_str *to = &m->norm[i & 1];
        wn_str_clear(to);
        wn_str_add(to, "", 0);
        *kept = *kept && !drops_first(&node[i], text);
        WN_TRY(wn_norm_apply(&node[i], m, to, text.p, text.len));
        WN_TRY(wn_str_check(to));
        text = (wn_span){to->p, to->len};
    }
    *out = text;
    return WN_OK;
}

/* Decoders: each turns a list of texts, at first the tokens', into another; the last list is
 * joined. */
#include <string.h>

#include "base/mem.h"
#include "token/parts.h"

void wn_dec_free(wn_dec *d)
{
    wn_str_free(&d->text);
    wn_pattern_free(&d->pattern);
}

wn_err wn_texts_end(wn_texts *v)
{
    WN_TRY(wn_str_check(&v->text));
    if (v->n == v->cap && !WN_GROW(v->end, v->n, v->cap))
        return WN_ENOMEM;
    v->end[v->n++] = v->text.len;
    return WN_OK;
}

void wn_texts_free(wn_texts *v)
{
    wn_str_free(&v->text);
    wn_free(v->end);
    *v = (wn_texts){0};
}

static wn_span text_at(const wn_texts *v, size_t i)
{
    size_t start = i ? v->end[i - 1] : 0;
    return (wn_span){v->text.p + start, v->end[i] - start};
}

/* All tokens' bytes together: a character may be spread over several. A token with a character that
 * stands for no byte is taken as it is. */
static wn_err decode_bytes(wn_texts *out, const wn_texts *in)
{
    wn_str bytes = {0};
    for (size_t i = 0; i < in->n; i++) {
        wn_span s = text_at(in, i);
        size_t from = bytes.len, k;
        for (size_t at = 0; at < s.len; at += k) {
            int b = wn_char_byte(wn_utf8_get(s.p + at, &k));
            if (b < 0) {
                bytes.len = from;
                wn_str_add(&bytes, s.p, s.len);
                break;
            }
            wn_str_putc(&bytes, (char)b);
        }
    }
    wn_err err = wn_str_check(&bytes);
    if (!err) {
        wn_utf8_repair(&out->text, bytes.p, bytes.len);
        err = wn_texts_end(out);
    }
    wn_str_free(&bytes);
    return err;
}

/* Replaces every `what` in s from `from` on, in place. */
static void substitute(wn_str *s, size_t from, const char *what, const char *with)
{
    size_t n = strlen(what), k = strlen(with), to = from;
    WN_ASSERT(k <= n); /* so that it can be done in place */
    for (size_t i = from; i < s->len;) {
        if (i + n <= s->len && !memcmp(s->p + i, what, n)) {
            memcpy(s->p + to, with, k);
            to += k;
            i += n;
        } else {
            s->p[to++] = s->p[i++];
        }
    }
    s->len = to;
    s->p[to] = '\0';
}

static wn_err decode_wordpiece(wn_texts *out, const wn_texts *in, const wn_dec *d)
{
    static const char *const tidy[][2] = {
        {" .", "."},   {" ?", "?"},     {" !", "!"},     {" ,", ","},
        {" ' ", "'"},  {" n't", "n't"}, {" 'm", "'m"},   {" do not", " don't"},
        {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"},
    };
    for (size_t i = 0; i < in->n; i++) {
        wn_span s = text_at(in, i);
        size_t from = out->text.len;
        bool more = s.len >= d->text.len && !memcmp(s.p, d->text.p, d->text.len);
        if (i && more)
            s = (wn_span){s.p + d->text.len, s.len - d->text.len};
        else if (i)
            wn_str_putc(&out->text, ' ');
        wn_str_add(&out->text, s.p, s.len);
        WN_TRY(wn_str_check(&out->text));
        for (size_t k = 0; d->cleanup && k < sizeof tidy / sizeof *tidy; k++)
            substitute(&out->text, from, tidy[k][0], tidy[k][1]);
        WN_TRY(wn_texts_end(out));
    }
    return WN_OK;
}

static wn_err decode_metaspace(wn_texts *out, const wn_texts *in, const wn_dec *d)
{
    for (size_t i = 0; i < in->n; i++) {
        wn_span s = text_at(in, i);
        for (size_t at = 0, k; at < s.len; at += k) {
            if (wn_utf8_get(s.p + at, &k) != d->character)
                wn_str_add(&out->text, s.p + at, k);
            else if (i || !d->prefix)
                wn_str_putc(&out->text, ' ');
        }
        WN_TRY(wn_texts_end(out));
    }
    return WN_OK;
}

/* The suffix of a word's end becomes a blank, at the very end nothing. */
static wn_err decode_bpe(wn_texts *out, const wn_texts *in, const wn_dec *d)
{
    for (size_t i = 0; i < in->n; i++) {
        wn_span s = text_at(in, i);
        for (size_t at = 0; at < s.len;) {
            if (d->text.len && s.len - at >= d->text.len &&
                !memcmp(s.p + at, d->text.p, d->text.len)) {
                if (i + 1 < in->n)
                    wn_str_putc(&out->text, ' ');
                at += d->text.len;
            } else {
                wn_str_putc(&out->text, s.p[at++]);
            }
        }
        WN_TRY(wn_texts_end(out));
    }
    return WN_OK;
}

static int hex(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* The byte of "<0xHH>", -1: another token. */
static int fallback_byte(wn_span s)
{
    if (s.len != 6 || memcmp(s.p, "<0x", 3) || s.p[5] != '>' || hex(s.p[3]) < 0 || hex(s.p[4]) < 0)
        return -1;
    return hex(s.p[3]) << 4 | hex(s.p[4]);
}

static wn_err end_bytes(wn_texts *out, wn_str *bytes)
{
    WN_TRY(wn_str_check(bytes));
    if (!bytes->len)
        return WN_OK;
    if (wn_utf8_valid(bytes->p, bytes->len)) {
        wn_str_add(&out->text, bytes->p, bytes->len);
        WN_TRY(wn_texts_end(out));
    } else {
        for (size_t i = 0; i < bytes->len; i++) {
            wn_str_puts(&out->text, "\xef\xbf\xbd");
            WN_TRY(wn_texts_end(out));
        }
    }
    wn_str_clear(bytes);
    return WN_OK;
}

static wn_err decode_fallback(wn_texts *out, const wn_texts *in)
{
    wn_str bytes = {0};
    wn_err err = WN_OK;
    for (size_t i = 0; i < in->n && !err; i++) {
        wn_span s = text_at(in, i);
        int b = fallback_byte(s);
        if (b >= 0) {
            wn_str_putc(&bytes, (char)b);
            continue;
        }
        err = end_bytes(out, &bytes);
        wn_str_add(&out->text, s.p, s.len);
        if (!err)
            err = wn_texts_end(out);
    }
    if (!err)
        err = end_bytes(out, &bytes);
    wn_str_free(&bytes);
    return err;
}

static wn_err decode_strip(wn_texts *out, const wn_texts *in, const wn_dec *d)
{
    for (size_t i = 0; i < in->n; i++) {
        wn_span s = text_at(in, i);
        size_t from = 0, to = s.len, k;
        for (size_t n = 0; n < d->start && from < s.len; n++, from += k)
            if (wn_utf8_get(s.p + from, &k) != d->character)
                break;
        for (size_t n = 0; n < d->stop && to > from; n++) {
            size_t last = wn_utf8_back(s.p, to);
            if (wn_utf8_get(s.p + last, &k) != d->character)
                break;
            to = last;
        }
        wn_str_add(&out->text, s.p + from, to - from);
        WN_TRY(wn_texts_end(out));
    }
    return WN_OK;
}

static wn_err decode_replace(wn_texts *out, const wn_texts *in, const wn_dec *d, wn_match *m)
{
    for (size_t i = 0; i < in->n; i++) {
        wn_span s = text_at(in, i);
        size_t at = 0, start, end;
        wn_search search = {0};
        for (bool found;; at = end) {
            WN_TRY(wn_pattern_next(&d->pattern, m, s.p, s.len, &search, &found, &start, &end));
            if (!found)
                break;
            wn_str_add(&out->text, s.p + at, start - at);
            wn_str_add(&out->text, d->text.p, d->text.len);
        }
        wn_str_add(&out->text, s.p + at, s.len - at);
        WN_TRY(wn_texts_end(out));
    }
    return WN_OK;
}

static wn_err apply(wn_texts *out, const wn_texts *in, const wn_dec *d, wn_match *m)
{
    switch (d->kind) {
    case WN_DEC_BYTES:
        return decode_bytes(out, in);
    case WN_DEC_WORDPIECE:
        return decode_wordpiece(out, in, d);
    case WN_DEC_METASPACE:
        return decode_metaspace(out, in, d);
    case WN_DEC_BPE:
        return decode_bpe(out, in, d);
    case WN_DEC_FALLBACK:
        return decode_fallback(out, in);
    case WN_DEC_FUSE:
        wn_str_add(&out->text, in->text.p, in->text.len);
        return wn_texts_end(out);
    case WN_DEC_STRIP:
        return decode_strip(out, in, d);
    case WN_DEC_REPLACE:
        return decode_replace(out, in, d, m);
    }
    return WN_OK;
}

wn_err wn_decode_texts(wn_texts *v, const wn_dec *dec, size_t n)
{
    wn_match match = {0};
    wn_texts next = {0};
    wn_err err = WN_OK;
    for (size_t i = 0; i < n && !err; i++) {
        wn_str_clear(&next.text);
        wn_str_add(&next.text, "", 0);
        next.n = 0;
        err = apply(&next, v, &dec[i], &match);
        wn_texts swap = *v;
        *v = next;
        next = swap;
    }
    wn_texts_free(&next);
    wn_match_free(&match);
    return err;
}

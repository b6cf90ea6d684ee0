#include "select/wordlist.h"

#include <utf8proc.h>

#include "base/mem.h"
#include "io/hash.h"

/* Odd, so that a word's contribution never vanishes; 2^64 / golden ratio. */
#define BASE 0x9e3779b97f4a7c15u

void wn_wordlist_clear(wn_wordlist *w)
{
    w->n = 0;
    wn_str_clear(&w->text);
}

void wn_wordlist_free(wn_wordlist *w)
{
    wn_free(w->word);
    wn_str_free(&w->text);
    *w = (wn_wordlist){0};
}

static wn_err push(wn_wordlist *w, uint64_t hash, size_t at, size_t len)
{
    if (!WN_GROW(w->word, w->n, w->cap))
        return WN_ENOMEM;
    w->word[w->n++] = (wn_listed_word){hash, (uint32_t)at, (uint32_t)len};
    return WN_OK;
}

/* Ends the word that began at `start` of w->text, if there is one. */
static wn_err end_word(wn_wordlist *w, size_t start)
{
    WN_TRY(wn_str_check(&w->text));
    if (w->text.len == start)
        return WN_OK;
    uint64_t hash = wn_hash64(w->text.p + start, w->text.len - start, 0);
    WN_TRY(push(w, hash ? hash : 1, start, w->text.len - start));
    wn_str_putc(&w->text, ' ');
    return WN_OK;
}

enum kind { BLANK, LETTER, IDEOGRAPH };

static enum kind kind_of(utf8proc_int32_t c)
{
    switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_LO:
        return utf8proc_charwidth(c) == 2 ? IDEOGRAPH : LETTER;
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
        return LETTER;
    default:
        return BLANK;
    }
}

/* One character beyond ASCII: what it is, its lower case in `low`. Returns its bytes in the text.
 */
static size_t decode(enum kind *kind, char *low, size_t *n_low, const char *p, size_t left)
{
    utf8proc_int32_t c;
    utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)p, (utf8proc_ssize_t)left, &c);
    *kind = BLANK;
    *n_low = 0;
    if (n <= 0)
        return 1;
    *kind = kind_of(c);
    if (*kind != BLANK)
        *n_low = (size_t)utf8proc_encode_char(utf8proc_tolower(c), (utf8proc_uint8_t *)low);
    return (size_t)n;
}

wn_err wn_wordlist_add(wn_wordlist *w, wn_span text)
{
    if (text.len > UINT32_MAX / 8 || w->text.len > UINT32_MAX / 2)
        return wn_fail(WN_EARG, "a text of %zu bytes is too long", text.len);
    size_t start = w->text.len;
    for (size_t i = 0; i < text.len;) {
        unsigned char c = (unsigned char)text.p[i];
        if (c < 0x80) {
            i++;
            if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')) {
                wn_str_putc(&w->text, (char)c);
            } else if (c >= 'A' && c <= 'Z') {
                wn_str_putc(&w->text, (char)(c + 32));
            } else {
                WN_TRY(end_word(w, start));
                start = w->text.len;
            }
            continue;
        }
        enum kind kind;
        char low[8];
        size_t n_low;
        i += decode(&kind, low, &n_low, text.p + i, text.len - i);
        if (kind != LETTER) {
            WN_TRY(end_word(w, start));
            start = w->text.len;
        }
        wn_str_add(&w->text, low, n_low);
        if (kind == IDEOGRAPH) {
            WN_TRY(end_word(w, start));
            start = w->text.len;
        }
    }
    WN_TRY(end_word(w, start));
    return push(w, 0, w->text.len, 0);
}

/* A polynomial in BASE modulo 2^64 of the words' own hashes; n enters, so lengths differ. */
static uint64_t finish(uint64_t h, size_t n)
{
    h += n;
    h ^= h >> 32;
    h *= 0xd6e8feb86659fd93u;
    return h ^ (h >> 32);
}

uint64_t wn_wordlist_hash(const wn_wordlist *w, size_t first, size_t n)
{
    uint64_t h = 0;
    for (size_t i = first; i < first + n; i++)
        h = h * BASE + w->word[i].hash;
    return finish(h, n);
}

int wn_window_push(wn_window *s, uint64_t *hash, const wn_wordlist *w, size_t i, size_t n)
{
    if (w->word[i].hash == 0) {
        s->run = 0;
        s->hash = 0;
        return 0;
    }
    if (s->lead == 0) {
        s->lead = 1;
        for (size_t j = 0; j < n; j++)
            s->lead *= BASE;
    }
    s->hash = s->hash * BASE + w->word[i].hash;
    if (++s->run > n)
        s->hash -= s->lead * w->word[i - n].hash;
    if (s->run < n)
        return 0;
    *hash = finish(s->hash, n);
    return 1;
}

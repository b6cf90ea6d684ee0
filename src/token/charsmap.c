/* SentencePiece's precompiled character map: u32 size of a double-array trie (Darts), the trie,
 * then NUL-terminated replacement texts. A unit's bits: 0-7 and 31 label, 8 has-leaf, 9 wide
 * offset, 10-30 offset; a leaf's value is its low 31 bits. */
#include <string.h>

#include "base/mem.h"
#include "token/parts.h"

static uint32_t offset_of(uint32_t u)
{
    return (u >> 10) << ((u & 0x200) >> 6);
}

/* Replacement of an entry that text[0, len) starts with: offset into map->text and the entry's
 * bytes, or -1. The shortest entry, or the longest. */
static int64_t look_up(const wn_charsmap *m, const char *s, size_t len, bool longest, size_t *taken)
{
    int64_t found = -1;
    size_t at = offset_of(m->unit[0]);
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c == 0)
            break;
        at ^= c;
        if (at >= m->n_unit)
            break;
        uint32_t u = m->unit[at];
        if ((u & 0x800000ffu) != c)
            break;
        at ^= offset_of(u);
        if (at >= m->n_unit)
            break;
        if (!(u & 0x100))
            continue;
        uint32_t value = m->unit[at] & 0x7fffffffu;
        if (value < m->text.len) {
            found = value;
            *taken = i + 1;
        }
        if (!longest)
            break;
    }
    return found;
}

wn_err wn_charsmap_read(wn_charsmap *m, const void *bytes, size_t n)
{
    *m = (wn_charsmap){0};
    uint32_t size = 0;
    const unsigned char *p = bytes;
    if (n >= 4)
        size = (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
    if (n < 8 || size < 4 || size % 4 || size > n - 4)
        return wn_fail(WN_EFORMAT, "precompiled_charsmap of %zu bytes says its trie has %u", n,
                       (unsigned)size);
    m->n_unit = size / 4;
    m->unit = wn_malloc(size);
    if (!m->unit)
        return WN_ENOMEM;
    for (size_t i = 0; i < m->n_unit; i++) {
        const unsigned char *u = p + 4 + 4 * i;
        m->unit[i] =
            (uint32_t)u[0] | (uint32_t)u[1] << 8 | (uint32_t)u[2] << 16 | (uint32_t)u[3] << 24;
    }
    wn_str_add(&m->text, p + 4 + size, n - 4 - size); /* has a NUL behind its end */
    wn_err err = wn_str_check(&m->text);
    if (!err && !wn_utf8_valid(m->text.p, m->text.len))
        err = wn_fail(WN_EFORMAT, "precompiled_charsmap: its replacements are not UTF-8");
    for (int c = 0; c < 128 && !err; c++) {
        char s = (char)c;
        size_t taken;
        m->ascii[c] = (int32_t)look_up(m, &s, 1, false, &taken);
    }
    if (err)
        wn_charsmap_free(m);
    return err;
}

void wn_charsmap_free(wn_charsmap *m)
{
    wn_free(m->unit);
    wn_str_free(&m->text);
    *m = (wn_charsmap){0};
}

/* A replacement offset inside a character would make invalid UTF-8 of a valid map: only a hostile
 * file does that, and then the characters' starts are where it says. */
static void put(const wn_charsmap *m, wn_str *out, int64_t at)
{
    const char *s = m->text.p + at;
    size_t len = strlen(s);
    if (((unsigned char)*s & 0xc0) == 0x80)
        wn_utf8_repair(out, s, len);
    else
        wn_str_add(out, s, len);
}

/* SentencePiece: no graphemes. An entry may end inside a character only in a hostile map; then the
 * rest of the character is skipped. */
static void apply_longest(const wn_charsmap *m, wn_str *out, const char *s, size_t len)
{
    for (size_t i = 0; i < len;) {
        size_t k = wn_utf8_size(s + i);
        int64_t r = look_up(m, s + i, len - i, true, &k);
        r < 0 ? wn_str_add(out, s + i, k) : put(m, out, r);
        i += k;
        while (i < len && ((unsigned char)s[i] & 0xc0) == 0x80)
            i++;
    }
}

wn_err wn_charsmap_apply(const wn_charsmap *m, wn_str *out, const char *s, size_t len)
{
    size_t taken;
    if (m->longest) {
        apply_longest(m, out, s, len);
        return WN_OK;
    }
    for (size_t i = 0; i < len;) {
        unsigned char c = (unsigned char)s[i];
        bool lone =
            c < 0x80 &&
            (i + 1 == len || ((unsigned char)s[i + 1] < 0x80 && !(c == '\r' && s[i + 1] == '\n')));
        if (lone) {
            m->ascii[c] < 0 ? wn_str_putc(out, (char)c) : put(m, out, m->ascii[c]);
            i++;
            continue;
        }
        size_t end = wn_uc_grapheme_end(s, i, len);
        if (end - i < 6) {
            int64_t r = look_up(m, s + i, end - i, false, &taken);
            if (r >= 0) {
                put(m, out, r);
                i = end;
                continue;
            }
        }
        for (size_t k; i < end; i += k) {
            k = wn_utf8_size(s + i);
            int64_t r = look_up(m, s + i, k, false, &taken);
            r < 0 ? wn_str_add(out, s + i, k) : put(m, out, r);
        }
    }
    return WN_OK;
}

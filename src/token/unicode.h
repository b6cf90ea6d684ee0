/* Characters as the reference tokenizer library sees them: UTF-8, properties, case, normal forms.
 * utf8proc does the work; unicode_tables.h holds the code points on which the two disagree. */
#ifndef WN_TOKEN_UNICODE_H
#define WN_TOKEN_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

/* Decodes the character at s, which must be valid UTF-8; *n: its bytes, 1 to 4. */
static inline uint32_t wn_utf8_get(const char *s, size_t *n)
{
    const unsigned char *p = (const unsigned char *)s;
    if (p[0] < 0x80) {
        *n = 1;
        return p[0];
    }
    if (p[0] < 0xe0) {
        *n = 2;
        return (uint32_t)(p[0] & 0x1f) << 6 | (p[1] & 0x3f);
    }
    if (p[0] < 0xf0) {
        *n = 3;
        return (uint32_t)(p[0] & 0x0f) << 12 | (uint32_t)(p[1] & 0x3f) << 6 | (p[2] & 0x3f);
    }
    *n = 4;
    return (uint32_t)(p[0] & 0x07) << 18 | (uint32_t)(p[1] & 0x3f) << 12 |
           (uint32_t)(p[2] & 0x3f) << 6 | (p[3] & 0x3f);
}

/* Bytes of the character at s, from its first byte alone. */
static inline size_t wn_utf8_size(const char *s)
{
    unsigned char c = (unsigned char)*s;
    return c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
}

size_t wn_utf8_put(char out[4], uint32_t c); /* bytes written */
void wn_utf8_add(wn_str *s, uint32_t c);
size_t wn_utf8_count(const char *s, size_t len); /* characters of valid UTF-8 */
bool wn_utf8_valid(const char *s, size_t len);
/* Appends s with U+FFFD for every maximal part that is no character (as Unicode 3.9 and Rust's
 * from_utf8_lossy do). */
void wn_utf8_repair(wn_str *out, const char *s, size_t len);
/* Where the character before s[pos] starts; pos > 0, valid UTF-8. */
size_t wn_utf8_back(const char *s, size_t pos);

/* Classes that the split patterns of byte-level BPE tell apart. */
enum { WN_UC_OTHER, WN_UC_LETTER, WN_UC_NUMBER, WN_UC_SPACE };
extern const unsigned char wn_uc_ascii[128];
int wn_uc_class_of(uint32_t c);
static inline int wn_uc_class(uint32_t c)
{
    return c < 128 ? wn_uc_ascii[c] : wn_uc_class_of(c);
}

bool wn_uc_space(uint32_t c);       /* property White_Space */
bool wn_uc_numeric(uint32_t c);     /* categories N* */
bool wn_uc_word(uint32_t c);        /* \w: alphabetic, marks, decimal digits, joiners, connectors */
bool wn_uc_punctuation(uint32_t c); /* P*, and all of ASCII's signs: what Punctuation splits at */
bool wn_uc_bert_control(uint32_t c); /* what BertNormalizer's clean_text drops; not tab, CR, LF */
bool wn_uc_bert_accent(uint32_t c);  /* what its strip_accents drops */
bool wn_uc_bert_chinese(uint32_t c); /* what its handle_chinese_chars sets apart */
bool wn_uc_combining(uint32_t c);    /* what StripAccents drops */
/* Lower case: one character, or two for U+0130. */
int wn_uc_lower(uint32_t c, uint32_t out[2]);

enum wn_form { WN_NFC, WN_NFD, WN_NFKC, WN_NFKD };

/* Growing scratch of code points for wn_uc_normalize. */
typedef struct wn_points {
    int32_t *c;
    size_t n, cap;
} wn_points;
void wn_points_free(wn_points *p);

/* Decomposes valid UTF-8 into p (replacing its content), marks in canonical order; O(n log n)
 * however long a run of marks is. */
wn_err wn_uc_decompose(wn_points *p, const char *s, size_t len, bool compat);
/* Appends the normal form of valid UTF-8. */
wn_err wn_uc_normalize(wn_str *out, wn_points *scratch, const char *s, size_t len,
                       enum wn_form form);
bool wn_ascii_only(const char *s, size_t len);

/* End of the extended grapheme cluster that starts at s[pos]; pos < len, valid UTF-8. */
size_t wn_uc_grapheme_end(const char *s, size_t pos, size_t len);

#endif

#include "token/unicode.h"

#include <string.h>
#include <utf8proc.h>

#include "base/mem.h"
#include "token/unicode_tables.h"

#define IN(table, c) in_range(table, sizeof(table) / sizeof *(table), c)

static bool in_range(const wn_range *r, size_t n, uint32_t c)
{
    size_t lo = 0, hi = n;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (c > r[mid].last)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < n && c >= r[lo].first;
}

size_t wn_utf8_put(char out[4], uint32_t c)
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        out[0] = (char)(0xc0 | c >> 6);
        out[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        out[0] = (char)(0xe0 | c >> 12);
        out[1] = (char)(0x80 | (c >> 6 & 0x3f));
        out[2] = (char)(0x80 | (c & 0x3f));
        return 3;
    }
    out[0] = (char)(0xf0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 0x3f));
    out[2] = (char)(0x80 | (c >> 6 & 0x3f));
    out[3] = (char)(0x80 | (c & 0x3f));
    return 4;
}

void wn_utf8_add(wn_str *s, uint32_t c)
{
    char b[4];
    wn_str_add(s, b, wn_utf8_put(b, c));
}

size_t wn_utf8_count(const char *s, size_t len)
{
    size_t n = 0;
    for (size_t i = 0; i < len; i++)
        n += ((unsigned char)s[i] & 0xc0) != 0x80;
    return n;
}

size_t wn_utf8_back(const char *s, size_t pos)
{
    do
        pos--;
    while (pos > 0 && ((unsigned char)s[pos] & 0xc0) == 0x80);
    return pos;
}

/* Length of the valid character at s, or 0; then *bad is the length of the maximal invalid part. */
static size_t check_char(const unsigned char *s, size_t left, size_t *bad)
{
    *bad = 1;
    unsigned char a = s[0], lo = 0x80, hi = 0xbf;
    size_t need;
    if (a < 0x80)
        return 1;
    if (a >= 0xc2 && a <= 0xdf) {
        need = 2;
    } else if (a >= 0xe0 && a <= 0xef) {
        need = 3;
        if (a == 0xe0)
            lo = 0xa0;
        if (a == 0xed)
            hi = 0x9f;
    } else if (a >= 0xf0 && a <= 0xf4) {
        need = 4;
        if (a == 0xf0)
            lo = 0x90;
        if (a == 0xf4)
            hi = 0x8f;
    } else {
        return 0;
    }
    for (size_t i = 1; i < need; i++, lo = 0x80, hi = 0xbf) {
        if (i >= left || s[i] < lo || s[i] > hi) {
            *bad = i;
            return 0;
        }
    }
    return need;
}

bool wn_ascii_only(const char *s, size_t len)
{
    size_t i = 0;
    for (; i + 8 <= len; i += 8) {
        uint64_t v;
        memcpy(&v, s + i, 8);
        if (v & 0x8080808080808080u)
            return false;
    }
    for (; i < len; i++)
        if ((unsigned char)s[i] >= 0x80)
            return false;
    return true;
}

bool wn_utf8_valid(const char *s, size_t len)
{
    if (wn_ascii_only(s, len))
        return true;
    size_t bad;
    for (size_t i = 0; i < len;) {
        size_t n = check_char((const unsigned char *)s + i, len - i, &bad);
        if (!n)
            return false;
        i += n;
    }
    return true;
}

void wn_utf8_repair(wn_str *out, const char *s, size_t len)
{
    size_t from = 0, bad;
    for (size_t i = 0; i < len;) {
        size_t n = check_char((const unsigned char *)s + i, len - i, &bad);
        if (n) {
            i += n;
            continue;
        }
        wn_str_add(out, s + from, i - from);
        wn_str_add(out, "\xef\xbf\xbd", 3);
        i += bad;
        from = i;
    }
    wn_str_add(out, s + from, len - from);
}

#define O4      WN_UC_OTHER, WN_UC_OTHER, WN_UC_OTHER, WN_UC_OTHER
#define L4      WN_UC_LETTER, WN_UC_LETTER, WN_UC_LETTER, WN_UC_LETTER
#define LETTERS WN_UC_OTHER, L4, L4, L4, L4, L4, L4, WN_UC_LETTER, WN_UC_LETTER, O4, WN_UC_OTHER
const unsigned char wn_uc_ascii[128] = {
    O4,           O4,           WN_UC_OTHER,  WN_UC_SPACE,  WN_UC_SPACE,  WN_UC_SPACE,
    WN_UC_SPACE,  WN_UC_SPACE,  WN_UC_OTHER,  WN_UC_OTHER,  O4,           O4,
    O4,           O4,           WN_UC_SPACE,  WN_UC_OTHER,  WN_UC_OTHER,  WN_UC_OTHER,
    O4,           O4,           O4,           WN_UC_NUMBER, WN_UC_NUMBER, WN_UC_NUMBER,
    WN_UC_NUMBER, WN_UC_NUMBER, WN_UC_NUMBER, WN_UC_NUMBER, WN_UC_NUMBER, WN_UC_NUMBER,
    WN_UC_NUMBER, WN_UC_OTHER,  WN_UC_OTHER,  O4,           LETTERS,      LETTERS,
};

int wn_uc_class_of(uint32_t c)
{
    switch (utf8proc_category((int32_t)c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
        return WN_UC_LETTER;
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO:
        return WN_UC_NUMBER;
    case UTF8PROC_CATEGORY_CN:
        if (IN(NEW_LETTERS, c))
            return WN_UC_LETTER;
        return IN(NEW_NUMBERS, c) ? WN_UC_NUMBER : WN_UC_OTHER;
    default:
        return wn_uc_space(c) ? WN_UC_SPACE : WN_UC_OTHER;
    }
}

bool wn_uc_space(uint32_t c)
{
    if (c < 0x80)
        return c == ' ' || (c >= 9 && c <= 13);
    return c == 0x85 || c == 0xa0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200a) || c == 0x2028 ||
           c == 0x2029 || c == 0x202f || c == 0x205f || c == 0x3000;
}

bool wn_uc_numeric(uint32_t c)
{
    return wn_uc_class(c) == WN_UC_NUMBER;
}

bool wn_uc_word(uint32_t c)
{
    if (c < 128)
        return wn_uc_ascii[c] == WN_UC_LETTER || wn_uc_ascii[c] == WN_UC_NUMBER || c == '_';
    switch (utf8proc_category((int32_t)c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC:
        return true;
    case UTF8PROC_CATEGORY_SO: /* circled and squared letters are alphabetic */
        return (c >= 0x24b6 && c <= 0x24e9) || (c >= 0x1f130 && c <= 0x1f149) ||
               (c >= 0x1f150 && c <= 0x1f169) || (c >= 0x1f170 && c <= 0x1f189);
    case UTF8PROC_CATEGORY_CN:
        return IN(NEW_WORD, c);
    default:
        return c == 0x200c || c == 0x200d;
    }
}

bool wn_uc_punctuation(uint32_t c)
{
    if (c < 128)
        return c > ' ' && c < 127 && wn_uc_ascii[c] == WN_UC_OTHER;
    utf8proc_category_t k = utf8proc_category((int32_t)c);
    if (k >= UTF8PROC_CATEGORY_PC && k <= UTF8PROC_CATEGORY_PO)
        return !IN(LATE_PUNCTUATION, c);
    return c == 0x166d || c == 0x111c9; /* counted as punctuation when they were new */
}

bool wn_uc_bert_control(uint32_t c)
{
    if (c < 128)
        return c == 127 || (c < 32 && c != '\t' && c != '\n' && c != '\r');
    switch (utf8proc_category((int32_t)c)) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_CS:
        return true;
    case UTF8PROC_CATEGORY_CF:
        return !IN(LATE_FORMAT, c);
    default:
        return c == 0xfffd;
    }
}

bool wn_uc_bert_accent(uint32_t c)
{
    if (c < 0x300)
        return false;
    if (utf8proc_category((int32_t)c) == UTF8PROC_CATEGORY_MN)
        return !IN(LATE_MARKS, c);
    return c == 0x1734; /* was nonspacing until Unicode 14 */
}

bool wn_uc_bert_chinese(uint32_t c)
{
    if (c < 0x3400)
        return false;
    return c <= 0x4dbf || (c >= 0x4e00 && c <= 0x9fff) || (c >= 0xf900 && c <= 0xfaff) ||
           (c >= 0x20000 && c <= 0x2a6df) || (c >= 0x2a700 && c <= 0x2b73f) ||
           (c >= 0x2b740 && c <= 0x2b81f) || (c >= 0x2b920 && c <= 0x2ceaf) ||
           (c >= 0x2f800 && c <= 0x2fa1f);
}

bool wn_uc_combining(uint32_t c)
{
    if (c < 0x300)
        return false;
    utf8proc_category_t k = utf8proc_category((int32_t)c);
    bool mark = k == UTF8PROC_CATEGORY_MN || k == UTF8PROC_CATEGORY_MC || k == UTF8PROC_CATEGORY_ME;
    if (!mark)
        return c == 0x1cf2 || c == 0x1cf3; /* letters now, marks in the library's tables */
    return !IN(LATE_COMBINING, c);
}

int wn_uc_lower(uint32_t c, uint32_t out[2])
{
    if (c == 0x130) {
        out[0] = 'i';
        out[1] = 0x307;
        return 2;
    }
    out[0] = c < 128 ? (c >= 'A' && c <= 'Z' ? c + 32 : c) : (uint32_t)utf8proc_tolower((int32_t)c);
    return 1;
}

void wn_points_free(wn_points *p)
{
    wn_free(p->c);
    *p = (wn_points){0};
}

static int class_of_mark(int32_t c)
{
    return c < 0x300 ? 0 : utf8proc_get_property(c)->combining_class;
}

/* Stable order by combining class of a run of marks. utf8proc's own is quadratic on long runs, so
 * it is done here: counting passes over the 8 bits, low first, once the run is long. */
static wn_err sort_marks(int32_t *c, size_t n)
{
    if (n <= 32) {
        for (size_t i = 1; i < n; i++) {
            int32_t v = c[i];
            int k = class_of_mark(v);
            size_t j = i;
            for (; j > 0 && class_of_mark(c[j - 1]) > k; j--)
                c[j] = c[j - 1];
            c[j] = v;
        }
        return WN_OK;
    }
    int32_t *copy = wn_malloc(n * sizeof *copy);
    if (!copy)
        return WN_ENOMEM;
    size_t start[257] = {0};
    for (size_t i = 0; i < n; i++)
        start[class_of_mark(c[i]) + 1]++;
    for (int k = 0; k < 256; k++)
        start[k + 1] += start[k];
    memcpy(copy, c, n * sizeof *copy);
    for (size_t i = 0; i < n; i++)
        c[start[class_of_mark(copy[i])]++] = copy[i];
    wn_free(copy);
    return WN_OK;
}

static wn_err reserve_points(wn_points *p, size_t n)
{
    if (n <= p->cap)
        return WN_OK;
    size_t cap = p->cap ? p->cap : 256;
    while (cap < n)
        cap *= 2;
    int32_t *c = wn_realloc(p->c, cap * sizeof *c);
    if (!c)
        return WN_ENOMEM;
    p->c = c;
    p->cap = cap;
    return WN_OK;
}

enum { LONGEST_DECOMPOSITION = 32 };

wn_err wn_uc_decompose(wn_points *p, const char *s, size_t len, bool compat)
{
    p->n = 0;
    size_t run = 0; // where the current run of marks starts
    for (size_t i = 0, n; i < len; i += n) {
        uint32_t c = wn_utf8_get(s + i, &n);
        WN_TRY(reserve_points(p, p->n + LONGEST_DECOMPOSITION));
        size_t k = 1;
        bool late = c >= 0x80 && (compat ? IN(LATE_COMPAT, c) : IN(LATE_CANONICAL, c));
        if (c < 0x80 || late) {
            p->c[p->n] = (int32_t)c;
        } else {
            int boundary = 0;
            utf8proc_ssize_t got = utf8proc_decompose_char(
                (int32_t)c, p->c + p->n, LONGEST_DECOMPOSITION,
                compat ? UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT : UTF8PROC_DECOMPOSE, &boundary);
            WN_ASSERT(got >= 0 && got <= LONGEST_DECOMPOSITION);
            k = (size_t)got;
        }
        for (size_t j = 0; j < k; j++) {
            if (class_of_mark(p->c[p->n + j]) == 0) {
                if (p->n + j > run + 1)
                    WN_TRY(sort_marks(p->c + run, p->n + j - run));
                run = p->n + j + 1;
            }
        }
        p->n += k;
    }
    return p->n > run + 1 ? sort_marks(p->c + run, p->n - run) : WN_OK;
}

wn_err wn_uc_normalize(wn_str *out, wn_points *scratch, const char *s, size_t len,
                       enum wn_form form)
{
    if (wn_ascii_only(s, len)) {
        wn_str_add(out, s, len);
        return WN_OK;
    }
    WN_TRY(wn_uc_decompose(scratch, s, len, form == WN_NFKC || form == WN_NFKD));
    size_t n = scratch->n;
    if (form == WN_NFC || form == WN_NFKC) {
        utf8proc_ssize_t got = utf8proc_normalize_utf32(scratch->c, (utf8proc_ssize_t)n,
                                                        UTF8PROC_COMPOSE | UTF8PROC_STABLE);
        WN_ASSERT(got >= 0);
        n = (size_t)got;
    }
    for (size_t i = 0; i < n; i++)
        wn_utf8_add(out, (uint32_t)scratch->c[i]);
    return WN_OK;
}

size_t wn_uc_grapheme_end(const char *s, size_t pos, size_t len)
{
    size_t n;
    int32_t state = 0, a = (int32_t)wn_utf8_get(s + pos, &n);
    for (pos += n; pos < len; pos += n) {
        int32_t b = (int32_t)wn_utf8_get(s + pos, &n);
        if (utf8proc_grapheme_break_stateful(a, b, &state))
            break;
        a = b;
    }
    return pos;
}

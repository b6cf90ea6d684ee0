#include "token/scan.h"

#include <string.h>

#include "token/unicode.h"

const char wn_pattern_gpt2[] =
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
const char wn_pattern_llama3[] =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+"
    "[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const char wn_pattern_qwen2[] =
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+"
    "[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

/* Class and size of the character at pos. */
static inline int class_at(const char *s, size_t pos, size_t *n)
{
    unsigned char c = (unsigned char)s[pos];
    if (c < 128) {
        *n = 1;
        return wn_uc_ascii[c];
    }
    return wn_uc_class_of(wn_utf8_get(s + pos, n));
}

/* End of the run of characters of one class; `most` of them at most. */
static size_t run_end(const char *s, size_t pos, size_t len, int class, size_t most)
{
    for (size_t n; pos < len && most > 0; pos += n, most--)
        if (class_at(s, pos, &n) != class)
            break;
    return pos;
}

/* Length of the contraction ('s, 'll, ...) at s[pos], which is an apostrophe; 0: none. Folded case
 * takes U+017F, the long s, for an s. */
static size_t contraction(const char *s, size_t pos, size_t len, bool fold)
{
    if (pos + 1 >= len)
        return 0;
    unsigned char a = (unsigned char)s[pos + 1];
    if (fold && a == 0xc5 && pos + 2 < len && (unsigned char)s[pos + 2] == 0xbf)
        return 3;
    if (fold && a >= 'A' && a <= 'Z')
        a += 32;
    if (a == 's' || a == 't' || a == 'm' || a == 'd')
        return 2;
    if (pos + 2 >= len)
        return 0;
    unsigned char b = (unsigned char)s[pos + 2];
    if (fold && b >= 'A' && b <= 'Z')
        b += 32;
    bool pair = (a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l');
    return pair ? 3 : 0;
}

/* \s+(?!\S)|\s+ : a run of blanks leaves its last one to what follows, unless it is the only one.
 */
static size_t blanks(const char *s, size_t pos, size_t len)
{
    size_t end = run_end(s, pos, len, WN_UC_SPACE, SIZE_MAX);
    if (end == len)
        return end;
    size_t last = wn_utf8_back(s, end);
    return last > pos ? last : end;
}

static size_t scan_gpt2(const char *s, size_t pos, size_t len)
{
    size_t n, m, at = pos;
    int class = class_at(s, pos, &n);
    if (s[pos] == '\'') {
        size_t k = contraction(s, pos, len, false);
        if (k)
            return pos + k;
    }
    if (s[pos] == ' ' && pos + 1 < len) {
        int next = class_at(s, pos + 1, &m);
        if (next != WN_UC_SPACE) {
            class = next;
            at = pos + 1;
        }
    }
    return class == WN_UC_SPACE ? blanks(s, pos, len) : run_end(s, at, len, class, SIZE_MAX);
}

static size_t newlines(const char *s, size_t pos, size_t len)
{
    while (pos < len && (s[pos] == '\n' || s[pos] == '\r'))
        pos++;
    return pos;
}

/* \s*[\r\n]+ : up to the last line end of a run of blanks; 0 if it has none. */
static size_t lines(const char *s, size_t pos, size_t len)
{
    size_t end = 0;
    for (size_t n; pos < len && class_at(s, pos, &n) == WN_UC_SPACE; pos += n)
        if (s[pos] == '\n' || s[pos] == '\r')
            end = pos + 1;
    return end;
}

static inline size_t scan_cl100k(const char *s, size_t pos, size_t len, size_t digits)
{
    size_t n, m;
    int class = class_at(s, pos, &n);
    if (s[pos] == '\'') {
        size_t k = contraction(s, pos, len, true);
        if (k)
            return pos + k;
    }
    if (class == WN_UC_LETTER)
        return run_end(s, pos + n, len, WN_UC_LETTER, SIZE_MAX);
    if (class == WN_UC_NUMBER)
        return run_end(s, pos + n, len, WN_UC_NUMBER, digits - 1);
    int next = pos + n < len ? class_at(s, pos + n, &m) : -1;
    if (next == WN_UC_LETTER && s[pos] != '\r' && s[pos] != '\n')
        return run_end(s, pos + n + m, len, WN_UC_LETTER, SIZE_MAX);
    if (class == WN_UC_OTHER || (s[pos] == ' ' && next == WN_UC_OTHER))
        return newlines(s, run_end(s, pos + n, len, WN_UC_OTHER, SIZE_MAX), len);
    size_t end = lines(s, pos, len);
    return end ? end : blanks(s, pos, len);
}

static size_t scan_llama3(const char *s, size_t pos, size_t len)
{
    return scan_cl100k(s, pos, len, 3);
}

static size_t scan_qwen2(const char *s, size_t pos, size_t len)
{
    return scan_cl100k(s, pos, len, 1);
}

wn_scan_fn wn_scan_for(const char *expression)
{
    if (!strcmp(expression, wn_pattern_gpt2))
        return scan_gpt2;
    if (!strcmp(expression, wn_pattern_llama3))
        return scan_llama3;
    if (!strcmp(expression, wn_pattern_qwen2))
        return scan_qwen2;
    return NULL;
}

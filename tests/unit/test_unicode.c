/* Characters: UTF-8, properties, normal forms; the hand-written scanners against PCRE2. */
#include <criterion/criterion.h>

#include <stdlib.h>
#include <string.h>
#include <utf8proc.h>

#include "base/mem.h"
#include "base/rng.h"
#include "token/pattern.h"
#include "token/unicode.h"

/* A small generator of its own: printed seeds replay a failure. */
static uint32_t next(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33);
}

/* ---- UTF-8
 * ----------------------------------------------------------------------------------------- */

Test(unicode, every_character_there_and_back)
{
    for (uint32_t c = 0; c < 0x110000; c++) {
        if (c >= 0xd800 && c < 0xe000)
            continue;
        char b[8] = {0};
        size_t n = wn_utf8_put(b, c), k;
        cr_assert(wn_utf8_valid(b, n), "%x", c);
        cr_assert_eq(wn_utf8_get(b, &k), c);
        cr_assert_eq(k, n);
        cr_assert_eq(wn_utf8_size(b), n);
        cr_assert_eq(wn_utf8_back(b, n), 0);
        cr_assert(n == 1 || !wn_utf8_valid(b, n - 1), "%x", c);
    }
}

Test(unicode, broken_text_is_found_and_repaired)
{
    static const struct {
        const char *in, *out;
    } cases[] = {
        {"\x80", "\xef\xbf\xbd"},
        {"\xc0\x80", "\xef\xbf\xbd\xef\xbf\xbd"},
        {"\xed\xa0\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
        {"\xf4\x90\x80\x80", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd"},
        {"a\xe2\x82", "a\xef\xbf\xbd"},
        {"\xf0\x9f\x98x", "\xef\xbf\xbdx"},
        {"\xe2\x28\xa1", "\xef\xbf\xbd(\xef\xbf\xbd"},
        {"\xc3\xa9\xff", "\xc3\xa9\xef\xbf\xbd"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        wn_str s = {0};
        cr_assert_not(wn_utf8_valid(cases[i].in, strlen(cases[i].in)), "case %zu", i);
        wn_utf8_repair(&s, cases[i].in, strlen(cases[i].in));
        cr_assert_str_eq(s.p, cases[i].out, "case %zu", i);
        cr_assert(wn_utf8_valid(s.p, s.len));
        wn_str_free(&s);
    }
    cr_assert(wn_utf8_valid("", 0));
    cr_assert(wn_utf8_valid("a\0b", 3));
}

/* ---- properties
 * ------------------------------------------------------------------------------------ */

Test(unicode, ascii_table_says_what_the_slow_path_says)
{
    for (uint32_t c = 0; c < 128; c++)
        cr_assert_eq(wn_uc_ascii[c], wn_uc_class_of(c), "%x", c);
}

Test(unicode, properties)
{
    cr_assert(wn_uc_space(0x85) && wn_uc_space(0xa0) && wn_uc_space(0x3000) && wn_uc_space('\v'));
    cr_assert(!wn_uc_space(0x200b) && !wn_uc_space(0x180e) && !wn_uc_space(0xfeff) &&
              !wn_uc_space(0x1c));
    cr_assert(wn_uc_punctuation('$') && wn_uc_punctuation('^') && wn_uc_punctuation(0x3002));
    cr_assert(!wn_uc_punctuation(0x20ac) && !wn_uc_punctuation(0x7f) && !wn_uc_punctuation(' '));
    cr_assert(wn_uc_bert_control(0) == 1 || wn_uc_bert_control(0));
    cr_assert(wn_uc_bert_control(0xad) && wn_uc_bert_control(0xe000) && wn_uc_bert_control(0xfffd));
    cr_assert(!wn_uc_bert_control('\t') && !wn_uc_bert_control(0x378) &&
              !wn_uc_bert_control(0x890));
    cr_assert(wn_uc_bert_accent(0x301) && wn_uc_bert_accent(0x1734) && !wn_uc_bert_accent(0x1dfa));
    cr_assert(!wn_uc_bert_accent(0x903) && wn_uc_combining(0x903) && wn_uc_combining(0x20dd));
    cr_assert(wn_uc_word('_') && wn_uc_word(0x24b6) && wn_uc_word(0x200d) && !wn_uc_word(0xb2));
    cr_assert(wn_uc_numeric(0xbd) && wn_uc_numeric(0x2160) && !wn_uc_numeric(0x4e94));
    cr_assert(wn_uc_bert_chinese(0x3400) && !wn_uc_bert_chinese(0x3041) &&
              !wn_uc_bert_chinese(0x2b820));
    uint32_t low[2];
    cr_assert_eq(wn_uc_lower(0x130, low), 2);
    cr_assert_eq(low[0], 'i');
    cr_assert_eq(wn_uc_lower(0x3a3, low), 1);
    cr_assert_eq(low[0], 0x3c3);
}

/* ---- normal forms
 * ---------------------------------------------------------------------------------- */

static const uint32_t POOL[] = {'a',    'e',     ' ',     'q',   0x41,   0xe9,   0x301,  0x323,
                                0x307,  0x308,   0x327,   0x345, 0x1e69, 0xac00, 0x1100, 0x1161,
                                0x11a8, 0xfb01,  0x2126,  0x958, 0x93c,  0x3099, 0x304b, 0xff76,
                                0x212b, 0x1d15e, 0x1f1e9, 0x5d0, 0x5b8,  0x5bc,  0xf73,  0x334};

Test(unicode, normal_forms_equal_utf8proc)
{
    static const struct {
        enum wn_form form;
        utf8proc_option_t options;
    } forms[] = {{WN_NFC, UTF8PROC_COMPOSE},
                 {WN_NFD, UTF8PROC_DECOMPOSE},
                 {WN_NFKC, UTF8PROC_COMPOSE | UTF8PROC_COMPAT},
                 {WN_NFKD, UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT}};
    uint64_t state = 11;
    wn_points scratch = {0};
    for (int round = 0; round < 20000; round++) {
        wn_str in = {0}, out = {0};
        size_t n = next(&state) % 12;
        for (size_t i = 0; i < n; i++)
            wn_utf8_add(&in, POOL[next(&state) % (sizeof POOL / sizeof *POOL)]);
        wn_str_add(&in, "", 0);
        for (int f = 0; f < 4; f++) {
            utf8proc_uint8_t *want = NULL;
            utf8proc_ssize_t len =
                utf8proc_map((const utf8proc_uint8_t *)in.p, (utf8proc_ssize_t)in.len, &want,
                             forms[f].options | UTF8PROC_STABLE);
            wn_str_clear(&out);
            wn_str_add(&out, "", 0);
            cr_assert_eq(wn_uc_normalize(&out, &scratch, in.p, in.len, forms[f].form), WN_OK);
            cr_assert((size_t)len == out.len && !memcmp(want, out.p, out.len),
                      "round %d form %d: %s", round, f, in.p);
            free(want);
        }
        wn_str_free(&in);
        wn_str_free(&out);
    }
    wn_points_free(&scratch);
}

/* Half a million marks in the worst order: sorted by class, stable, in no time. */
Test(unicode, long_runs_of_marks, .timeout = 20)
{
    enum { N = 500000 };
    wn_str in = {0};
    wn_points p = {0};
    for (int i = 0; i < N; i++)
        wn_utf8_add(&in, i % 2 ? 0x323 : 0x301);
    cr_assert_eq(wn_uc_decompose(&p, in.p, in.len, false), WN_OK);
    cr_assert_eq(p.n, N);
    cr_assert(p.c[0] == 0x323 && p.c[N / 2 - 1] == 0x323 && p.c[N / 2] == 0x301 &&
              p.c[N - 1] == 0x301);
    wn_points_free(&p);
    wn_str_free(&in);
}

Test(unicode, graphemes)
{
    const char *s = "e\xcc\x81x\r\n\xf0\x9f\x91\xa9\xe2\x80\x8d\xf0\x9f\x92\xbb!";
    cr_assert_eq(wn_uc_grapheme_end(s, 0, strlen(s)), 3);
    cr_assert_eq(wn_uc_grapheme_end(s, 3, strlen(s)), 4);
    cr_assert_eq(wn_uc_grapheme_end(s, 4, strlen(s)), 6);
    cr_assert_eq(wn_uc_grapheme_end(s, 6, strlen(s)), 17);
    cr_assert_eq(wn_uc_grapheme_end(s, 17, strlen(s)), 18);
}

/* ---- scanners against expressions
 * ------------------------------------------------------------------ */

/* Characters on which the patterns branch, and some of each class. */
static const uint32_t BRANCH[] = {
    ' ',   ' ',  ' ',    '\t', '\n',   '\r',   0xa0,   0x3000, 0x2028, '\'',    '\'',   's',
    'S',   't',  'T',    'r',  'R',    'e',    'E',    'v',    'V',    'm',     'M',    'l',
    'L',   'd',  'D',    'x',  'Z',    0x17f,  0xe9,   0x4e2d, 0x5d0,  '0',     '1',    '9',
    0x663, 0xbd, 0x2160, '!',  '.',    '_',    '-',    0x2014, 0x301,  0x1f600, 0x200d, 0xfe0f,
    0xad,  0x1,  0x7f,   0x85, 0x180e, 0x200b, 0xfeff, 0x2c2,  0x1c5,  0x24b6};

static void compare(const char *expression, const char *s, size_t len, wn_match *m,
                    const wn_pattern *slow, wn_scan_fn scan, uint64_t seed)
{
    wn_search at = {0};
    for (size_t pos = 0; pos < len;) {
        bool found;
        size_t start, end;
        cr_assert_eq(wn_pattern_next(slow, m, s, len, &at, &found, &start, &end), WN_OK);
        cr_assert(found && start == pos, "seed %llu", (unsigned long long)seed);
        size_t mine = scan(s, pos, len);
        cr_assert_eq(mine, end, "%s\nseed %llu at %zu: %zu, expected %zu in '%s'", expression,
                     (unsigned long long)seed, pos, mine, end, s);
        pos = end;
    }
}

static void fuzz(const char *expression)
{
    wn_pattern slow, unknown;
    wn_match m = {0};
    wn_scan_fn scan = wn_scan_for(expression);
    cr_assert_not_null(scan);
    cr_assert_eq(wn_pattern_regex(&slow, expression, strlen(expression), true), WN_OK, "%s",
                 wn_error_text());
    cr_assert_eq(wn_pattern_regex(&unknown, "\\p{Cn}", 6, true), WN_OK);
    for (uint64_t seed = 1; seed <= 30000; seed++) {
        uint64_t state = seed;
        wn_str s = {0};
        size_t n = 1 + next(&state) % 24;
        uint32_t few = 2 + next(&state) % 12; /* few different characters make long runs */
        uint32_t from = next(&state);
        for (size_t i = 0; i < n; i++)
            wn_utf8_add(&s,
                        BRANCH[(from + next(&state) % few * 7) % (sizeof BRANCH / sizeof *BRANCH)]);
        compare(expression, s.p, s.len, &m, &slow, scan, seed);
        wn_str_free(&s);
    }
    /* every character that both libraries know, alone and among others */
    for (uint32_t c = 1; c < 0x30000; c++) {
        if ((c >= 0xd800 && c < 0xe000) || utf8proc_category((int32_t)c) == UTF8PROC_CATEGORY_CN)
            continue;
        char s[16] = {'a'};
        size_t len = 1;
        len += wn_utf8_put(s + len, c);
        s[len++] = '1';
        wn_search at = {0}, again = {0};
        bool found;
        size_t start, end;
        cr_assert_eq(wn_pattern_next(&unknown, &m, s, len, &again, &found, &start, &end), WN_OK);
        if (found)
            continue;
        cr_assert_eq(wn_pattern_next(&slow, &m, s, len, &at, &found, &start, &end), WN_OK);
        size_t mine = scan(s, 0, len);
        cr_assert(mine == end, "%x", c);
    }
    wn_match_free(&m);
    wn_pattern_free(&slow);
    wn_pattern_free(&unknown);
}

Test(unicode, scanner_of_gpt2_equals_its_expression)
{
    fuzz(wn_pattern_gpt2);
}

Test(unicode, scanner_of_llama3_equals_its_expression)
{
    fuzz(wn_pattern_llama3);
}

Test(unicode, scanner_of_qwen2_equals_its_expression)
{
    fuzz(wn_pattern_qwen2);
}

Test(unicode, patterns_that_are_not_supported_are_refused)
{
    static const char *const bad[] = {"",      "(",    "[a",   "a\\",   "[a&&b]", "[a[^b]]",
                                      "a{2}+", "\\bx", "x\\K", "[\\W]", "\\u12",  "(*UCP)x"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        wn_pattern p;
        wn_match m = {0};
        wn_err err = wn_pattern_regex(&p, bad[i], strlen(bad[i]), false);
        if (!err) { /* \K shows only in a match */
            wn_search at = {0};
            bool found;
            size_t start, end;
            err = wn_pattern_next(&p, &m, "xx", 2, &at, &found, &start, &end);
            wn_match_free(&m);
            wn_pattern_free(&p);
        }
        cr_assert_eq(err, WN_EFORMAT, "accepted '%s'", bad[i]);
        cr_assert_not_null(strstr(wn_error_text(), "pattern '"));
    }
}

#include "eval/extract.h"

#include <string.h>

#include "base/mem.h"
#include "eval/normal.h"
#include "token/pattern.h"

typedef struct rule rule;
/* What the rule finds in s; false: nothing. */
typedef bool (*find_fn)(wn_span *s, rule *r);

struct rule {
    find_fn find;
    const char *text; /* after */
    wn_pattern pattern;
    wn_match match;
    wn_err err;  /* of the pattern's search */
    wn_str made; /* what a rule writes anew */
};

struct wn_extract {
    size_t n;
    bool letters, answers;
    rule *rule;
};

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Bytes above ASCII are parts of letters, as far as standing alone is meant. */
static bool in_word(char c)
{
    return is_letter(c) || is_digit(c) || (unsigned char)c >= 0x80;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static char at(wn_span s, size_t i)
{
    return i < s.len ? s.p[i] : ' ';
}

static bool word_is(wn_span s, size_t i, size_t n, const char *word)
{
    if (n != strlen(word))
        return false;
    for (size_t k = 0; k < n; k++)
        if (lower(s.p[i + k]) != word[k])
            return false;
    return true;
}

static bool yes_no(wn_span *s, rule *r)
{
    (void)r;
    for (size_t i = 0, n; i < s->len; i += n ? n : 1) {
        for (n = 0; i + n < s->len && in_word(s->p[i + n]); n++)
            ;
        if (word_is(*s, i, n, "yes") || word_is(*s, i, n, "no")) {
            *s = (wn_span){s->p + i, n};
            return true;
        }
    }
    return false;
}

static bool article(wn_span s, size_t i)
{
    return (s.p[i] == 'A' || s.p[i] == 'I') && at(s, i + 1) == ' ' && i + 2 < s.len &&
           s.p[i + 2] >= 'a' && s.p[i + 2] <= 'z';
}

static bool letter(wn_span *s, rule *r)
{
    for (size_t i = 0; i < s->len; i++) {
        char c = s->p[i], next = at(*s, i + 1);
        if (!is_letter(c) || (i && in_word(s->p[i - 1])) || in_word(next) || next == '\'' ||
            article(*s, i) || (c >= 'a' && next != ')'))
            continue;
        wn_str_clear(&r->made);
        wn_str_putc(&r->made, c >= 'a' ? (char)(c - 'a' + 'A') : c);
        r->err = wn_str_check(&r->made);
        *s = (wn_span){r->made.p, r->made.len};
        return true;
    }
    return false;
}

static size_t digits(wn_span s, size_t i)
{
    size_t n = 0;
    while (is_digit(at(s, i + n)))
        n++;
    return n;
}

/* Length of the number at s[i], 0: none begins there. */
static size_t number_length(wn_span s, size_t i)
{
    size_t n = digits(s, i), whole = n;
    if (i && (is_letter(s.p[i - 1]) || is_digit(s.p[i - 1])))
        return 0;
    if (n == 0 && !(at(s, i) == '.' && is_digit(at(s, i + 1))))
        return 0;
    while (whole && whole <= 3 && at(s, i + n) == ',' && digits(s, i + n + 1) == 3)
        n += 4;
    if (at(s, i + n) == '.')
        n += digits(s, i + n + 1) ? 1 + digits(s, i + n + 1) : 0;
    return n;
}

/* The number without commas and without zeros that say nothing, with its sign. */
static bool write_number(wn_span *s, rule *r, size_t i, size_t n)
{
    bool minus = i && s->p[i - 1] == '-' && (i == 1 || !in_word(s->p[i - 2]));
    bool point = memchr(s->p + i, '.', n) != NULL;
    while (point && s->p[i + n - 1] == '0')
        n--;
    n -= point && s->p[i + n - 1] == '.';
    wn_str_clear(&r->made);
    for (; n > 1 && s->p[i] == '0' && is_digit(s->p[i + 1]); n--)
        i++;
    wn_str_puts(&r->made, minus ? "-" : "");
    wn_str_puts(&r->made, n && s->p[i] == '.' ? "0" : "");
    for (size_t k = i; k < i + n; k++)
        if (s->p[k] != ',')
            wn_str_putc(&r->made, s->p[k]);
    r->err = wn_str_check(&r->made);
    *s = (wn_span){r->made.p, r->made.len};
    return true;
}

static bool first_number(wn_span *s, rule *r)
{
    for (size_t i = 0; i < s->len; i++)
        if (number_length(*s, i))
            return write_number(s, r, i, number_length(*s, i));
    return false;
}

static bool last_number(wn_span *s, rule *r)
{
    size_t from = 0, n = 0;
    for (size_t i = 0, k; i < s->len; i += k ? k : 1) {
        k = number_length(*s, i);
        if (k) {
            from = i;
            n = k;
        }
    }
    return n && write_number(s, r, from, n);
}

static wn_span line_of(wn_span s)
{
    const char *end = s.len ? memchr(s.p, '\n', s.len) : NULL;
    return (wn_span){s.p, end ? (size_t)(end - s.p) : s.len};
}

static bool after(wn_span *s, rule *r)
{
    size_t n = strlen(r->text);
    for (size_t i = 0; i + n <= s->len; i++)
        if (memcmp(s->p + i, r->text, n) == 0) {
            *s = line_of((wn_span){s->p + i + n, s->len - i - n});
            return true;
        }
    return false;
}

static bool line(wn_span *s, rule *r)
{
    (void)r;
    *s = line_of(*s); /* blanks ahead are gone already */
    return s->len > 0;
}

static bool regex(wn_span *s, rule *r)
{
    wn_search search = {0};
    bool found = false;
    size_t start = 0, end = 0;
    r->err = wn_pattern_next(&r->pattern, &r->match, s->p, s->len, &search, &found, &start, &end);
    if (!found)
        return false;
    if (r->pattern.code)
        wn_pattern_group(&r->pattern, &r->match, &start, &end);
    *s = (wn_span){s->p + start, end - start};
    return true;
}

/* ---- chains ---- */

static const struct {
    const char *name; /* with a colon: text follows */
    find_fn find;
    bool answers;
} kinds[] = {{"first-yes-no", yes_no, true}, {"letter", letter, true},
             {"number", last_number, true},  {"first-number", first_number, true},
             {"after:", after, true},        {"line", line, false},
             {"regex:", regex, false}};

static wn_err open_rule(wn_extract *p, rule *r, const char *text)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        size_t n = strlen(kinds[i].name);
        bool takes = kinds[i].name[n - 1] == ':';
        if (takes ? strncmp(text, kinds[i].name, n) != 0 || !text[n]
                  : strcmp(text, kinds[i].name) != 0)
            continue;
        r->find = kinds[i].find;
        r->text = text + n;
        p->letters |= r->find == letter;
        p->answers &= kinds[i].answers;
        if (r->find != regex)
            return WN_OK;
        wn_err e = wn_pattern_regex(&r->pattern, r->text, strlen(r->text), true);
        return e == WN_OK || e == WN_ENOMEM ? e : wn_context(WN_EUSE, "--parse");
    }
    return wn_fail(WN_EUSE,
                   "--parse \"%s\" is unknown: expected first-yes-no, letter, number, "
                   "first-number, after:TEXT, line or regex:EXPR",
                   text);
}

wn_err wn_extract_open(wn_extract **out, const char *const *text, size_t n)
{
    *out = NULL;
    wn_extract *p;
    WN_NEW(p, 1);
    p->answers = n > 0;
    p->rule = wn_calloc(n ? n : 1, sizeof *p->rule);
    wn_err err = p->rule ? WN_OK : WN_ENOMEM;
    for (; err == WN_OK && p->n < n; p->n++)
        err = open_rule(p, &p->rule[p->n], text[p->n]);
    if (err)
        wn_extract_close(p);
    else
        *out = p;
    return err;
}

void wn_extract_close(wn_extract *p)
{
    if (!p)
        return;
    for (size_t i = 0; i < p->n; i++) {
        wn_pattern_free(&p->rule[i].pattern);
        wn_match_free(&p->rule[i].match);
        wn_str_free(&p->rule[i].made);
    }
    wn_free(p->rule);
    wn_free(p);
}

wn_err wn_extract_text(wn_span *out, bool *found, wn_extract *p, wn_span text)
{
    wn_span s = wn_trim(text);
    *found = true;
    for (size_t i = 0; i < p->n && *found; i++) {
        rule *r = &p->rule[i];
        *found = r->find(&s, r);
        WN_TRY(r->err);
        s = wn_trim(s);
    }
    *out = *found ? s : (wn_span){"", 0};
    return WN_OK;
}

bool wn_extract_letters(const wn_extract *p)
{
    return p->letters;
}

bool wn_extract_reads_answers(const wn_extract *p)
{
    return p->answers;
}

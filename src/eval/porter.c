/* Porter, M. 1980, "An algorithm for suffix stripping", Program 14(3), 130-137, in the variant that
 * NLTK has by default: a pool of irregular words, -ies and -ied of four-letter words, y to i only
 * behind a consonant, -alli before -bli, -fulli and -logi, and a two-letter stem "vc" counts as
 * ending in cvc. Each of these changes ROUGE-L of real answers, so the tests hold NLTK's own stems.
 */
#include "eval/porter.h"

#include <stdbool.h>
#include <string.h>

/* A word being stemmed: letters and length. */
struct word {
    char *p;
    size_t len;
};

static bool is_vowel_letter(char c)
{
    return c == 'a' || c == 'e' || c == 'i' || c == 'o' || c == 'u';
}

/* y is a consonant at the beginning and behind a vowel: each y of a run turns the last one round.
 */
static bool is_consonant(const char *p, size_t i)
{
    bool turned = false;
    while (i > 0 && p[i] == 'y') {
        turned = !turned;
        i--;
    }
    return !is_vowel_letter(p[i]) != turned;
}

/* Porter's m: how often a consonant follows a vowel in the first n letters. */
static int measure(const char *p, size_t n)
{
    int m = 0;
    bool before = true;
    for (size_t i = 0; i < n; i++) {
        bool now = p[i] == 'y' ? i == 0 || !before : !is_vowel_letter(p[i]);
        m += now && !before;
        before = now;
    }
    return m;
}

static bool has_vowel(const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!is_consonant(p, i))
            return true;
    return false;
}

static bool ends_double(const struct word *w)
{
    return w->len >= 2 && w->p[w->len - 1] == w->p[w->len - 2] && is_consonant(w->p, w->len - 1);
}

static bool ends_cvc(const char *p, size_t n)
{
    if (n == 2)
        return !is_consonant(p, 0) && is_consonant(p, 1);
    return n >= 3 && is_consonant(p, n - 3) && !is_consonant(p, n - 2) && is_consonant(p, n - 1) &&
           p[n - 1] != 'w' && p[n - 1] != 'x' && p[n - 1] != 'y';
}

static bool ends(const struct word *w, const char *suffix)
{
    size_t n = strlen(suffix);
    return w->len >= n && memcmp(w->p + w->len - n, suffix, n) == 0;
}

static void replace(struct word *w, const char *suffix, const char *with)
{
    w->len -= strlen(suffix);
    memcpy(w->p + w->len, with, strlen(with));
    w->len += strlen(with);
}

struct rule {
    const char *suffix, *with;
};

/* The first rule whose suffix fits decides; it acts if the stem's measure is at least m. */
static void apply(struct word *w, const struct rule *rules, size_t n, int m)
{
    for (size_t i = 0; i < n; i++) {
        if (!ends(w, rules[i].suffix))
            continue;
        size_t stem = w->len - strlen(rules[i].suffix);
        bool fits = measure(w->p, stem) >= m;
        if (strcmp(rules[i].suffix, "ion") == 0)
            fits = fits && (w->p[stem - 1] == 's' || w->p[stem - 1] == 't');
        if (strcmp(rules[i].suffix, "logi") == 0)
            fits = measure(w->p, stem + 1) >= m;
        if (fits)
            replace(w, rules[i].suffix, rules[i].with);
        return;
    }
}

#define COUNT(a) (sizeof(a) / sizeof *(a))

static void step1a(struct word *w)
{
    static const struct rule rules[] = {{"sses", "ss"}, {"ies", "i"}, {"ss", "ss"}, {"s", ""}};
    if (ends(w, "ies") && w->len == 4)
        replace(w, "ies", "ie");
    else
        apply(w, rules, COUNT(rules), 0);
}

static void step1b(struct word *w)
{
    if (ends(w, "ied")) {
        replace(w, "ied", w->len == 4 ? "ie" : "i");
        return;
    }
    if (ends(w, "eed")) {
        if (measure(w->p, w->len - 3) > 0)
            w->len--;
        return;
    }
    size_t cut = ends(w, "ed") ? 2 : ends(w, "ing") ? 3 : 0;
    if (!cut || !has_vowel(w->p, w->len - cut))
        return;
    w->len -= cut;
    char last = w->p[w->len - 1];
    if (ends(w, "at") || ends(w, "bl") || ends(w, "iz"))
        replace(w, "", "e");
    else if (ends_double(w))
        w->len -= last != 'l' && last != 's' && last != 'z';
    else if (measure(w->p, w->len) == 1 && ends_cvc(w->p, w->len))
        replace(w, "", "e");
}

static void step1c(struct word *w)
{
    if (ends(w, "y") && w->len > 2 && is_consonant(w->p, w->len - 2))
        w->p[w->len - 1] = 'i';
}

static void step2(struct word *w)
{
    static const struct rule rules[] = {
        {"ational", "ate"}, {"tional", "tion"}, {"enci", "ence"},   {"anci", "ance"},
        {"izer", "ize"},    {"bli", "ble"},     {"alli", "al"},     {"entli", "ent"},
        {"eli", "e"},       {"ousli", "ous"},   {"ization", "ize"}, {"ation", "ate"},
        {"ator", "ate"},    {"alism", "al"},    {"iveness", "ive"}, {"fulness", "ful"},
        {"ousness", "ous"}, {"aliti", "al"},    {"iviti", "ive"},   {"biliti", "ble"},
        {"fulli", "ful"},   {"logi", "log"},
    };
    while (ends(w, "alli") && measure(w->p, w->len - 4) > 0)
        replace(w, "alli", "al");
    apply(w, rules, COUNT(rules), 1);
}

static void step3(struct word *w)
{
    static const struct rule rules[] = {
        {"icate", "ic"}, {"ative", ""}, {"alize", "al"}, {"iciti", "ic"},
        {"ical", "ic"},  {"ful", ""},   {"ness", ""},
    };
    apply(w, rules, COUNT(rules), 1);
}

static void step4(struct word *w)
{
    static const struct rule rules[] = {
        {"al", ""},   {"ance", ""}, {"ence", ""}, {"er", ""},    {"ic", ""},
        {"able", ""}, {"ible", ""}, {"ant", ""},  {"ement", ""}, {"ment", ""},
        {"ent", ""},  {"ion", ""},  {"ou", ""},   {"ism", ""},   {"ate", ""},
        {"iti", ""},  {"ous", ""},  {"ive", ""},  {"ize", ""},
    };
    apply(w, rules, COUNT(rules), 2);
}

static void step5(struct word *w)
{
    if (ends(w, "e")) {
        int m = measure(w->p, w->len - 1);
        if (m > 1 || (m == 1 && !ends_cvc(w->p, w->len - 1)))
            w->len--;
    }
    if (ends(w, "ll") && measure(w->p, w->len - 1) > 1)
        w->len--;
}

static bool irregular(struct word *w)
{
    static const struct rule pool[] = {
        {"sky", "sky"},         {"skies", "sky"},        {"dying", "die"},
        {"lying", "lie"},       {"tying", "tie"},        {"news", "news"},
        {"innings", "inning"},  {"inning", "inning"},    {"outings", "outing"},
        {"outing", "outing"},   {"cannings", "canning"}, {"canning", "canning"},
        {"howe", "howe"},       {"proceed", "proceed"},  {"exceed", "exceed"},
        {"succeed", "succeed"},
    };
    for (size_t i = 0; i < COUNT(pool); i++)
        if (w->len == strlen(pool[i].suffix) && ends(w, pool[i].suffix)) {
            replace(w, pool[i].suffix, pool[i].with);
            return true;
        }
    return false;
}

size_t wn_porter_stem(char *word, size_t len)
{
    struct word w = {word, len};
    if (len <= 2 || irregular(&w))
        return w.len;
    step1a(&w);
    step1b(&w);
    step1c(&w);
    step2(&w);
    step3(&w);
    step4(&w);
    step5(&w);
    return w.len;
}

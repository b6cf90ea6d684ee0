/* Setting one option from text: strict numbers, choices, ranges, and the guess behind "did you
 * mean". */
#include "cli/opt.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

const wn_opt *wn_opt_find(const wn_opt *table, const char *name, size_t len)
{
    for (const wn_opt *o = table; o->kind != WN_OPT_END; o++)
        if (strlen(o->name) == len && memcmp(o->name, name, len) == 0)
            return o;
    return NULL;
}

bool wn_opt_number(uint64_t *v, const char *text)
{
    if (*text == '\0' || strspn(text, "0123456789") != strlen(text))
        return false;
    errno = 0;
    unsigned long long n = strtoull(text, NULL, 10);
    if (errno != 0)
        return false;
    *v = n;
    return true;
}

bool wn_opt_bytes(uint64_t *v, const char *text)
{
    size_t digits = strspn(text, "0123456789");
    char number[24];
    if (digits == 0 || digits >= sizeof number)
        return false;
    memcpy(number, text, digits);
    number[digits] = '\0';
    uint64_t n;
    if (!wn_opt_number(&n, number))
        return false;
    const char *unit = text + digits, *units = "KMGT";
    int shift = 0;
    const char *u = *unit ? strchr(units, *unit & ~0x20) : NULL;
    if (u != NULL) {
        shift = 10 * (int)(u - units + 1);
        unit++;
        if (*unit == 'i')
            unit++;
    }
    if (*unit == 'B')
        unit++;
    if (*unit != '\0' || (shift > 0 && n > UINT64_MAX >> shift))
        return false;
    *v = n << shift;
    return true;
}

/* Decimal only: strtod alone would also take blanks, "nan", "inf" and hexadecimal. */
bool wn_opt_real(double *v, const char *text)
{
    if (*text == '\0' || strspn(text, "0123456789+-.eE") != strlen(text) || *text == '+')
        return false;
    char *end;
    double x = strtod(text, &end);
    if (*end != '\0' || !isfinite(x))
        return false;
    *v = x;
    return true;
}

static bool is_choice(const char *choices, const char *text)
{
    size_t len = strlen(text);
    for (const char *p = choices;; p++) {
        size_t n = strcspn(p, "|");
        if (n == len && memcmp(p, text, n) == 0)
            return true;
        p += n;
        if (*p == '\0')
            return false;
    }
}

/* "a whole number", "a number above 0", "a size such as 512M or 2G", with the range where there is
 * one. */
static wn_err refuse(const wn_opt *o, const char *text, const char *shown)
{
    if (o->kind == WN_OPT_CHOICE)
        return wn_fail(WN_EARG, "%s: expected %s, found '%s'", shown, o->arg, text);
    if (o->kind == WN_OPT_BYTES)
        return wn_fail(WN_EARG, "%s: expected a size such as 512M or 2G, found '%s'", shown, text);
    const char *what = o->kind == WN_OPT_F64 ? "number" : "whole number";
    bool above = o->min == OPT_ABOVE_0;
    if (o->max < OPT_HUGE)
        return wn_fail(WN_EARG, "%s: expected a %s %s %g up to %g, found '%s'", shown, what,
                       above ? "above" : "from", above ? 0 : o->min, o->max, text);
    return wn_fail(WN_EARG, "%s: expected a %s %s %g, found '%s'", shown, what,
                   above ? "above" : "from", above ? 0 : o->min, text);
}

static wn_err set_whole(const wn_opt *o, void *at, const char *text, const char *shown)
{
    uint64_t v;
    if (!wn_opt_number(&v, text) || (double)v < o->min || (double)v > o->max)
        return refuse(o, text, shown);
    if (o->kind == WN_OPT_SIZE) {
        if (v > SIZE_MAX)
            return refuse(o, text, shown);
        *(size_t *)at = (size_t)v;
    } else if (o->kind == WN_OPT_INT) {
        *(int *)at = (int)v;
    } else {
        *(uint64_t *)at = v;
    }
    return WN_OK;
}

wn_err wn_opt_set(const wn_opt *o, void *opts, const char *text, const char *shown)
{
    void *at = (char *)opts + o->offset;
    switch (o->kind) {
    case WN_OPT_FLAG:
        *(bool *)at = text == NULL || strcmp(text, "yes") == 0;
        return WN_OK;
    case WN_OPT_STR:
        if (*text == '\0')
            return wn_fail(WN_EARG, "%s: expected %s, found nothing", shown, o->arg);
        *(const char **)at = text;
        return WN_OK;
    case WN_OPT_TEXT:
        *(const char **)at = text;
        return WN_OK;
    case WN_OPT_CHOICE:
        if (!is_choice(o->arg, text))
            return refuse(o, text, shown);
        *(const char **)at = text;
        return WN_OK;
    case WN_OPT_BYTES:
        return wn_opt_bytes(at, text) ? WN_OK : refuse(o, text, shown);
    case WN_OPT_F64: {
        double v;
        if (!wn_opt_real(&v, text) || v < o->min || v > o->max)
            return refuse(o, text, shown);
        *(double *)at = v;
        return WN_OK;
    }
    case WN_OPT_LIST: {
        wn_opt_list *l = at;
        if (*text == '\0')
            return wn_fail(WN_EARG, "%s: expected %s, found nothing", shown, o->arg);
        if (!WN_GROW(l->item, l->n, l->cap))
            return WN_ENOMEM;
        l->item[l->n++] = text;
        return WN_OK;
    }
    default:
        return set_whole(o, at, text, shown);
    }
}

void wn_opt_free(const wn_opt *table, void *opts)
{
    for (const wn_opt *o = table; o->kind != WN_OPT_END; o++) {
        if (o->kind == WN_OPT_LIST) {
            wn_opt_list *l = (void *)((char *)opts + o->offset);
            wn_free((void *)l->item);
            *l = (wn_opt_list){0};
        }
    }
}

/* Edit distance (Levenshtein) of short names; anything long counts as far. */
static size_t distance(const char *a, const char *b)
{
    enum { MOST = 40 };
    size_t n = strlen(a), m = strlen(b), row[MOST + 1];
    if (n > MOST || m > MOST)
        return MOST;
    for (size_t j = 0; j <= m; j++)
        row[j] = j;
    for (size_t i = 1; i <= n; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= m; j++) {
            size_t best = diagonal + (a[i - 1] != b[j - 1]);
            diagonal = row[j];
            if (row[j] + 1 < best)
                best = row[j] + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
        }
    }
    return row[m];
}

const char *wn_opt_nearest(const char *name, const char *const *names, size_t n)
{
    const char *best = NULL;
    size_t least = strlen(name) / 3 + 2; /* "modle" is near "model", "xyz" is near nothing */
    for (size_t i = 0; i < n; i++) {
        size_t d = distance(name, names[i]);
        if (d < least) {
            least = d;
            best = names[i];
        }
    }
    return best;
}

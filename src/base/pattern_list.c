#include "base/pattern_list.h"

#include <fnmatch.h>
#include <regex.h>
#include <string.h>

#include "base/mem.h"

struct wn_pattern_item {
    char *text;
    bool wild, is_regex, used;
    regex_t regex;
};

static wn_err add(wn_pattern_list *l, const char *text, size_t len)
{
    struct wn_pattern_item *more = wn_realloc(l->item, (l->n + 1) * sizeof *more);
    if (!more)
        return WN_ENOMEM;
    l->item = more;
    struct wn_pattern_item *one = &more[l->n];
    *one = (struct wn_pattern_item){.text = wn_strndup(text, len)};
    if (!one->text)
        return WN_ENOMEM;
    l->n++;
    one->wild = strpbrk(one->text, "*?[") != NULL;
    return len ? WN_OK
               : wn_fail(WN_EUSE, "%s: expected names by comma, found an empty one", l->option);
}

static wn_err add_regex(wn_pattern_list *l, const char *text)
{
    char why[128];
    WN_TRY(add(l, text, strlen(text)));
    struct wn_pattern_item *one = &l->item[l->n - 1];
    int bad = regcomp(&one->regex, one->text, REG_EXTENDED);
    if (bad) {
        regerror(bad, &one->regex, why, sizeof why);
        return wn_fail(WN_EUSE, "%s: regular expression \"%s\": %s", l->option, text, why);
    }
    one->is_regex = true;
    return WN_OK;
}

static wn_err add_all(wn_pattern_list *l, const char *text)
{
    if (strncmp(text, "re:", 3) == 0)
        return add_regex(l, text + 3);
    for (;; text++) {
        size_t len = strcspn(text, ",");
        WN_TRY(add(l, text, len));
        text += len;
        if (!*text)
            return WN_OK;
    }
}

wn_err wn_patterns_open(wn_pattern_list *l, const char *option, const char *text, bool inside)
{
    *l = (wn_pattern_list){.option = option, .inside = inside};
    wn_err e = add_all(l, text);
    if (e)
        wn_patterns_close(l);
    return e;
}

void wn_patterns_close(wn_pattern_list *l)
{
    for (size_t i = 0; i < l->n; i++) {
        if (l->item[i].is_regex)
            regfree(&l->item[i].regex);
        wn_free(l->item[i].text);
    }
    wn_free(l->item);
    *l = (wn_pattern_list){0};
}

static bool fits_at(const struct wn_pattern_item *p, const char *name, bool inside)
{
    size_t n = strlen(p->text);
    if (p->wild)
        return fnmatch(p->text, name, 0) == 0;
    return strncmp(name, p->text, n) == 0 && (name[n] == '\0' || (inside && name[n] == '.'));
}

static bool fits(const struct wn_pattern_item *p, const char *name, bool inside)
{
    if (p->is_regex) {
        regmatch_t m;
        return regexec(&p->regex, name, 1, &m, 0) == 0 && m.rm_so == 0 &&
               (size_t)m.rm_eo == strlen(name);
    }
    for (const char *at = name; at; at = strchr(at, '.') ? strchr(at, '.') + 1 : NULL)
        if (fits_at(p, at, inside))
            return true;
    return false;
}

bool wn_patterns_match(wn_pattern_list *l, const char *name)
{
    bool any = false;
    for (size_t i = 0; i < l->n; i++)
        if (fits(&l->item[i], name, l->inside))
            any = l->item[i].used = true;
    return any;
}

const char *wn_patterns_unused(const wn_pattern_list *l)
{
    for (size_t i = 0; i < l->n; i++)
        if (!l->item[i].used)
            return l->item[i].text;
    return NULL;
}

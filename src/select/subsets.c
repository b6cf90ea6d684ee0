/* Subsets of groups: read from a file, or drawn. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "io/file.h"
#include "select/groups.h"

uint8_t *wn_subsets_add(wn_subsets *s, uint32_t T)
{
    if (!wn_grow((void **)&s->member, s->M, &s->cap, T))
        return NULL;
    s->T = T;
    return memset(s->member + s->M++ * T, 0, T);
}

void wn_subsets_free(wn_subsets *s)
{
    wn_free(s->member);
    *s = (wn_subsets){0};
}

/* ---- a file ---- */

static wn_err take(uint8_t *member, const wn_groups *g, const char *name, size_t len,
                   const char *where)
{
    uint32_t t = wn_groups_find(g, name, len);
    if (t == UINT32_MAX)
        return wn_fail(WN_EARG, "%s: no group \"%.*s\" in the store (it has %u: %s, ...)", where,
                       (int)(len < 200 ? len : 200), name, g->T, g->name[0]);
    if (member[t])
        return wn_fail(WN_EARG, "%s: the group \"%s\" is there twice", where, g->name[t]);
    member[t] = 1;
    return WN_OK;
}

static wn_err take_json(uint8_t *member, const wn_groups *g, wn_span line, const char *where)
{
    json_t *v, *name;
    size_t i;
    WN_TRY(wn_json_parse(&v, line.p, line.len, where));
    json_t *list = json_is_object(v) ? json_object_get(v, "subset") : v;
    wn_err err = json_is_array(list)
                     ? WN_OK
                     : wn_fail(WN_EFORMAT,
                               "%s: expected an array of names, or an object with one "
                               "as \"subset\"",
                               where);
    json_array_foreach(list, i, name)
    {
        if (err == WN_OK && !json_is_string(name))
            err = wn_fail(WN_EFORMAT, "%s: expected names as strings", where);
        if (err == WN_OK)
            err = take(member, g, json_string_value(name), json_string_length(name), where);
    }
    json_decref(v);
    return err;
}

static bool blank(char c)
{
    return c == ' ' || c == '\t';
}

static wn_span trim(wn_span s)
{
    while (s.len && blank(s.p[0]))
        s.p++, s.len--;
    while (s.len && blank(s.p[s.len - 1]))
        s.len--;
    return s;
}

static wn_err take_names(uint8_t *member, const wn_groups *g, wn_span line, const char *where)
{
    if (wn_groups_find(g, line.p, line.len) != UINT32_MAX)
        return take(member, g, line.p, line.len, where);
    char by = memchr(line.p, '\t', line.len) ? '\t' : memchr(line.p, ',', line.len) ? ',' : ' ';
    for (size_t at = 0; at < line.len;) {
        const char *end = memchr(line.p + at, by, line.len - at);
        size_t n = end ? (size_t)(end - line.p) - at : line.len - at;
        wn_span name = trim((wn_span){line.p + at, n});
        if (name.len)
            WN_TRY(take(member, g, name.p, name.len, where));
        at += n + 1;
    }
    return WN_OK;
}

wn_err wn_subsets_read(wn_subsets *s, const wn_groups *g, const char *path)
{
    wn_lines *lines;
    wn_span line;
    wn_err err = WN_OK;
    WN_TRY(wn_lines_open(&lines, path));
    wn_lines_drop_mark(lines);
    while (err == WN_OK && wn_lines_next(lines, &line, &err)) {
        char where[512];
        snprintf(where, sizeof where, "%s:%llu", path, (unsigned long long)wn_lines_number(lines));
        line = trim(line);
        if (!line.len)
            continue;
        uint8_t *member = wn_subsets_add(s, g->T);
        if (!member)
            err = WN_ENOMEM;
        else if (line.p[0] == '[' || line.p[0] == '{')
            err = take_json(member, g, line, where);
        else
            err = take_names(member, g, line, where);
    }
    wn_lines_close(lines);
    if (err == WN_OK && !s->M)
        err = wn_fail(WN_EARG, "%s: expected a line of names a subset, found none", path);
    return err;
}

/* ---- draws ---- */

wn_err wn_subsets_draw(wn_subsets *s, const wn_groups *g, size_t M, double share, uint64_t seed,
                       uint64_t first)
{
    uint64_t *order;
    size_t size = (size_t)floor(share * g->T + 1e-9);
    size = size < 1 ? 1 : size > g->T ? g->T : size;
    WN_NEW(order, g->T);
    wn_err err = WN_OK;
    for (size_t m = 0; m < M && err == WN_OK; m++) {
        wn_rng rng = {seed, WN_STREAM_SUBSETS, (first + m) << 24};
        uint8_t *member = wn_subsets_add(s, g->T);
        err = member ? WN_OK : WN_ENOMEM;
        for (uint32_t t = 0; t < g->T; t++)
            order[t] = t;
        for (size_t i = 0; i < size && err == WN_OK; i++) { /* the front of a shuffle */
            size_t j = i + (size_t)wn_rng_below(&rng, g->T - i);
            uint64_t t = order[j];
            order[j] = order[i];
            order[i] = t;
            member[t] = 1;
        }
    }
    wn_free(order);
    return err;
}

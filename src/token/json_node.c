#include "token/json_node.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

wn_err wn_node_refuse(const wn_tokenizer *t, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    return wn_fail(WN_EFORMAT, "%s: %s", t->path, text);
}

wn_err wn_node_check(const wn_tokenizer *t, const json_t *node, const char *what,
                     const char *allowed)
{
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)node, key, v)
    {
        size_t n = strlen(key);
        const char *at = allowed;
        bool known = !strcmp(key, "type");
        while (!known && n && (at = strstr(at, key))) {
            known = (at == allowed || at[-1] == ' ') && (at[n] == ' ' || !at[n]);
            at += n;
        }
        if (!known)
            return wn_node_refuse(t, "%s has the unknown option '%.64s'", what, key);
    }
    return WN_OK;
}

wn_err wn_node_bool(const wn_tokenizer *t, const json_t *node, const char *what, const char *key,
                    bool absent, bool *out)
{
    const json_t *v = json_object_get(node, key);
    *out = absent;
    if (!v || json_is_null(v))
        return WN_OK;
    if (!json_is_boolean(v))
        return wn_node_refuse(t, "%s.%s: expected true or false", what, key);
    *out = json_is_true(v);
    return WN_OK;
}

wn_err wn_node_text(const wn_tokenizer *t, const json_t *node, const char *what, const char *key,
                    bool required, wn_str *out)
{
    const json_t *v = json_object_get(node, key);
    if ((!v || json_is_null(v)) && !required)
        return WN_OK;
    if (!json_is_string(v))
        return wn_node_refuse(t, "%s.%s: expected a string", what, key);
    wn_str_add(out, json_string_value(v), json_string_length(v));
    return wn_str_check(out);
}

wn_err wn_node_char(const wn_tokenizer *t, const json_t *node, const char *what, const char *key,
                    uint32_t *out)
{
    const json_t *v = json_object_get(node, key);
    size_t n = 0;
    const char *s = json_is_string(v) ? json_string_value(v) : "";
    if (*s)
        *out = wn_utf8_get(s, &n);
    if (!n || n != json_string_length(v))
        return wn_node_refuse(t, "%s.%s: expected one character", what, key);
    return WN_OK;
}

wn_err wn_node_size(const wn_tokenizer *t, const json_t *node, const char *what, const char *key,
                    size_t absent, size_t *out)
{
    const json_t *v = json_object_get(node, key);
    *out = absent;
    if (!v)
        return WN_OK;
    if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > INT32_MAX)
        return wn_node_refuse(t, "%s.%s: expected a count", what, key);
    *out = (size_t)json_integer_value(v);
    return WN_OK;
}

#include "report/section.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* ---- paths ---- */

/* ${NAME} from the environment; a name that is not set is an error. */
static wn_err expand(wn_str *out, const char *text, const char *where, const char *key)
{
    while (*text) {
        const char *open = strstr(text, "${"), *close = open ? strchr(open, '}') : NULL;
        if (!close) {
            wn_str_puts(out, text);
            break;
        }
        wn_str_add(out, text, (size_t)(open - text));
        char *name = wn_strndup(open + 2, (size_t)(close - open - 2));
        if (!name)
            return WN_ENOMEM;
        const char *value = getenv(name);
        wn_err err = value ? WN_OK
                           : wn_fail(WN_EARG, "%s: %s: the environment has no %s; expected a path",
                                     where, key, name);
        wn_free(name);
        WN_TRY(err);
        wn_str_puts(out, value);
        text = close + 1;
    }
    return wn_str_check(out);
}

static wn_err name_unset(json_t *string)
{
    wn_str out = {0};
    bool any = false;
    for (const char *text = json_string_value(string); *text;) {
        const char *open = strstr(text, "${"), *close = open ? strchr(open, '}') : NULL;
        if (!close) {
            wn_str_puts(&out, text);
            break;
        }
        char *name = wn_strndup(open + 2, (size_t)(close - open - 2));
        bool set = name && getenv(name);
        wn_str_add(&out, text, (size_t)((set ? close + 1 : open) - text));
        if (!set)
            wn_str_printf(&out, "<%s>", name ? name : "");
        any = any || !set;
        wn_free(name);
        text = close + 1;
    }
    wn_err err = any ? wn_str_check(&out) : WN_OK;
    if (err == WN_OK && any && json_string_setn(string, out.p, out.len) != 0)
        err = wn_fail_nomem(64, "recipe");
    wn_str_free(&out);
    return err;
}

wn_err wn_section_name_unset(json_t *tree)
{
    const char *key;
    json_t *v;
    if (json_is_string(tree))
        return name_unset(tree);
    json_object_foreach(tree, key, v) WN_TRY(wn_section_name_unset(v));
    for (size_t i = 0; json_is_array(tree) && i < json_array_size(tree); i++)
        WN_TRY(wn_section_name_unset(json_array_get(tree, i)));
    return WN_OK;
}

static bool looks_like_path(const char *s)
{
    const char *dot = strrchr(s, '.');
    return strchr(s, '/') || strchr(s, '$') ||
           (dot && (strcmp(dot, ".yaml") == 0 || strcmp(dot, ".yml") == 0));
}

/* Replaces the string of the tree by the path it means. */
wn_err wn_section_path(json_t *string, const char *recipe, const char *key)
{
    wn_str text = {0}, full = {0};
    wn_err err = expand(&text, json_string_value(string), recipe, key);
    if (err == WN_OK && text.len == 0)
        err = wn_fail(WN_EARG, "%s: %s: expected a path, found none", recipe, key);
    if (err == WN_OK) {
        const char *slash = strrchr(recipe, '/');
        if (text.p[0] != '/' && slash)
            wn_str_add(&full, recipe, (size_t)(slash - recipe) + 1);
        wn_str_puts(&full, text.p);
        err = wn_str_check(&full);
    }
    if (err == WN_OK && json_string_setn(string, full.p, full.len) != 0)
        err = wn_fail(WN_EARG, "%s: %s: the path is not UTF-8", recipe, key);
    wn_str_free(&text);
    wn_str_free(&full);
    return err;
}

/* ---- tables ---- */

static wn_err check_keys(const json_t *o, const wn_field *fields, const char *where)
{
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)o, key, value)
    {
        const wn_field *f = fields;
        while (f->key && strcmp(f->key, key) != 0)
            f++;
        if (f->key)
            continue;
        wn_str known = {0};
        for (f = fields; f->key; f++)
            wn_str_printf(&known, "%s%s", f == fields ? "" : ", ", f->key);
        wn_err err = wn_str_check(&known);
        if (err == WN_OK)
            err = wn_fail(WN_EARG, "%s: unknown key \"%s\"; known are %s", where, key, known.p);
        wn_str_free(&known);
        return err;
    }
    return WN_OK;
}

static wn_err wrong(const char *where, const char *key, const char *expected)
{
    return wn_fail(WN_EARG, "%s: %s: expected %s", where, key, expected);
}

/* YAML 1.2 reads yes and no as texts, true and false as truth values; people write either. -1:
 * neither. */
int wn_yaml_truth(const json_t *v)
{
    const char *s = json_string_value(v);
    if (json_is_boolean(v))
        return json_is_true(v);
    return !s ? -1 : strcmp(s, "yes") == 0 ? 1 : strcmp(s, "no") == 0 ? 0 : -1;
}

static wn_err read_text(void *to, json_t *o, json_t *v, const wn_field *f, const char *recipe,
                        const char *where)
{
    if (f->kind == WN_KEY_YES_NO && wn_yaml_truth(v) >= 0) {
        json_object_set_new(o, f->key, json_string(wn_yaml_truth(v) ? "yes" : "no"));
    } else if (f->kind == WN_KEY_COUNT_TEXT && json_is_number(v)) {
        char number[32];
        snprintf(number, sizeof number, "%.15g", json_number_value(v));
        json_object_set_new(o, f->key, json_string(number));
    } else if (!json_is_string(v) || f->kind == WN_KEY_YES_NO) {
        return wrong(where, f->key, f->kind == WN_KEY_YES_NO ? "yes or no" : "a text");
    }
    v = json_object_get(o, f->key);
    if (!v)
        return WN_ENOMEM;
    if (strlen(json_string_value(v)) != json_string_length(v))
        return wrong(where, f->key, "a text without zero bytes");
    if (f->kind == WN_KEY_PATH ||
        (f->kind == WN_KEY_NAME_OR_PATH && looks_like_path(json_string_value(v))))
        WN_TRY(wn_section_path(v, recipe, f->key));
    *(const char **)to = json_string_value(v);
    return WN_OK;
}

static wn_err read_number(void *to, const json_t *v, const wn_field *f, const char *where)
{
    if (f->kind == WN_KEY_REAL) {
        if (!json_is_number(v) || json_number_value(v) < 0)
            return wrong(where, f->key, "a number that is not negative");
        *(double *)to = json_number_value(v);
        return WN_OK;
    }
    if (!json_is_integer(v) || json_integer_value(v) < 0 ||
        (f->kind == WN_KEY_NUMBER && json_integer_value(v) > 1000000))
        return wrong(where, f->key, "a whole number that is not negative");
    if (f->kind == WN_KEY_WHOLE)
        *(uint64_t *)to = (uint64_t)json_integer_value(v);
    else if (f->kind == WN_KEY_SIZE)
        *(size_t *)to = (size_t)json_integer_value(v);
    else
        *(int *)to = (int)json_integer_value(v);
    return WN_OK;
}

/* o: the section, NULL where the recipe has none; a null member counts as absent. */
wn_err wn_section_read(void *base, json_t *o, const wn_field *fields, const char *recipe,
                       const char *where)
{
    if (o && !json_is_object(o))
        return wn_fail(WN_EARG, "%s: expected a mapping", where);
    if (o)
        WN_TRY(check_keys(o, fields, where));
    for (const wn_field *f = fields; f->key; f++) {
        json_t *v = json_object_get(o, f->key);
        void *to = (char *)base + f->offset;
        if (!v || json_is_null(v)) {
            if (f->required)
                return wn_fail(WN_EARG, "%s: missing key \"%s\"", where, f->key);
            continue;
        }
        if (f->kind == WN_KEY_FLAG) {
            if (wn_yaml_truth(v) < 0)
                return wrong(where, f->key, "yes or no");
            *(bool *)to = wn_yaml_truth(v);
        } else if (f->kind == WN_KEY_REAL || f->kind == WN_KEY_WHOLE || f->kind == WN_KEY_SIZE ||
                   f->kind == WN_KEY_NUMBER) {
            WN_TRY(read_number(to, v, f, where));
        } else if (f->kind != WN_KEY_OTHER) {
            WN_TRY(read_text(to, o, v, f, recipe, where));
        }
    }
    return WN_OK;
}

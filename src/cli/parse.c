/* argv and --config to options. Config first, then flags, so that flags win; a list that flags
 * touch starts anew. Options may stand before, between and after the positional words; "--" ends
 * them. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "cli/cli.h"
#include "io/json.h"

const wn_opt wn_shared_opts[] = {
    OPT_STR(wn_shared, out, "out", "PATH", NULL, "what to write; - is standard output"),
    OPT_INT(wn_shared, threads, "threads", 0, 4096, "all cores",
            "threads to use; no result depends on it"),
    OPT_U64(wn_shared, seed, "seed", 0, "0", "number that all random draws follow from"),
    OPT_CHOICE(wn_shared, precision, "precision", "auto|f32|bf16|int8", "auto",
               "of matrix products; auto: bf16 where the processor is fast at it, else f32"),
    OPT_BYTES(wn_shared, max_memory, "max-memory", "no limit",
              "refuse rather than allocate more; mapped files do not count"),
    OPT_FLAG(wn_shared, json, "json", "one JSON document on standard output"),
    OPT_FLAG(wn_shared, quiet, "quiet", "no progress, no notes"),
    OPT_FLAG(wn_shared, overwrite, "overwrite", "replace a finished --out"),
    OPT_STR(wn_shared, config, "config", "FILE.yaml", NULL,
            "options as `name: value`; what the command line says wins"),
    OPT_FLAG(wn_shared, help, "help", "this text; also -h"),
    OPT_END};

/* What the first walk over argv obeys at once, and what a config file may not hold. */
static bool is_early(const wn_opt *o)
{
    return strcmp(o->name, "config") == 0 || strcmp(o->name, "help") == 0;
}

typedef struct parser {
    const wn_command *cmd;
    wn_shared *shared;
    void *opts;
} parser;

static const wn_opt *find(const parser *p, const char *name, size_t len, void **base)
{
    const wn_opt *o = wn_opt_find(p->cmd->opts, name, len);
    *base = p->opts;
    if (o == NULL) {
        o = wn_opt_find(wn_shared_opts, name, len);
        *base = p->shared;
    }
    return o;
}

static wn_err unknown(const parser *p, const char *name, const char *before)
{
    enum { MOST = 64 };
    const char *names[MOST];
    size_t n = 0;
    for (const wn_opt *o = p->cmd->opts; o->kind != WN_OPT_END && n < MOST; o++)
        names[n++] = o->name;
    for (const wn_opt *o = wn_shared_opts; o->kind != WN_OPT_END && n < MOST; o++)
        names[n++] = o->name;
    const char *near = wn_opt_nearest(name, names, n);
    const char *dashes = before[0] == '-' ? "--" : "";
    if (near != NULL)
        return wn_fail(WN_EARG, "unknown option %s%s; did you mean %s%s?", before, name, dashes,
                       near);
    return wn_fail(WN_EARG, "unknown option %s%s", before, name);
}

/* ---- --config ---- */

static wn_err keep(wn_config *c, const char *text, const char **kept)
{
    if (!WN_GROW(c->item, c->n, c->cap))
        return WN_ENOMEM;
    char *copy = wn_strdup(text);
    if (copy == NULL)
        return WN_ENOMEM;
    c->item[c->n++] = copy;
    *kept = copy;
    return WN_OK;
}

void wn_config_free(wn_config *c)
{
    for (size_t i = 0; i < c->n; i++)
        wn_free(c->item[i]);
    wn_free(c->item);
    *c = (wn_config){0};
}

/* A YAML scalar back to the text a flag would have. */
static wn_err scalar_text(wn_config *c, const json_t *v, const char *shown, const char **text)
{
    char number[40];
    switch (json_typeof(v)) {
    case JSON_STRING:
        if (json_string_length(v) != strlen(json_string_value(v)))
            return wn_fail(WN_EARG, "%s: expected text, found a NUL in it", shown);
        return keep(c, json_string_value(v), text);
    case JSON_INTEGER:
        snprintf(number, sizeof number, "%" JSON_INTEGER_FORMAT, json_integer_value(v));
        return keep(c, number, text);
    case JSON_REAL:
        snprintf(number, sizeof number, "%.17g", json_real_value(v));
        return keep(c, number, text);
    case JSON_TRUE:
        return keep(c, "yes", text);
    case JSON_FALSE:
        return keep(c, "no", text);
    default:
        return wn_fail(WN_EARG, "%s: expected one value, found %s", shown,
                       json_is_null(v) ? "nothing" : "a structure");
    }
}

static wn_err config_value(const wn_opt *o, void *base, const json_t *v, const char *shown,
                           wn_config *c)
{
    const char *text = NULL;
    if (o->kind == WN_OPT_LIST && json_is_array(v)) {
        for (size_t i = 0; i < json_array_size(v); i++) {
            WN_TRY(scalar_text(c, json_array_get(v, i), shown, &text));
            WN_TRY(wn_opt_set(o, base, text, shown));
        }
        return WN_OK;
    }
    WN_TRY(scalar_text(c, v, shown, &text));
    if (o->kind == WN_OPT_FLAG && strcmp(text, "yes") != 0 && strcmp(text, "no") != 0)
        return wn_fail(WN_EARG, "%s: expected yes or no, found '%s'", shown, text);
    return wn_opt_set(o, base, text, shown);
}

static wn_err config_members(const parser *p, const char *path, json_t *doc, wn_config *c)
{
    if (json_is_null(doc))
        return WN_OK;
    if (!json_is_object(doc))
        return wn_fail(WN_EARG, "%s: expected options as `name: value`", path);
    const char *key;
    json_t *v;
    wn_str shown = {0};
    wn_err err = WN_OK;
    json_object_foreach(doc, key, v)
    {
        void *base;
        const wn_opt *o = find(p, key, strlen(key), &base);
        wn_str_clear(&shown);
        wn_str_printf(&shown, "%s: %s", path, key);
        if ((err = wn_str_check(&shown)) != WN_OK)
            break;
        if (o != NULL && is_early(o))
            err = wn_fail(WN_EARG, "%s cannot stand in a config file", shown.p);
        else
            err = o != NULL ? config_value(o, base, v, shown.p, c)
                            : wn_context(unknown(p, key, ""), "%s", path);
        if (err != WN_OK)
            break;
    }
    wn_str_free(&shown);
    return err;
}

static wn_err read_config(const parser *p, const char *path, wn_config *c)
{
    json_t *doc = NULL;
    WN_TRY(wn_yaml_load(&doc, path));
    wn_err err = config_members(p, path, doc, c);
    json_decref(doc);
    return err;
}

/* ---- argv ---- */

/* One word that starts with "--", and its value, which may be the next word. */
static wn_err flag(const parser *p, int argc, char **argv, int *i, bool apply)
{
    const char *name = argv[*i] + 2, *equals = strchr(name, '=');
    size_t len = equals ? (size_t)(equals - name) : strlen(name);
    void *base;
    const wn_opt *o = find(p, name, len, &base);
    char shown[64];
    snprintf(shown, sizeof shown, "--%.*s", (int)(len < 60 ? len : 60), name);
    if (o == NULL)
        return unknown(p, shown + 2, "--");
    const char *value = equals ? equals + 1 : NULL;
    if (o->kind == WN_OPT_FLAG && value != NULL)
        return wn_fail(WN_EARG, "%s takes no value, found '%s'", shown, value);
    if (o->kind != WN_OPT_FLAG && value == NULL) {
        if (*i + 1 >= argc)
            return wn_fail(WN_EARG, "%s: expected %s, found nothing", shown, o->arg);
        value = argv[++*i];
    }
    if (apply || is_early(o))
        return wn_opt_set(o, base, value, shown);
    return WN_OK;
}

/* Twice over argv: first only checks names and finds --config and -h, then applies. */
static wn_err walk(const parser *p, int argc, char **argv, bool apply, size_t *n_args)
{
    bool ended = false;
    *n_args = 0;
    for (int i = 0; i < argc; i++) {
        char *word = argv[i];
        if (ended || word[0] != '-' || word[1] == '\0') {
            if (apply)
                argv[*n_args] = word;
            ++*n_args;
        } else if (strcmp(word, "--") == 0) {
            ended = true;
        } else if (strcmp(word, "-h") == 0) {
            p->shared->help = true;
        } else if (word[1] == '-') {
            WN_TRY(flag(p, argc, argv, &i, apply));
        } else {
            return wn_fail(WN_EARG, "unknown option %s", word);
        }
    }
    return WN_OK;
}

/* Lists that the command line gives replace the config's. */
static void clear_lists(const parser *p, int argc, char **argv)
{
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++) {
        size_t len = strncmp(argv[i], "--", 2) == 0 ? strcspn(argv[i] + 2, "=") : 0;
        const wn_opt *o = len > 0 ? wn_opt_find(p->cmd->opts, argv[i] + 2, len) : NULL;
        if (o != NULL && o->kind == WN_OPT_LIST)
            ((wn_opt_list *)(void *)((char *)p->opts + o->offset))->n = 0;
    }
}

static wn_err check_needs(const parser *p, size_t n_args)
{
    const wn_command *cmd = p->cmd;
    if (n_args < cmd->min_args)
        return wn_fail(WN_EARG, "expected %s, found %zu argument%s", cmd->args, n_args,
                       n_args == 1 ? "" : "s");
    for (const wn_opt *o = cmd->opts; o->kind != WN_OPT_END; o++)
        if (o->required && *(const char **)(void *)((char *)p->opts + o->offset) == NULL)
            return wn_fail(WN_EARG, "--%s %s is required", o->name, o->arg);
    bool named = p->shared->out != NULL && strcmp(p->shared->out, "-") != 0;
    if (cmd->out == WN_OUT_FOLDER && !named)
        return wn_fail(WN_EARG, "--out PATH is required");
    return WN_OK;
}

wn_err wn_parse(const wn_command *cmd, wn_shared *shared, void *opts, int argc, char **argv,
                size_t *n_args, wn_config *config)
{
    parser p = {cmd, shared, opts};
    WN_TRY(walk(&p, argc, argv, false, n_args));
    if (shared->help)
        return WN_OK;
    if (shared->config != NULL) {
        WN_TRY(read_config(&p, shared->config, config));
        clear_lists(&p, argc, argv);
    }
    size_t found = *n_args;
    WN_TRY(walk(&p, argc, argv, true, n_args));
    if (found > cmd->max_args)
        return wn_fail(WN_EARG, "unexpected argument '%s'", argv[cmd->max_args]);
    return check_needs(&p, *n_args);
}

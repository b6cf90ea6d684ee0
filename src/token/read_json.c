/* Reads tokenizer.json. Each section is a tree of typed nodes; Sequences are flattened into the
 * pipeline's arrays. A node type, an option or a value that is not known is refused by name, since
 * ignoring it would give other ids. `truncation`, `padding` and offsets do not concern us. */
#include <string.h>

#include "base/mem.h"
#include "token/json_node.h"

typedef wn_err (*node_fn)(wn_tokenizer *t, const json_t *node, const char *type);

/* {"String": "..."} or {"Regex": "..."}. */
static wn_err get_pattern(const wn_tokenizer *t, const json_t *node, const char *what,
                          wn_pattern *out)
{
    const json_t *p = json_object_get(node, "pattern");
    const json_t *s = json_object_get(p, "String"), *r = json_object_get(p, "Regex");
    const json_t *v = s ? s : r;
    if (!json_is_string(v))
        return wn_node_refuse(t, "%s.pattern: expected {\"String\": ...} or {\"Regex\": ...}",
                              what);
    const char *text = json_string_value(v);
    size_t len = json_string_length(v);
    wn_err err = s ? wn_pattern_literal(out, text, len) : wn_pattern_regex(out, text, len, false);
    return wn_context(err, "%s: %s", t->path, what);
}

/* Calls fn for the node, or for each of a Sequence's. */
static wn_err each_node(wn_tokenizer *t, const json_t *node, const char *section, const char *list,
                        node_fn fn)
{
    if (!node || json_is_null(node))
        return WN_OK;
    const char *type = json_string_value(json_object_get(node, "type"));
    if (!type)
        return wn_node_refuse(t, "%s: expected an object with a type", section);
    if (strcmp(type, "Sequence"))
        return wn_context(fn(t, node, type), "%s", section);
    const json_t *a = json_object_get(node, list);
    if (!json_is_array(a))
        return wn_node_refuse(t, "%s: Sequence without the array '%s'", section, list);
    for (size_t i = 0; i < json_array_size(a); i++)
        WN_TRY(each_node(t, json_array_get(a, i), section, list, fn));
    return WN_OK;
}

/* ---- normalisers ----------------------------------------------------------------------- */

static wn_err fill_precompiled(const wn_tokenizer *t, const json_t *node, wn_norm *n)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const json_t *v = json_object_get(node, "precompiled_charsmap");
    if (!json_is_string(v))
        return wn_node_refuse(t, "Precompiled.precompiled_charsmap: expected a string");
    const char *s = json_string_value(v);
    wn_str bytes = {0};
    uint32_t bits = 0;
    int have = 0;
    for (; *s && *s != '='; s++) {
        const char *d = strchr(digits, *s);
        if (!d) {
            wn_str_free(&bytes);
            return wn_node_refuse(t, "Precompiled.precompiled_charsmap: not base64");
        }
        bits = bits << 6 | (uint32_t)(d - digits);
        have += 6;
        if (have >= 8) {
            have -= 8;
            wn_str_putc(&bytes, (char)(bits >> have & 0xff));
        }
    }
    wn_err err = wn_str_check(&bytes);
    if (!err)
        err = wn_context(wn_charsmap_read(&n->map, bytes.p, bytes.len), "%s", t->path);
    wn_str_free(&bytes);
    return err;
}

static wn_err fill_bert(const wn_tokenizer *t, const json_t *node, wn_norm *n)
{
    WN_TRY(wn_node_check(t, node, "BertNormalizer",
                         "clean_text handle_chinese_chars strip_accents lowercase"));
    WN_TRY(wn_node_bool(t, node, "BertNormalizer", "clean_text", true, &n->clean));
    WN_TRY(wn_node_bool(t, node, "BertNormalizer", "handle_chinese_chars", true, &n->chinese));
    WN_TRY(wn_node_bool(t, node, "BertNormalizer", "lowercase", true, &n->lower));
    return wn_node_bool(t, node, "BertNormalizer", "strip_accents", n->lower, &n->accents);
}

static wn_err fill_norm(const wn_tokenizer *t, const json_t *node, const char *type, wn_norm *n)
{
    static const struct {
        const char *type;
        wn_norm_kind kind;
        enum wn_form form;
    } plain[] = {
        {"NFC", WN_NORM_FORM, WN_NFC},   {"NFD", WN_NORM_FORM, WN_NFD},
        {"NFKC", WN_NORM_FORM, WN_NFKC}, {"NFKD", WN_NORM_FORM, WN_NFKD},
        {"Lowercase", WN_NORM_LOWER, 0}, {"StripAccents", WN_NORM_STRIP_ACCENTS, 0},
        {"Nmt", WN_NORM_NMT, 0},         {"ByteLevel", WN_NORM_BYTES, 0},
    };
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
        if (!strcmp(type, plain[i].type)) {
            n->kind = plain[i].kind;
            n->form = plain[i].form;
            return wn_node_check(t, node, type, "");
        }
    }
    if (!strcmp(type, "BertNormalizer")) {
        n->kind = WN_NORM_BERT;
        return fill_bert(t, node, n);
    }
    if (!strcmp(type, "Strip")) {
        n->kind = WN_NORM_STRIP;
        WN_TRY(wn_node_check(t, node, type, "strip_left strip_right"));
        WN_TRY(wn_node_bool(t, node, type, "strip_left", false, &n->left));
        return wn_node_bool(t, node, type, "strip_right", false, &n->right);
    }
    if (!strcmp(type, "Replace")) {
        n->kind = WN_NORM_REPLACE;
        WN_TRY(wn_node_check(t, node, type, "pattern content"));
        WN_TRY(wn_node_text(t, node, type, "content", true, &n->content));
        return get_pattern(t, node, type, &n->pattern);
    }
    if (!strcmp(type, "Prepend")) {
        n->kind = WN_NORM_PREPEND;
        WN_TRY(wn_node_check(t, node, type, "prepend"));
        return wn_node_text(t, node, type, "prepend", true, &n->content);
    }
    if (!strcmp(type, "Precompiled")) {
        n->kind = WN_NORM_PRECOMPILED;
        WN_TRY(wn_node_check(t, node, type, "precompiled_charsmap"));
        return fill_precompiled(t, node, n);
    }
    return wn_node_refuse(t, "the type '%.64s' is not supported", type);
}

static wn_err read_norm(wn_tokenizer *t, const json_t *node, const char *type)
{
    if (t->n_norm == t->norm_cap && !WN_GROW(t->norm, t->n_norm, t->norm_cap))
        return WN_ENOMEM;
    wn_norm *n = &t->norm[t->n_norm++];
    *n = (wn_norm){0};
    return fill_norm(t, node, type, n);
}

/* ---- pre-tokenisers -------------------------------------------------------------------- */

static wn_err get_behavior(const wn_tokenizer *t, const json_t *node, const char *what,
                           wn_behavior *out)
{
    static const char *const names[] = {"Removed", "Isolated", "MergedWithPrevious",
                                        "MergedWithNext", "Contiguous"};
    const json_t *v = json_object_get(node, "behavior");
    for (size_t i = 0; json_is_string(v) && i < sizeof names / sizeof *names; i++) {
        if (!strcmp(json_string_value(v), names[i])) {
            *out = (wn_behavior)i;
            return WN_OK;
        }
    }
    if (!v && !strcmp(what, "Punctuation"))
        return WN_OK;
    return wn_node_refuse(
        t,
        "%s.behavior: expected Removed, Isolated, MergedWithPrevious, MergedWithNext or "
        "Contiguous",
        what);
}

static wn_err fill_metaspace(const wn_tokenizer *t, const json_t *node, const char *type,
                             enum wn_prepend *prepend, bool *split, uint32_t *character)
{
    bool add;
    const json_t *v = json_object_get(node, "prepend_scheme");
    const char *scheme = v ? json_string_value(v) : "always";
    WN_TRY(
        wn_node_check(t, node, type, "replacement add_prefix_space prepend_scheme split str_rep"));
    WN_TRY(wn_node_char(t, node, type, "replacement", character));
    WN_TRY(wn_node_bool(t, node, type, "split", true, split));
    WN_TRY(wn_node_bool(t, node, type, "add_prefix_space", true, &add));
    if (scheme && !strcmp(scheme, "always"))
        *prepend = WN_PREPEND_ALWAYS;
    else if (scheme && !strcmp(scheme, "first"))
        *prepend = WN_PREPEND_FIRST;
    else if (scheme && !strcmp(scheme, "never"))
        *prepend = WN_PREPEND_NEVER;
    else
        return wn_node_refuse(t, "%s.prepend_scheme: expected always, first or never", type);
    if (!add && v && *prepend != WN_PREPEND_NEVER)
        return wn_node_refuse(t, "%s: add_prefix_space does not match prepend_scheme", type);
    if (!add)
        *prepend = WN_PREPEND_NEVER;
    return WN_OK;
}

static wn_err fill_pre(const wn_tokenizer *t, const json_t *node, const char *type, wn_pre *p)
{
    if (!strcmp(type, "BertPreTokenizer") || !strcmp(type, "Whitespace") ||
        !strcmp(type, "WhitespaceSplit")) {
        p->kind = *type == 'B' ? WN_PRE_BERT
                  : type[10]   ? WN_PRE_WHITESPACE_SPLIT
                               : WN_PRE_WHITESPACE;
        return wn_node_check(t, node, type, "");
    }
    if (!strcmp(type, "ByteLevel")) {
        p->kind = WN_PRE_BYTES;
        WN_TRY(wn_node_check(t, node, type, "add_prefix_space trim_offsets use_regex"));
        WN_TRY(wn_node_bool(t, node, type, "add_prefix_space", true, &p->prefix_space));
        WN_TRY(wn_node_bool(t, node, type, "use_regex", true, &p->use_regex));
        return wn_pattern_regex(&p->pattern, wn_pattern_gpt2, strlen(wn_pattern_gpt2), false);
    }
    if (!strcmp(type, "Split")) {
        p->kind = WN_PRE_SPLIT;
        WN_TRY(wn_node_check(t, node, type, "pattern behavior invert"));
        WN_TRY(get_behavior(t, node, type, &p->behavior));
        WN_TRY(wn_node_bool(t, node, type, "invert", false, &p->invert));
        return get_pattern(t, node, type, &p->pattern);
    }
    if (!strcmp(type, "Digits")) {
        p->kind = WN_PRE_DIGITS;
        WN_TRY(wn_node_check(t, node, type, "individual_digits"));
        return wn_node_bool(t, node, type, "individual_digits", false, &p->individual);
    }
    if (!strcmp(type, "Punctuation")) {
        p->kind = WN_PRE_PUNCTUATION;
        p->behavior = WN_ISOLATED;
        WN_TRY(wn_node_check(t, node, type, "behavior"));
        return get_behavior(t, node, type, &p->behavior);
    }
    if (!strcmp(type, "Metaspace")) {
        p->kind = WN_PRE_METASPACE;
        return fill_metaspace(t, node, type, &p->prepend, &p->split, &p->character);
    }
    if (!strcmp(type, "CharDelimiterSplit")) {
        p->kind = WN_PRE_DELIMITER;
        WN_TRY(wn_node_check(t, node, type, "delimiter"));
        return wn_node_char(t, node, type, "delimiter", &p->character);
    }
    if (!strcmp(type, "FixedLength")) {
        p->kind = WN_PRE_FIXED;
        WN_TRY(wn_node_check(t, node, type, "length"));
        WN_TRY(wn_node_size(t, node, type, "length", 5, &p->length));
        return p->length ? WN_OK : wn_node_refuse(t, "FixedLength.length: expected 1 or more");
    }
    return wn_node_refuse(t, "the type '%.64s' is not supported", type);
}

static wn_err read_pre(wn_tokenizer *t, const json_t *node, const char *type)
{
    if (t->n_pre == t->pre_cap && !WN_GROW(t->pre, t->n_pre, t->pre_cap))
        return WN_ENOMEM;
    wn_pre *p = &t->pre[t->n_pre++];
    *p = (wn_pre){0};
    return fill_pre(t, node, type, p);
}

/* ---- post-processors ------------------------------------------------------------------- */

static wn_err push_id(const wn_tokenizer *t, wn_ids *to, const json_t *v)
{
    if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > INT32_MAX)
        return wn_node_refuse(t, "a special token's id: expected a whole number");
    return wn_ids_push(to, (int32_t)json_integer_value(v));
}

/* What a processor puts before goes before what is there already. */
static wn_err wrap(wn_tokenizer *t, const wn_ids *before, const wn_ids *behind)
{
    size_t n = t->prefix.n;
    for (size_t i = 0; i < before->n; i++)
        WN_TRY(wn_ids_push(&t->prefix, before->id[i]));
    if (n && before->n) {
        memmove(t->prefix.id + before->n, t->prefix.id, n * sizeof(int32_t));
        memcpy(t->prefix.id, before->id, before->n * sizeof(int32_t));
    }
    for (size_t i = 0; i < behind->n; i++)
        WN_TRY(wn_ids_push(&t->suffix, behind->id[i]));
    return WN_OK;
}

static wn_err read_template(const wn_tokenizer *t, const json_t *node, wn_ids *before,
                            wn_ids *behind)
{
    const json_t *single = json_object_get(node, "single");
    const json_t *special = json_object_get(node, "special_tokens");
    if (!json_is_array(single))
        return wn_node_refuse(t, "TemplateProcessing.single: expected an array");
    int texts = 0;
    for (size_t i = 0; i < json_array_size(single); i++) {
        const json_t *piece = json_array_get(single, i);
        const json_t *token = json_object_get(piece, "SpecialToken");
        const json_t *text = json_object_get(piece, "Sequence");
        const char *id = json_string_value(json_object_get(token ? token : text, "id"));
        if (!id || (text && strcmp(id, "A")))
            return wn_node_refuse(
                t, "TemplateProcessing.single: expected special tokens and the sequence A");
        if (text) {
            texts++;
            continue;
        }
        const json_t *ids = json_object_get(json_object_get(special, id), "ids");
        if (!json_is_array(ids))
            return wn_node_refuse(t, "TemplateProcessing: '%.64s' is not among its special_tokens",
                                  id);
        for (size_t k = 0; k < json_array_size(ids); k++)
            WN_TRY(push_id(t, texts ? behind : before, json_array_get(ids, k)));
    }
    if (texts != 1)
        return wn_node_refuse(
            t, "TemplateProcessing.single: expected the sequence A once, found %d times", texts);
    return WN_OK;
}

static wn_err read_post(wn_tokenizer *t, const json_t *node, const char *type)
{
    wn_ids before = {0}, behind = {0};
    wn_err err;
    if (!strcmp(type, "ByteLevel")) {
        return wn_node_check(t, node, type, "add_prefix_space trim_offsets use_regex");
    } else if (!strcmp(type, "TemplateProcessing")) {
        err = wn_node_check(t, node, type, "single pair special_tokens");
        if (!err)
            err = read_template(t, node, &before, &behind);
    } else if (!strcmp(type, "BertProcessing") || !strcmp(type, "RobertaProcessing")) {
        err = wn_node_check(t, node, type, "sep cls trim_offsets add_prefix_space");
        if (!err)
            err = push_id(t, &before, json_array_get(json_object_get(node, "cls"), 1));
        if (!err)
            err = push_id(t, &behind, json_array_get(json_object_get(node, "sep"), 1));
    } else {
        return wn_node_refuse(t, "the type '%.64s' is not supported", type);
    }
    if (!err)
        err = wrap(t, &before, &behind);
    wn_ids_release(&before);
    wn_ids_release(&behind);
    return err;
}

/* ---- decoders -------------------------------------------------------------------------- */

static wn_err fill_dec(const wn_tokenizer *t, const json_t *node, const char *type, wn_dec *d)
{
    if (!strcmp(type, "ByteLevel")) {
        d->kind = WN_DEC_BYTES;
        return wn_node_check(t, node, type, "add_prefix_space trim_offsets use_regex");
    }
    if (!strcmp(type, "WordPiece")) {
        d->kind = WN_DEC_WORDPIECE;
        WN_TRY(wn_node_check(t, node, type, "prefix cleanup"));
        WN_TRY(wn_node_text(t, node, type, "prefix", true, &d->text));
        return wn_node_bool(t, node, type, "cleanup", true, &d->cleanup);
    }
    if (!strcmp(type, "Metaspace")) {
        enum wn_prepend prepend;
        bool split;
        d->kind = WN_DEC_METASPACE;
        WN_TRY(fill_metaspace(t, node, type, &prepend, &split, &d->character));
        d->prefix = prepend != WN_PREPEND_NEVER;
        return WN_OK;
    }
    if (!strcmp(type, "BPEDecoder")) {
        d->kind = WN_DEC_BPE;
        WN_TRY(wn_node_check(t, node, type, "suffix"));
        return wn_node_text(t, node, type, "suffix", true, &d->text);
    }
    if (!strcmp(type, "ByteFallback") || !strcmp(type, "Fuse")) {
        d->kind = *type == 'B' ? WN_DEC_FALLBACK : WN_DEC_FUSE;
        return wn_node_check(t, node, type, "");
    }
    if (!strcmp(type, "Strip")) {
        d->kind = WN_DEC_STRIP;
        WN_TRY(wn_node_check(t, node, type, "content start stop"));
        WN_TRY(wn_node_char(t, node, type, "content", &d->character));
        WN_TRY(wn_node_size(t, node, type, "start", 0, &d->start));
        return wn_node_size(t, node, type, "stop", 0, &d->stop);
    }
    if (!strcmp(type, "Replace")) {
        d->kind = WN_DEC_REPLACE;
        WN_TRY(wn_node_check(t, node, type, "pattern content"));
        WN_TRY(wn_node_text(t, node, type, "content", true, &d->text));
        return get_pattern(t, node, type, &d->pattern);
    }
    return wn_node_refuse(t, "the type '%.64s' is not supported", type);
}

static wn_err read_dec(wn_tokenizer *t, const json_t *node, const char *type)
{
    if (t->n_dec == t->dec_cap && !WN_GROW(t->dec, t->n_dec, t->dec_cap))
        return WN_ENOMEM;
    wn_dec *d = &t->dec[t->n_dec++];
    *d = (wn_dec){0};
    return fill_dec(t, node, type, d);
}

wn_err wn_tokenizer_read_json(wn_tokenizer *t, const char *text, size_t len)
{
    json_t *root;
    WN_TRY(wn_json_parse(&root, text, len, t->path));
    const json_t *decoder = json_object_get(root, "decoder");
    wn_err err = wn_node_check(t, root, "the file",
                               "version truncation padding added_tokens normalizer pre_tokenizer "
                               "post_processor decoder model");
    if (!err)
        err = each_node(t, json_object_get(root, "normalizer"), "normalizer", "normalizers",
                        read_norm);
    if (!err)
        err = each_node(t, json_object_get(root, "pre_tokenizer"), "pre_tokenizer", "pretokenizers",
                        read_pre);
    if (!err)
        err = wn_json_model(t, json_object_get(root, "model"));
    if (!err)
        err = wn_json_added(t, json_object_get(root, "added_tokens"));
    if (!err)
        err = each_node(t, json_object_get(root, "post_processor"), "post_processor", "processors",
                        read_post);
    if (!err)
        err = each_node(t, decoder, "decoder", "decoders", read_dec);
    t->has_dec = decoder && !json_is_null(decoder);
    json_decref(root);
    return err;
}

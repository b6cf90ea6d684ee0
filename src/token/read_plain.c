/* Folders without a tokenizer.json hold a tokenizer's parts in files of their own: vocab.json with
 * merges.txt (OPT, older GPT-2 and RoBERTa models) or vocab.txt (older BERT models). What becomes
 * of them the configuration names as a class of transformers; each class that is known here is
 * written down as the tokenizer.json that it would have, and read as one.
 *
 * Special tokens: those of tokenizer_config.json, which special_tokens_map.json overrides where
 * there is no table of tokens by id, else the class's own. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/file.h"
#include "io/json.h"
#include "token/json_node.h"

enum { ROLES = 7, MAX_FILE = 1 << 28 };
static const char *const roles[ROLES] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                         "pad_token", "cls_token", "mask_token"};

typedef struct kind {
    const char *class, *models; /* model_types it is the class of, between blanks */
    bool words;                 /* vocab.txt, else vocab.json and merges.txt */
    const char *pattern;        /* of a split before bytes; NULL: GPT-2's own */
    bool nfc;
    const char *special[ROLES];
    int first, last; /* roles of what stands around a text, -1: none but by add_bos_token */
} kind;

enum { BOS, EOS, UNK, SEP, PAD, CLS, MASK };

static const kind kinds[] = {
    {"GPT2Tokenizer",
     " gpt2 gpt_neo opt ",
     false,
     NULL,
     false,
     {"<|endoftext|>", "<|endoftext|>", "<|endoftext|>"},
     -1,
     -1},
    {"Qwen2Tokenizer",
     " qwen2 qwen3 ",
     false,
     wn_pattern_qwen2,
     true,
     {NULL, "<|endoftext|>", "<|endoftext|>", NULL, "<|endoftext|>"},
     -1,
     -1},
    {"RobertaTokenizer",
     " roberta ",
     false,
     NULL,
     false,
     {"<s>", "</s>", "<unk>", "</s>", "<pad>", "<s>", "<mask>"},
     CLS,
     SEP},
    {"BertTokenizer",
     " bert ",
     true,
     NULL,
     false,
     {NULL, NULL, "[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"},
     CLS,
     SEP},
    {"DistilBertTokenizer",
     " distilbert ",
     true,
     NULL,
     false,
     {NULL, NULL, "[UNK]", "[SEP]", "[PAD]", "[CLS]", "[MASK]"},
     CLS,
     SEP},
};

typedef struct folder {
    const wn_tokenizer *t;
    char *path;
    json_t *tokens, *map,
        *model; /* tokenizer_config, special_tokens_map, config; NULL: not there */
    const kind *kind;
} folder;

static wn_err load(json_t **out, const folder *f, const char *name)
{
    char *path;
    WN_TRY(wn_path_join(&path, f->path, name));
    wn_err err = wn_file_exists(path) ? wn_json_load(out, path) : WN_OK;
    wn_free(path);
    return err;
}

wn_err wn_plain_find(char **path, const char *in)
{
    static const char *const names[][2] = {{"vocab.json", "merges.txt"},
                                           {"vocab.txt", "vocab.txt"}};
    for (size_t i = 0; i < 2; i++) {
        char *other;
        WN_TRY(wn_path_join(&other, in, names[i][1]));
        bool both = wn_file_exists(other);
        wn_free(other);
        WN_TRY(wn_path_join(path, in, names[i][0]));
        if (both && wn_file_exists(*path))
            return WN_OK;
        wn_free(*path);
        *path = NULL;
    }
    return WN_OK;
}

/* ---- which class ---- */

static bool same_class(const char *class, const char *name)
{
    size_t n = strlen(class);
    return name && !strncmp(name, class, n) && (!name[n] || !strcmp(name + n, "Fast"));
}

static wn_err find_kind(folder *f)
{
    const char *name = json_string_value(json_object_get(f->tokens, "tokenizer_class"));
    const char *type = json_string_value(json_object_get(f->model, "model_type"));
    char key[66];
    if (!name)
        name = json_string_value(json_object_get(f->model, "tokenizer_class"));
    snprintf(key, sizeof key, " %.62s ", type ? type : "");
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds && !f->kind; i++)
        if (name ? same_class(kinds[i].class, name) : type && strstr(kinds[i].models, key))
            f->kind = &kinds[i];
    if (f->kind)
        return WN_OK;
    return wn_node_refuse(f->t,
                          "no tokenizer.json beside it, and the class %s of %s is not one that is "
                          "read from such files (GPT2Tokenizer, Qwen2Tokenizer, RobertaTokenizer, "
                          "BertTokenizer, DistilBertTokenizer)",
                          name ? name : "(not named)", type ? type : "a model without model_type");
}

/* ---- added tokens ---- */

static const json_t *listed(const folder *f)
{
    const json_t *v = json_object_get(f->tokens, "added_tokens_decoder");
    return json_is_object(v) ? v : NULL;
}

/* The token of a role: text or an object with flags; NULL: none. */
static const json_t *role_of(const folder *f, int role)
{
    const json_t *v = listed(f) ? NULL : json_object_get(f->map, roles[role]);
    return v ? v : json_object_get(f->tokens, roles[role]);
}

static const char *text_of(const folder *f, int role)
{
    const json_t *v = role_of(f, role);
    if (!v)
        return f->kind->special[role];
    return json_string_value(json_is_object(v) ? json_object_get(v, "content") : v);
}

static void add(json_t *list, const char *text, const json_t *flags, bool special)
{
    for (size_t i = 0; i < json_array_size(list); i++)
        if (!strcmp(json_string_value(json_object_get(json_array_get(list, i), "content")), text))
            return;
    json_t *normalized = json_object_get(flags, "normalized");
    json_array_append_new(
        list, json_pack("{s:s, s:b, s:b, s:b, s:b, s:b}", "content", text, "lstrip",
                        json_is_true(json_object_get(flags, "lstrip")), "rstrip",
                        json_is_true(json_object_get(flags, "rstrip")), "single_word",
                        json_is_true(json_object_get(flags, "single_word")), "normalized",
                        normalized ? json_is_true(normalized) : !special, "special", special));
}

static int by_number(const void *a, const void *b)
{
    long long x = atoll(*(const char *const *)a), y = atoll(*(const char *const *)b);
    return x < y ? -1 : x > y;
}

/* Those of the table of tokens by id, in its order; then the roles'. */
static wn_err add_tokens(json_t *list, const folder *f)
{
    const json_t *table = listed(f);
    size_t n = json_object_size(table), i = 0;
    const char **id, *key;
    json_t *v;
    WN_NEW(id, n + 1);
    json_object_foreach((json_t *)table, key, v) id[i++] = key;
    qsort(id, n, sizeof *id, by_number);
    for (i = 0; i < n; i++) {
        v = json_object_get(table, id[i]);
        const char *text = json_string_value(json_object_get(v, "content"));
        if (text)
            add(list, text, v, json_is_true(json_object_get(v, "special")));
    }
    wn_free(id);
    for (int role = 0; role < ROLES; role++) {
        const char *text = text_of(f, role);
        if (text && *text)
            add(list, text, role_of(f, role), true);
    }
    return WN_OK;
}

/* ---- vocabulary ---- */

/* Calls fn for every line, its end cut off. */
static wn_err each_line(const char *text, size_t len, wn_err (*fn)(json_t *to, wn_span line),
                        json_t *to)
{
    for (size_t from = 0, end; from < len; from = end + 1) {
        const char *p = memchr(text + from, '\n', len - from);
        end = p ? (size_t)(p - text) : len;
        WN_TRY(fn(to, (wn_span){text + from, end - from}));
    }
    return WN_OK;
}

static wn_err put_word(json_t *vocab, wn_span line)
{
    json_t *id = json_integer((json_int_t)json_object_size(vocab));
    if (json_object_setn_new(vocab, line.p, line.len, id))
        return wn_fail(WN_EFORMAT, "vocab.txt, line %zu: expected UTF-8",
                       json_object_size(vocab) + 1);
    return WN_OK;
}

static wn_err put_merge(json_t *merges, wn_span line)
{
    if (line.len && line.p[line.len - 1] == '\r')
        line.len--;
    if (!line.len || (line.len > 8 && !memcmp(line.p, "#version", 8)))
        return WN_OK;
    if (json_array_append_new(merges, json_stringn(line.p, line.len)))
        return wn_fail(WN_EFORMAT, "merges.txt, rule %zu: expected UTF-8",
                       json_array_size(merges) + 1);
    return WN_OK;
}

static wn_err read_merges(json_t *merges, const folder *f)
{
    char *path, *text;
    size_t len;
    WN_TRY(wn_path_join(&path, f->path, "merges.txt"));
    wn_err err = wn_file_read(&text, &len, path, MAX_FILE);
    wn_free(path);
    WN_TRY(err);
    err = each_line(text, len, put_merge, merges);
    wn_free(text);
    return err;
}

static bool flag(const folder *f, const char *key, bool absent)
{
    const json_t *v = json_object_get(f->tokens, key);
    return json_is_boolean(v) ? json_is_true(v) : absent;
}

static wn_err write_bytes(json_t *whole, const folder *f, const char *text, size_t len)
{
    json_t *vocab = NULL, *merges = json_array();
    wn_err err = wn_json_parse(&vocab, text, len, f->t->path);
    if (!err)
        err = read_merges(merges, f);
    if (err) {
        json_decref(vocab);
        json_decref(merges);
        return err;
    }
    const char *pattern = f->kind->pattern;
    json_t *split = json_array();
    if (pattern)
        json_array_append_new(split,
                              json_pack("{s:s, s:{s:s}, s:s, s:b}", "type", "Split", "pattern",
                                        "Regex", pattern, "behavior", "Isolated", "invert", 0));
    json_array_append_new(split, json_pack("{s:s, s:b, s:b}", "type", "ByteLevel",
                                           "add_prefix_space", flag(f, "add_prefix_space", false),
                                           "use_regex", pattern == NULL));
    if (f->kind->nfc)
        json_object_set_new(whole, "normalizer", json_pack("{s:s}", "type", "NFC"));
    json_object_set_new(whole, "pre_tokenizer",
                        json_pack("{s:s, s:o}", "type", "Sequence", "pretokenizers", split));
    json_object_set_new(whole, "decoder", json_pack("{s:s}", "type", "ByteLevel"));
    json_object_set_new(
        whole, "model",
        json_pack("{s:s, s:o, s:o}", "type", "BPE", "vocab", vocab, "merges", merges));
    return WN_OK;
}

static wn_err write_words(json_t *whole, const folder *f, const char *text, size_t len)
{
    json_t *vocab = json_object(), *accents = json_object_get(f->tokens, "strip_accents");
    wn_err err = wn_context(each_line(text, len, put_word, vocab), "%s", f->path);
    if (err) {
        json_decref(vocab);
        return err;
    }
    json_object_set_new(whole, "normalizer",
                        json_pack("{s:s, s:b, s:b, s:O*}", "type", "BertNormalizer", "lowercase",
                                  flag(f, "do_lower_case", true), "handle_chinese_chars",
                                  flag(f, "tokenize_chinese_chars", true), "strip_accents",
                                  accents));
    json_object_set_new(whole, "pre_tokenizer", json_pack("{s:s}", "type", "BertPreTokenizer"));
    json_object_set_new(whole, "decoder",
                        json_pack("{s:s, s:s}", "type", "WordPiece", "prefix", "##"));
    json_object_set_new(whole, "model",
                        json_pack("{s:s, s:s, s:o}", "type", "WordPiece", "unk_token",
                                  text_of(f, UNK) ? text_of(f, UNK) : "[UNK]", "vocab", vocab));
    return WN_OK;
}

/* Ids of the tokens around a text, once all are known. */
static wn_err put_ends(wn_tokenizer *t, const folder *f)
{
    const int role[] = {f->kind->first, f->kind->last};
    wn_ids *to[] = {&t->prefix, &t->suffix};
    for (int i = 0; i < 2; i++) {
        const char *text = role[i] < 0 ? NULL : text_of(f, role[i]);
        int32_t id = text ? wn_tokenizer_lookup(t, text, strlen(text)) : -1;
        if (id >= 0)
            WN_TRY(wn_ids_push(to[i], id));
    }
    int32_t *fact[] = {&t->facts.bos, &t->facts.eos, &t->facts.unk, NULL, &t->facts.pad};
    for (int i = 0; i <= PAD; i++) {
        const char *text = fact[i] ? text_of(f, i) : NULL;
        if (text)
            *fact[i] = wn_tokenizer_lookup(t, text, strlen(text));
    }
    return WN_OK;
}

static wn_err read(wn_tokenizer *t, folder *f, const char *text, size_t len)
{
    wn_str s = {0};
    WN_TRY(load(&f->tokens, f, "tokenizer_config.json"));
    WN_TRY(load(&f->map, f, "special_tokens_map.json"));
    WN_TRY(load(&f->model, f, "config.json"));
    WN_TRY(find_kind(f));
    const char *base = wn_path_base(t->path);
    if (f->kind->words != !strcmp(base, "vocab.txt"))
        return wn_node_refuse(t, "a %s reads %s, not this file", f->kind->class,
                              f->kind->words ? "vocab.txt" : "vocab.json and merges.txt");
    json_t *whole = json_object(), *added = json_array();
    wn_err err = add_tokens(added, f);
    json_object_set_new(whole, "added_tokens", added);
    if (!err)
        err = f->kind->words ? write_words(whole, f, text, len) : write_bytes(whole, f, text, len);
    if (!err)
        err = wn_json_dump(&s, whole, 0, false);
    json_decref(whole);
    if (!err)
        err = wn_sha_bytes(t->sha, s.p, s.len);
    if (!err)
        err = wn_tokenizer_read_json(t, s.p, s.len);
    wn_str_free(&s);
    return err ? err : put_ends(t, f);
}

wn_err wn_tokenizer_read_plain(wn_tokenizer *t, const char *text, size_t len)
{
    folder f = {.t = t};
    size_t n = (size_t)(wn_path_base(t->path) - t->path);
    f.path = n ? wn_strndup(t->path, n) : wn_strdup(".");
    wn_err err = f.path ? read(t, &f, text, len) : WN_ENOMEM;
    json_decref(f.tokens);
    json_decref(f.map);
    json_decref(f.model);
    wn_free(f.path);
    return err;
}

/* ByT5's tokenizer (Xue et al. 2021, arXiv 2105.13626) has no file of its own, only a name in a
 * configuration: pad, EOS and unknown are 0, 1, 2, a byte is its value + 3, the sentinels follow.
 * That is a byte-level BPE without a merge, so it is written down as the tokenizer.json it would
 * have, and read as one.
 *
 * pad, EOS and unknown take the white space around them, unless the configuration describes them
 * otherwise. One difference from the reference stays: a text that itself ends in EOS gets a second
 * one. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "io/file.h"
#include "io/json.h"
#include "token/json_node.h"

enum { FIRST_BYTE = 3, SENTINELS = 125, MOST_SENTINELS = 10000 };

static const char name[] = "ByT5Tokenizer";

static bool is_named(const json_t *config)
{
    const char *s = json_string_value(json_object_get(config, "tokenizer_class"));
    return s && !strcmp(s, name);
}

wn_err wn_byt5_find(char **path, const char *folder)
{
    static const char *const files[] = {"tokenizer_config.json", "config.json"};
    for (size_t i = 0; i < 2; i++) {
        json_t *config = NULL;
        WN_TRY(wn_path_join(path, folder, files[i]));
        wn_err err = wn_file_exists(*path) ? wn_json_load(&config, *path) : WN_OK;
        bool found = !err && is_named(config);
        json_decref(config);
        if (found)
            return WN_OK;
        wn_free(*path);
        *path = NULL;
        WN_TRY(err);
    }
    return WN_OK;
}

/* Newer files hold a table of all special tokens by id. */
static const json_t *listed(const json_t *config, uint64_t id)
{
    char number[24];
    snprintf(number, sizeof number, "%llu", (unsigned long long)id);
    const json_t *v = json_object_get(json_object_get(config, "added_tokens_decoder"), number);
    return json_is_object(v) ? v : NULL;
}

/* A special token as an added token: its text alone, or an object with flags. */
static json_t *special(const json_t *v, const char *text, bool strip)
{
    const char *content = json_string_value(json_is_object(v) ? json_object_get(v, "content") : v);
    bool left = json_is_object(v) ? json_is_true(json_object_get(v, "lstrip")) : strip;
    bool right = json_is_object(v) ? json_is_true(json_object_get(v, "rstrip")) : strip;
    return json_pack("{s:s, s:b, s:b, s:b}", "content", content && *content ? content : text,
                     "lstrip", left, "rstrip", right, "special", 1);
}

static void add_bytes(json_t *vocab)
{
    for (int b = 0; b < 256; b++) {
        char text[5] = {0};
        wn_utf8_put(text, wn_byte_char((unsigned char)b));
        json_object_set_new(vocab, text, json_integer(FIRST_BYTE + b));
    }
}

static json_t *write_down(const json_t *config, uint64_t sentinels)
{
    static const char *const text[] = {"<pad>", "</s>", "<unk>"};
    static const char *const key[] = {"pad_token", "eos_token", "unk_token"};
    json_t *vocab = json_object(), *added = json_array();
    for (int id = 0; id < FIRST_BYTE; id++) {
        const json_t *v = listed(config, (uint64_t)id);
        json_t *token = special(v ? v : json_object_get(config, key[id]), text[id], true);
        json_object_set_new(vocab, json_string_value(json_object_get(token, "content")),
                            json_integer(id));
        json_array_append_new(added, token);
    }
    add_bytes(vocab);
    for (uint64_t i = 0; i < MOST_SENTINELS; i++) {
        char sentinel[32];
        const json_t *v = listed(config, FIRST_BYTE + 256 + i);
        if (!v && i >= sentinels)
            break;
        snprintf(sentinel, sizeof sentinel, "<extra_id_%d>", (int)i);
        json_array_append_new(added, special(v, sentinel, false));
    }
    return json_pack("{s:o, s:{s:s, s:b, s:b}, s:{s:s}, s:{s:s, s:o, s:[]}}", "added_tokens", added,
                     "pre_tokenizer", "type", "ByteLevel", "add_prefix_space", 0, "use_regex", 0,
                     "decoder", "type", "ByteLevel", "model", "type", "BPE", "vocab", vocab,
                     "merges");
}

wn_err wn_tokenizer_read_byt5(wn_tokenizer *t, const char *text, size_t len)
{
    json_t *config;
    wn_str s = {0};
    uint64_t sentinels = SENTINELS;
    WN_TRY(wn_json_parse(&config, text, len, t->path));
    wn_err err = is_named(config) ? wn_json_get_u64(&sentinels, config, "extra_ids", false, t->path)
                                  : wn_node_refuse(t, "tokenizer_class: expected %s", name);
    if (!err && sentinels > MOST_SENTINELS)
        err = wn_node_refuse(t, "extra_ids: expected at most %d", MOST_SENTINELS);
    if (!err) {
        json_t *whole = write_down(config, sentinels);
        err = whole ? wn_json_dump(&s, whole, 0, false) : WN_ENOMEM;
        json_decref(whole);
    }
    if (!err)
        err = wn_tokenizer_read_json(t, s.p, s.len);
    if (!err)
        err = wn_ids_push(&t->suffix, 1);
    t->facts.pad = 0;
    t->facts.eos = 1;
    t->facts.unk = 2;
    wn_str_free(&s);
    json_decref(config);
    return err;
}

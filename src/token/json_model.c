/* The sections "model" and "added_tokens" of tokenizer.json. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "token/json_node.h"

static wn_err read_vocab(wn_tokenizer *t, const json_t *vocab)
{
    if (!json_is_object(vocab))
        return wn_node_refuse(t, "model.vocab: expected an object");
    size_t n = json_object_size(vocab);
    WN_TRY(wn_vocab_init(&t->vocab, n));
    const char *key;
    json_t *v;
    json_object_foreach((json_t *)vocab, key, v)
    {
        if (!json_is_integer(v))
            return wn_node_refuse(t, "model.vocab['%.64s']: expected a whole number", key);
        WN_TRY(wn_context(wn_vocab_add(&t->vocab, key, strlen(key), json_integer_value(v),
                                       (int64_t)n * 8 + 65536, false),
                          "%s: model.vocab", t->path));
    }
    return WN_OK;
}

/* unk: -1 none, -2 named but missing, which matters once it is needed. */
static wn_err read_unk(wn_tokenizer *t, const json_t *model)
{
    const json_t *v = json_object_get(model, "unk_token");
    t->model.unk = -1;
    if (!v || json_is_null(v))
        return WN_OK;
    if (!json_is_string(v))
        return wn_node_refuse(t, "model.unk_token: expected a string");
    t->model.unk = wn_vocab_find(&t->vocab, json_string_value(v), json_string_length(v));
    if (t->model.unk < 0)
        t->model.unk = -2;
    return WN_OK;
}

static wn_err read_wordpiece(wn_tokenizer *t, const json_t *model)
{
    wn_lexicon *x = &t->model;
    x->kind = WN_MODEL_WORDPIECE;
    WN_TRY(wn_node_check(t, model, "model",
                         "unk_token continuing_subword_prefix max_input_chars_per_word vocab"));
    WN_TRY(read_vocab(t, json_object_get(model, "vocab")));
    WN_TRY(read_unk(t, model));
    if (!json_object_get(model, "continuing_subword_prefix"))
        wn_str_puts(&x->prefix, "##");
    WN_TRY(wn_node_text(t, model, "model", "continuing_subword_prefix", false, &x->prefix));
    WN_TRY(wn_node_size(t, model, "model", "max_input_chars_per_word", 100, &x->max_chars));
    return wn_lexicon_trie(x, &t->vocab, NULL);
}

static wn_err read_merge(wn_tokenizer *t, const json_t *v, size_t rank, wn_str *joined)
{
    wn_span a = {0}, b = {0};
    if (json_is_string(v)) {
        const char *s = json_string_value(v), *blank = strchr(s, ' ');
        if (blank && !strchr(blank + 1, ' ')) {
            a = (wn_span){s, (size_t)(blank - s)};
            b = (wn_span){blank + 1, strlen(blank + 1)};
        }
    } else if (json_array_size(v) == 2) {
        const json_t *l = json_array_get(v, 0), *r = json_array_get(v, 1);
        a = (wn_span){json_string_value(l), json_string_length(l)};
        b = (wn_span){json_string_value(r), json_string_length(r)};
    }
    if (!a.p || !b.p)
        return wn_node_refuse(t, "model.merges[%zu]: expected two tokens", rank);
    return wn_context(wn_pairs_merge(&t->model, &t->vocab, a, b, rank, joined), "%s: model.merges",
                      t->path);
}

static wn_err read_bpe(wn_tokenizer *t, const json_t *model)
{
    wn_lexicon *x = &t->model;
    x->kind = WN_MODEL_BPE;
    WN_TRY(wn_node_check(t, model, "model",
                         "dropout unk_token continuing_subword_prefix end_of_word_suffix fuse_unk "
                         "byte_fallback ignore_merges vocab merges"));
    const json_t *dropout = json_object_get(model, "dropout");
    if (json_is_number(dropout) && json_number_value(dropout) != 0)
        return wn_node_refuse(t, "model.dropout %g: random merges are not supported",
                              json_number_value(dropout));
    WN_TRY(read_vocab(t, json_object_get(model, "vocab")));
    WN_TRY(read_unk(t, model));
    WN_TRY(wn_node_text(t, model, "model", "continuing_subword_prefix", false, &x->prefix));
    WN_TRY(wn_node_text(t, model, "model", "end_of_word_suffix", false, &x->suffix));
    WN_TRY(wn_node_bool(t, model, "model", "fuse_unk", false, &x->fuse_unk));
    WN_TRY(wn_node_bool(t, model, "model", "byte_fallback", false, &x->byte_fallback));
    WN_TRY(wn_node_bool(t, model, "model", "ignore_merges", false, &x->ignore_merges));
    const json_t *merges = json_object_get(model, "merges");
    if (!json_is_array(merges))
        return wn_node_refuse(t, "model.merges: expected an array");
    wn_lexicon_bytes(x, &t->vocab);
    WN_TRY(wn_pairs_init(x, json_array_size(merges)));
    wn_str joined = {0};
    wn_err err = WN_OK;
    for (size_t i = 0; i < json_array_size(merges) && !err; i++)
        err = read_merge(t, json_array_get(merges, i), i, &joined);
    wn_str_free(&joined);
    return err;
}

static wn_err read_unigram(wn_tokenizer *t, const json_t *model)
{
    wn_lexicon *x = &t->model;
    x->kind = WN_MODEL_UNIGRAM;
    WN_TRY(wn_node_check(t, model, "model", "unk_id vocab byte_fallback alpha nbest_size"));
    const json_t *vocab = json_object_get(model, "vocab");
    const json_t *unk = json_object_get(model, "unk_id");
    size_t n = json_array_size(vocab);
    if (!json_is_array(vocab) || !n)
        return wn_node_refuse(t, "model.vocab: expected an array of [token, score]");
    WN_TRY(wn_node_bool(t, model, "model", "byte_fallback", false, &x->byte_fallback));
    WN_TRY(wn_vocab_init(&t->vocab, n));
    WN_NEW(x->score, n);
    x->min_score = INFINITY;
    for (size_t i = 0; i < n; i++) {
        const json_t *pair = json_array_get(vocab, i);
        const json_t *s = json_array_get(pair, 0), *v = json_array_get(pair, 1);
        if (!json_is_string(s) || !json_is_number(v))
            return wn_node_refuse(t, "model.vocab[%zu]: expected [token, score]", i);
        x->score[i] = json_number_value(v);
        if (x->score[i] < x->min_score)
            x->min_score = x->score[i];
        WN_TRY(wn_context(wn_vocab_add(&t->vocab, json_string_value(s), json_string_length(s),
                                       (int64_t)i, (int64_t)n, true),
                          "%s: model.vocab", t->path));
    }
    if (json_is_integer(unk)) {
        if (json_integer_value(unk) < 0 || (uint64_t)json_integer_value(unk) >= n)
            return wn_node_refuse(t, "model.unk_id %lld: expected less than %zu",
                                  (long long)json_integer_value(unk), n);
        x->unk = (int32_t)json_integer_value(unk);
    }
    wn_lexicon_bytes(x, &t->vocab);
    return wn_lexicon_trie(x, &t->vocab, NULL);
}

wn_err wn_json_model(wn_tokenizer *t, const json_t *model)
{
    const char *type = json_string_value(json_object_get(model, "type"));
    if (!json_is_object(model))
        return wn_node_refuse(t, "expected a section 'model'");
    if (!type) /* files of before 2020 lack it */
        type = json_object_get(model, "merges")                 ? "BPE"
               : json_is_array(json_object_get(model, "vocab")) ? "Unigram"
                                                                : "WordPiece";
    if (!strcmp(type, "WordPiece"))
        return read_wordpiece(t, model);
    if (!strcmp(type, "BPE"))
        return read_bpe(t, model);
    if (!strcmp(type, "Unigram"))
        return read_unigram(t, model);
    return wn_node_refuse(t, "model: the type '%.64s' is not supported", type);
}

/* ---- added tokens ---------------------------------------------------------------------- */

/* The reference goes by content: a token of the model has its id there, any other the next free
 * one. */
wn_err wn_json_added(wn_tokenizer *t, const json_t *list)
{
    int32_t next = (int32_t)t->vocab.count;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *node = json_array_get(list, i);
        wn_added_token a = {0};
        wn_err err = wn_node_check(t, node, "an added token",
                                   "id content single_word lstrip rstrip normalized special");
        if (!err)
            err = wn_node_text(t, node, "added_tokens", "content", true, &a.content);
        if (!err)
            err = wn_node_bool(t, node, "added_tokens", "single_word", false, &a.single_word);
        if (!err)
            err = wn_node_bool(t, node, "added_tokens", "lstrip", false, &a.lstrip);
        if (!err)
            err = wn_node_bool(t, node, "added_tokens", "rstrip", false, &a.rstrip);
        if (!err)
            err = wn_node_bool(t, node, "added_tokens", "special", false, &a.special);
        if (!err)
            err = wn_node_bool(t, node, "added_tokens", "normalized", !a.special, &a.normalized);
        if (err || !a.content.len) {
            wn_str_free(&a.content);
            WN_TRY(err);
            continue;
        }
        a.id = wn_tokenizer_lookup(t, a.content.p, a.content.len);
        if (a.id < 0)
            a.id = next++;
        WN_TRY(wn_added_take(t, &a));
    }
    return wn_added_index(&t->added);
}

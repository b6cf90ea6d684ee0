/* A tokenizer as tokenizer.json: what the readers of GGUF build, in the words of the tokenizers
 * library. A SentencePiece BPE's scores become merges, every way to make a token of two others,
 * best token first. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "token/json_node.h"

static wn_err cannot(const wn_tokenizer *t, const char *what)
{
    return wn_fail(WN_EARG, "%s: no tokenizer.json says what its tokenizer does (%s)", t->path,
                   what);
}

static json_t *literal(const wn_pattern *p)
{
    return json_pack("{s:s%}", p->code ? "Regex" : "String", p->text.p, p->text.len);
}

static wn_err put_norm(json_t *list, const wn_tokenizer *t, const wn_norm *n)
{
    static const char *const forms[] = {"NFC", "NFD", "NFKC", "NFKD"};
    json_t *j = NULL;
    switch (n->kind) {
    case WN_NORM_FORM:
        j = json_pack("{s:s}", "type", forms[n->form]);
        break;
    case WN_NORM_LOWER:
        j = json_pack("{s:s}", "type", "Lowercase");
        break;
    case WN_NORM_REPLACE:
        j = json_pack("{s:s, s:o, s:s%}", "type", "Replace", "pattern", literal(&n->pattern),
                      "content", n->content.p, n->content.len);
        break;
    case WN_NORM_PREPEND:
        j = json_pack("{s:s, s:s%}", "type", "Prepend", "prepend", n->content.p, n->content.len);
        break;
    case WN_NORM_BERT:
        j = json_pack("{s:s, s:b, s:b, s:b, s:b}", "type", "BertNormalizer", "clean_text", n->clean,
                      "handle_chinese_chars", n->chinese, "strip_accents", n->accents, "lowercase",
                      n->lower);
        break;
    default:
        return cannot(t, "SentencePiece's own normalisation");
    }
    return json_array_append_new(list, j) ? WN_ENOMEM : WN_OK;
}

static wn_err put_pre(json_t *list, const wn_tokenizer *t, const wn_pre *p)
{
    json_t *j = NULL;
    switch (p->kind) {
    case WN_PRE_BERT:
        j = json_pack("{s:s}", "type", "BertPreTokenizer");
        break;
    case WN_PRE_DIGITS:
        j = json_pack("{s:s, s:b}", "type", "Digits", "individual_digits", p->individual);
        break;
    case WN_PRE_SPLIT:
        if (p->behavior != WN_ISOLATED || p->invert)
            return cannot(t, "a split");
        j = json_pack("{s:s, s:o, s:s, s:b}", "type", "Split", "pattern", literal(&p->pattern),
                      "behavior", "Isolated", "invert", 0);
        break;
    case WN_PRE_BYTES:
        j = json_pack("{s:s, s:b, s:b, s:b}", "type", "ByteLevel", "add_prefix_space",
                      p->prefix_space, "trim_offsets", 1, "use_regex", p->use_regex);
        break;
    default:
        return cannot(t, "a pre-tokeniser");
    }
    return json_array_append_new(list, j) ? WN_ENOMEM : WN_OK;
}

static wn_err put_dec(json_t *list, const wn_tokenizer *t, const wn_dec *d)
{
    json_t *j = NULL;
    switch (d->kind) {
    case WN_DEC_BYTES:
        j = json_pack("{s:s, s:b, s:b, s:b}", "type", "ByteLevel", "add_prefix_space", 1,
                      "trim_offsets", 1, "use_regex", 1);
        break;
    case WN_DEC_WORDPIECE:
        j = json_pack("{s:s, s:s%, s:b}", "type", "WordPiece", "prefix", d->text.p, d->text.len,
                      "cleanup", d->cleanup);
        break;
    case WN_DEC_FALLBACK:
        j = json_pack("{s:s}", "type", "ByteFallback");
        break;
    case WN_DEC_FUSE:
        j = json_pack("{s:s}", "type", "Fuse");
        break;
    case WN_DEC_STRIP:
        j = json_pack("{s:s, s:s, s:i, s:i}", "type", "Strip", "content", " ", "start",
                      (int)d->start, "stop", (int)d->stop);
        break;
    case WN_DEC_REPLACE:
        j = json_pack("{s:s, s:o, s:s%}", "type", "Replace", "pattern", literal(&d->pattern),
                      "content", d->text.p, d->text.len);
        break;
    default:
        return cannot(t, "a decoder");
    }
    return json_array_append_new(list, j) ? WN_ENOMEM : WN_OK;
}

/* list, which is given away: nothing, one node, or a Sequence of them. */
static void put_section(json_t *whole, const char *section, const char *plural, json_t *list)
{
    size_t n = json_array_size(list);
    if (n == 0)
        json_object_set_new(whole, section, json_null());
    else if (n == 1)
        json_object_set(whole, section, json_array_get(list, 0));
    else
        json_object_set_new(whole, section,
                            json_pack("{s:s, s:O}", "type", "Sequence", plural, list));
    json_decref(list);
}

static wn_err put_nodes(json_t *whole, const wn_tokenizer *t)
{
    json_t *norm = json_array(), *pre = json_array(), *dec = json_array();
    wn_err e = WN_OK;
    for (size_t i = 0; !e && i < t->n_norm; i++)
        e = put_norm(norm, t, &t->norm[i]);
    for (size_t i = 0; !e && i < t->n_pre; i++)
        e = put_pre(pre, t, &t->pre[i]);
    for (size_t i = 0; !e && i < t->n_dec; i++)
        e = put_dec(dec, t, &t->dec[i]);
    put_section(whole, "normalizer", "normalizers", norm);
    put_section(whole, "pre_tokenizer", "pretokenizers", pre);
    put_section(whole, "decoder", "decoders", dec);
    return e;
}

static void put_added(json_t *whole, const wn_added *a)
{
    json_t *list = json_array();
    for (size_t i = 0; i < a->n; i++) {
        const wn_added_token *x = &a->token[i];
        json_array_append_new(list,
                              json_pack("{s:i, s:s%, s:b, s:b, s:b, s:b, s:b}", "id", (int)x->id,
                                        "content", x->content.p, x->content.len, "single_word",
                                        x->single_word, "lstrip", x->lstrip, "rstrip", x->rstrip,
                                        "normalized", x->normalized, "special", x->special));
    }
    json_object_set_new(whole, "added_tokens", list);
}

/* Tokens around a text: a template that names them. */
static void put_ends(json_t *whole, const wn_tokenizer *t)
{
    json_t *single = json_array(), *pair, *special = json_object();
    const wn_ids *ids[] = {&t->prefix, &t->suffix};
    for (int end = 0; end < 2; end++) {
        for (size_t i = 0; i < ids[end]->n; i++) {
            int32_t id = ids[end]->id[i];
            const char *text = wn_tokenizer_token(t, id);
            json_array_append_new(
                single, json_pack("{s:{s:s, s:i}}", "SpecialToken", "id", text, "type_id", 0));
            json_object_set_new(
                special, text,
                json_pack("{s:s, s:[i], s:[s]}", "id", text, "ids", (int)id, "tokens", text));
        }
        if (end == 0)
            json_array_append_new(single,
                                  json_pack("{s:{s:s, s:i}}", "Sequence", "id", "A", "type_id", 0));
    }
    pair = json_copy(single);
    json_array_append_new(pair, json_pack("{s:{s:s, s:i}}", "Sequence", "id", "B", "type_id", 1));
    if (t->prefix.n + t->suffix.n)
        json_object_set_new(whole, "post_processor",
                            json_pack("{s:s, s:O, s:O, s:O}", "type", "TemplateProcessing",
                                      "single", single, "pair", pair, "special_tokens", special));
    else
        json_object_set_new(whole, "post_processor", json_null());
    json_decref(single);
    json_decref(pair);
    json_decref(special);
}

static int by_rank(const void *a, const void *b)
{
    const wn_pair *x = a, *y = b;
    if (x->rank != y->rank)
        return x->rank < y->rank ? -1 : 1;
    return x->key < y->key ? -1 : x->key > y->key;
}

static wn_err put_merges(json_t *model, const wn_tokenizer *t)
{
    const wn_lexicon *x = &t->model;
    json_t *merges = json_array();
    wn_pair *pair;
    size_t n = 0;
    json_object_set_new(model, "merges", merges);
    WN_NEW(pair, x->n_pair + 1);
    for (size_t i = 0; i <= x->pair_mask; i++)
        if (x->pair[i].key != UINT64_MAX)
            pair[n++] = x->pair[i];
    qsort(pair, n, sizeof *pair, by_rank);
    for (size_t i = 0; i < n; i++) {
        wn_span a = wn_vocab_text(&t->vocab, (int64_t)(pair[i].key >> 32)),
                b = wn_vocab_text(&t->vocab, (int64_t)(pair[i].key & UINT32_MAX));
        json_array_append_new(merges, json_pack("[s%, s%]", a.p, a.len, b.p, b.len));
    }
    wn_free(pair);
    return WN_OK;
}

static wn_err put_model(json_t *whole, const wn_tokenizer *t)
{
    const wn_lexicon *x = &t->model;
    json_t *vocab = json_object(), *model = json_object();
    json_object_set_new(whole, "model", model);
    json_object_set_new(model, "vocab", vocab);
    for (size_t id = 0; id < t->vocab.n; id++) {
        wn_span s = wn_vocab_text(&t->vocab, (int64_t)id);
        if (s.p && wn_vocab_find(&t->vocab, s.p, s.len) == (int32_t)id)
            json_object_setn_new(vocab, s.p, s.len, json_integer((json_int_t)id));
    }
    const char *unk = x->unk < 0 ? NULL : wn_tokenizer_token(t, x->unk);
    if (unk)
        json_object_set_new(model, "unk_token", json_string(unk));
    if (x->kind == WN_MODEL_WORDPIECE) {
        json_object_set_new(model, "type", json_string("WordPiece"));
        json_object_set_new(model, "continuing_subword_prefix",
                            json_stringn(x->prefix.p, x->prefix.len));
        json_object_set_new(model, "max_input_chars_per_word",
                            json_integer((json_int_t)x->max_chars));
        return WN_OK;
    }
    json_object_set_new(model, "type", json_string("BPE"));
    json_object_set_new(model, "fuse_unk", json_boolean(x->fuse_unk));
    json_object_set_new(model, "byte_fallback", json_boolean(x->byte_fallback));
    json_object_set_new(model, "ignore_merges", json_boolean(x->ignore_merges));
    return put_merges(model, t);
}

wn_err wn_tokenizer_json(json_t **out, const wn_tokenizer *t)
{
    *out = NULL;
    if (t->model.kind == WN_MODEL_UNIGRAM)
        return cannot(t, "unigram");
    json_t *whole = json_pack("{s:s, s:n, s:n}", "version", "1.0", "truncation", "padding");
    if (!whole)
        return wn_fail_nomem(64, "a tokenizer");
    put_added(whole, &t->added);
    wn_err e = put_nodes(whole, t);
    put_ends(whole, t);
    if (!e)
        e = put_model(whole, t);
    if (e)
        json_decref(whole);
    else
        *out = whole;
    return e;
}

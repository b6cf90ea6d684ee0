/* A tokenizer at work: opening, encoding, decoding. The readers build what runs here. */
#include "token/tokenizer.h"

#include <stdatomic.h>
#include <string.h>

#include "base/mem.h"
#include "io/file.h"
#include "token/parts.h"
#include "token/template.h"

enum { MAX_FILE = 1 << 29 };

/* ---- ids and scratch ------------------------------------------------------------------- */

void wn_ids_clear(wn_ids *ids)
{
    ids->n = 0;
}

void wn_ids_release(wn_ids *ids)
{
    wn_free(ids->id);
    *ids = (wn_ids){0};
}

wn_err wn_ids_reserve(wn_ids *ids, size_t more)
{
    size_t need = ids->n + more, cap = ids->cap ? ids->cap : 64;
    if (need <= ids->cap)
        return WN_OK;
    while (cap < need)
        cap *= 2;
    int32_t *id = wn_realloc(ids->id, cap * sizeof *id);
    if (!id)
        return WN_ENOMEM;
    ids->id = id;
    ids->cap = cap;
    return WN_OK;
}

wn_err wn_ids_push(wn_ids *ids, int32_t id)
{
    if (ids->n == ids->cap)
        WN_TRY(wn_ids_reserve(ids, 1));
    ids->id[ids->n++] = id;
    return WN_OK;
}

void wn_token_work_free(wn_token_work *w)
{
    wn_token_memory *m = w->memory;
    if (!m)
        return;
    wn_match_free(&m->match);
    wn_points_free(&m->points);
    for (int i = 0; i < 2; i++) {
        wn_str_free(&m->norm[i]);
        wn_str_free(&m->pre[i]);
        wn_free(m->pieces[i].at);
    }
    wn_str_free(&m->tmp);
    wn_str_free(&m->clean);
    wn_free(m->outer.at);
    wn_free(m->inner.at);
    wn_free(m->spans.at);
    wn_free(m->symbol);
    wn_free(m->heap);
    wn_free(m->best);
    wn_free(m->word);
    wn_free(m);
    w->memory = NULL;
}

/* A single short text does not repay the making of a table of words. */
enum { WORTH_A_CACHE = 1 << 14 };

static wn_err prepare(wn_token_work *w, const wn_tokenizer *t, bool cache)
{
    if (!w->memory)
        WN_NEW(w->memory, 1);
    wn_token_memory *m = w->memory;
    if (m->serial == t->serial || !cache)
        return WN_OK;
    wn_free(m->word);
    m->serial = 0;
    WN_NEW(m->word, WN_WORD_SLOTS);
    m->serial = t->serial;
    return WN_OK;
}

/* ---- encoding -------------------------------------------------------------------------- */

static wn_err encode_word(const wn_tokenizer *t, wn_token_memory *m, const char *s, size_t len,
                          bool mapped, wn_ids *out)
{
    switch (t->model.kind) {
    case WN_MODEL_WORDPIECE:
        return wn_wordpiece_encode(t, m, s, len, out);
    case WN_MODEL_BPE:
        return wn_bpe_encode(t, m, s, len, mapped, out);
    case WN_MODEL_UNIGRAM:
        return wn_unigram_encode(t, m, s, len, out);
    }
    return WN_OK;
}

static uint64_t hash_word(const char padded[24])
{
    uint64_t a, b, c;
    memcpy(&a, padded, 8);
    memcpy(&b, padded + 8, 8);
    memcpy(&c, padded + 16, 8);
    uint64_t h = (a ^ 0x9e3779b97f4a7c15u) * 0xff51afd7ed558ccdu;
    h = ((h ^ h >> 29) + b) * 0xc4ceb9fe1a85ec53u;
    h = ((h ^ h >> 31) + c) * 0x9fb21c651e98df25u;
    return h ^ h >> 32;
}

/* Short words repeat: their ids are remembered. */
static wn_err encode_piece(const wn_tokenizer *t, wn_token_memory *m, wn_piece p, bool mapped,
                           wn_ids *out)
{
    if (p.len > WN_WORD_BYTES || !m->word)
        return encode_word(t, m, p.p, p.len, mapped, out);
    char key[24] = {0};
    memcpy(key, p.p, p.len);
    uint64_t h = hash_word(key);
    wn_word *w = &m->word[h & (WN_WORD_SLOTS - 1)];
    if (w->hash == h && w->len == p.len && !memcmp(w->text, key, WN_WORD_BYTES)) {
        if (out->n + WN_WORD_IDS > out->cap)
            WN_TRY(wn_ids_reserve(out, WN_WORD_IDS));
        memcpy(out->id + out->n, w->id, sizeof w->id);
        out->n += w->n;
        return WN_OK;
    }
    size_t first = out->n;
    WN_TRY(encode_word(t, m, p.p, p.len, mapped, out));
    if (out->n - first <= WN_WORD_IDS) {
        w->hash = h;
        w->len = (uint8_t)p.len;
        w->n = (uint8_t)(out->n - first);
        memcpy(w->text, key, WN_WORD_BYTES);
        memcpy(w->id, out->id + first, w->n * sizeof *w->id);
    }
    return WN_OK;
}

static wn_err encode_text(const wn_tokenizer *t, wn_token_memory *m, wn_span text, bool origin,
                          wn_ids *out)
{
    const wn_pieces *pieces;
    bool mapped;
    WN_TRY(wn_pretokenize(&pieces, &mapped, t->pre, t->n_pre, m, text, origin));
    for (size_t i = 0; i < pieces->n; i++) {
        wn_piece p = pieces->at[i];
        for (size_t left = p.len; left; left -= p.len, p.p += p.len) {
            p.len = t->model.parts && !mapped ? wn_bpe_part(&t->model, p.p, left) : left;
            WN_TRY(encode_piece(t, m, p, mapped, out));
        }
    }
    return WN_OK;
}

static wn_err encode_valid(const wn_tokenizer *t, wn_token_memory *m, const char *s, size_t len,
                           wn_ids *out)
{
    WN_TRY(wn_added_split(&m->outer, &t->added, &t->added.raw, s, len));
    for (size_t i = 0; i < m->outer.n; i++) {
        wn_cut c = m->outer.at[i];
        if (c.id >= 0) {
            WN_TRY(wn_ids_push(out, c.id));
            continue;
        }
        wn_span text;
        bool kept;
        WN_TRY(wn_normalize(&text, &kept, t->norm, t->n_norm, m,
                            (wn_span){s + c.start, c.end - c.start}));
        bool origin = c.start == 0 && kept;
        WN_TRY(wn_added_split(&m->inner, &t->added, &t->added.normal, text.p, text.len));
        for (size_t k = 0; k < m->inner.n; k++) {
            wn_cut d = m->inner.at[k];
            if (d.id >= 0)
                WN_TRY(wn_ids_push(out, d.id));
            else
                WN_TRY(encode_text(t, m, (wn_span){text.p + d.start, d.end - d.start},
                                   origin && d.start == 0, out));
        }
    }
    return WN_OK;
}

static wn_err append(const wn_tokenizer *t, wn_token_memory *m, const char *text, size_t len,
                     wn_ids *out)
{
    if (wn_utf8_valid(text, len))
        return encode_valid(t, m, text, len, out);
    wn_str s = {0};
    wn_utf8_repair(&s, text, len);
    wn_err err = wn_str_check(&s);
    if (!err)
        err = encode_valid(t, m, s.p, s.len, out);
    wn_str_free(&s);
    return err;
}

wn_err wn_tokenizer_append(const wn_tokenizer *t, wn_token_work *w, const char *text, size_t len,
                           wn_ids *out)
{
    WN_TRY(prepare(w, t, true));
    return append(t, w->memory, text, len, out);
}

wn_err wn_tokenizer_encode(const wn_tokenizer *t, const char *text, size_t len, bool special,
                           int32_t **ids, size_t *n)
{
    wn_ids out = {0};
    wn_token_work w = {0};
    wn_err err = wn_ids_reserve(&out, 1); /* an empty text has an array, too */
    for (size_t i = 0; special && !err && i < t->prefix.n; i++)
        err = wn_ids_push(&out, t->prefix.id[i]);
    if (!err)
        err = prepare(&w, t, len >= WORTH_A_CACHE);
    if (!err)
        err = append(t, w.memory, text, len, &out);
    for (size_t i = 0; special && !err && i < t->suffix.n; i++)
        err = wn_ids_push(&out, t->suffix.id[i]);
    wn_token_work_free(&w);
    if (err)
        wn_ids_release(&out);
    *ids = out.id;
    *n = out.n;
    return err;
}

void wn_ids_free(int32_t *ids)
{
    wn_free(ids);
}

/* ---- decoding -------------------------------------------------------------------------- */

wn_err wn_tokenizer_decode(const wn_tokenizer *t, const int32_t *ids, size_t n, bool skip_special,
                           char **text)
{
    *text = NULL;
    wn_texts v = {0};
    wn_err err = WN_OK;
    wn_str_add(&v.text, "", 0);
    for (size_t i = 0; i < n && !err; i++) {
        const wn_added_token *a = wn_added_find(&t->added, ids[i]);
        wn_span s = a ? (wn_span){a->normal.p, a->normal.len} : wn_vocab_text(&t->vocab, ids[i]);
        if (!s.p) {
            err = wn_fail(WN_EARG, "%s: no token has the id %d, ids are below %zu", t->path,
                          (int)ids[i], t->facts.vocab);
            break;
        }
        const wn_added_token *special = skip_special ? wn_added_named(&t->added, s.p, s.len) : NULL;
        if (special && special->special)
            continue;
        if (!t->has_dec && v.n)
            wn_str_putc(&v.text, ' ');
        wn_str_add(&v.text, s.p, s.len);
        err = wn_texts_end(&v);
    }
    if (!err && v.n)
        err = wn_decode_texts(&v, t->dec, t->n_dec);
    if (!err)
        err = wn_str_check(&v.text);
    if (!err) {
        *text = v.text.p;
        v.text = (wn_str){0};
    }
    wn_texts_free(&v);
    return err;
}

/* ---- facts ----------------------------------------------------------------------------- */

size_t wn_tokenizer_vocab(const wn_tokenizer *t)
{
    return t->facts.vocab;
}

const wn_token_facts *wn_tokenizer_facts(const wn_tokenizer *t)
{
    return &t->facts;
}

const char *wn_tokenizer_token(const wn_tokenizer *t, int32_t id)
{
    const wn_added_token *a = wn_added_find(&t->added, id);
    return a ? a->content.p : wn_vocab_text(&t->vocab, id).p;
}

int32_t wn_tokenizer_lookup(const wn_tokenizer *t, const char *text, size_t len)
{
    const wn_added_token *a = wn_added_named(&t->added, text, len);
    return a ? a->id : wn_vocab_find(&t->vocab, text, len);
}

int32_t wn_tokenizer_id(const wn_tokenizer *t, const char *token)
{
    return wn_tokenizer_lookup(t, token, strlen(token));
}

wn_err wn_tokenizer_lowercase(wn_tokenizer *t)
{
    for (size_t i = 0; i < t->n_norm; i++)
        if (t->norm[i].kind == WN_NORM_LOWER ||
            (t->norm[i].kind == WN_NORM_BERT && t->norm[i].lower))
            return WN_OK;
    if (!WN_GROW(t->norm, t->n_norm, t->norm_cap))
        return WN_ENOMEM;
    memmove(t->norm + 1, t->norm, t->n_norm++ * sizeof *t->norm);
    t->norm[0] = (wn_norm){.kind = WN_NORM_LOWER};
    return WN_OK;
}

const char *wn_tokenizer_sha(const wn_tokenizer *t)
{
    return t->sha;
}

/* ---- opening --------------------------------------------------------------------------- */

static wn_err check_added_around(const wn_tokenizer *t, const wn_ids *ids)
{
    for (size_t i = 0; i < ids->n; i++)
        if (ids->id[i] < 0 || (size_t)ids->id[i] >= t->facts.vocab)
            return wn_fail(WN_EFORMAT,
                           "%s: id %d is put before or behind every text, expected ids below %zu",
                           t->path, (int)ids->id[i], t->facts.vocab);
    return WN_OK;
}

/* What every reader leaves to be worked out from what it has read. */
static wn_err fill_facts(wn_tokenizer *t)
{
    static const char *const kinds[] = {"wordpiece", "bpe", "unigram"};
    wn_token_facts *f = &t->facts;
    f->prefix = t->prefix.id;
    f->n_prefix = t->prefix.n;
    f->suffix = t->suffix.id;
    f->n_suffix = t->suffix.n;
    f->vocab = t->vocab.n;
    if (t->added.n && (size_t)t->added.token[t->added.n - 1].id >= f->vocab)
        f->vocab = (size_t)t->added.token[t->added.n - 1].id + 1;
    WN_TRY(check_added_around(t, &t->prefix));
    WN_TRY(check_added_around(t, &t->suffix));
    f->kind = kinds[t->model.kind];
    f->chat_template = t->chat_template;
    for (size_t i = 0; i < t->n_norm; i++)
        f->adds_space |= t->norm[i].kind == WN_NORM_PREPEND;
    for (size_t i = 0; i < t->n_pre; i++) {
        f->adds_space |= t->pre[i].kind == WN_PRE_BYTES && t->pre[i].prefix_space;
        f->adds_space |=
            t->pre[i].kind == WN_PRE_METASPACE && t->pre[i].prepend != WN_PREPEND_NEVER;
    }
    wn_template_own own = {0};
    if (f->chat_template)
        WN_TRY(wn_template_recognise(&own, f->chat_template));
    f->chat = own.t;
    f->chat_bos = own.bos;
    f->chat_system = own.system;
    return WN_OK;
}

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), k = strlen(end);
    return n >= k && !strcmp(s + n - k, end);
}

static wn_err read_file(wn_tokenizer *t, const char *path)
{
    char *text;
    size_t len;
    WN_TRY(wn_file_read(&text, &len, path, MAX_FILE));
    wn_err err = wn_sha_bytes(t->sha, text, len);
    if (!err)
        err = ends_with(path, ".model")        ? wn_tokenizer_read_spm(t, text, len)
              : ends_with(path, "config.json") ? wn_tokenizer_read_byt5(t, text, len)
              : ends_with(path, "vocab.json") || ends_with(path, "vocab.txt")
                  ? wn_tokenizer_read_plain(t, text, len)
                  : wn_tokenizer_read_json(t, text, len);
    wn_free(text);
    return err;
}

/* In a folder: tokenizer.json, else a SentencePiece model under one of its usual names, else a
 * configuration that names a tokenizer without a file, else a vocabulary of older kinds. */
static wn_err find_file(char **path, const char *model)
{
    static const char *const names[] = {"tokenizer.json", "spiece.model", "tokenizer.model"};
    if (!wn_is_dir(model)) {
        *path = wn_strdup(model);
        return *path ? WN_OK : WN_ENOMEM;
    }
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        WN_TRY(wn_path_join(path, model, names[i]));
        if (wn_file_exists(*path))
            return WN_OK;
        wn_free(*path);
    }
    WN_TRY(wn_byt5_find(path, model));
    if (!*path)
        WN_TRY(wn_plain_find(path, model));
    if (*path)
        return WN_OK;
    return wn_fail(
        WN_EIO,
        "%s: expected tokenizer.json, a SentencePiece .model, vocab.json with merges.txt "
        "or vocab.txt there, found none",
        model);
}

static wn_err folder_of(char **folder, const char *path)
{
    size_t n = (size_t)(wn_path_base(path) - path);
    *folder = n ? wn_strndup(path, n) : wn_strdup(".");
    return *folder ? WN_OK : WN_ENOMEM;
}

static wn_err load(wn_tokenizer *t, const char *model)
{
    WN_TRY(find_file(&t->path, model));
    t->facts.bos = t->facts.eos = t->facts.unk = t->facts.pad = -1;
    t->model.unk = -1;
    if (ends_with(t->path, ".gguf")) {
        WN_TRY(wn_tokenizer_read_gguf(t, t->path));
    } else {
        WN_TRY(read_file(t, t->path));
        char *folder;
        WN_TRY(folder_of(&folder, t->path));
        wn_err err = wn_tokenizer_read_config(t, folder);
        wn_free(folder);
        WN_TRY(err);
    }
    if (t->model.kind == WN_MODEL_BPE)
        WN_TRY(wn_bpe_parts(&t->model, &t->vocab));
    return fill_facts(t);
}

wn_err wn_tokenizer_open(wn_tokenizer **out, const char *model)
{
    static _Atomic uint64_t serial;
    *out = NULL;
    wn_tokenizer *t;
    WN_NEW(t, 1);
    t->serial = atomic_fetch_add(&serial, 1) + 1;
    wn_err err = load(t, model);
    if (err) {
        wn_tokenizer_close(t);
        return err;
    }
    *out = t;
    return WN_OK;
}

void wn_tokenizer_close(wn_tokenizer *t)
{
    if (!t)
        return;
    for (size_t i = 0; i < t->n_norm; i++)
        wn_norm_free(&t->norm[i]);
    for (size_t i = 0; i < t->n_pre; i++)
        wn_pre_free(&t->pre[i]);
    for (size_t i = 0; i < t->n_dec; i++)
        wn_dec_free(&t->dec[i]);
    wn_free(t->norm);
    wn_free(t->pre);
    wn_free(t->dec);
    wn_added_free(&t->added);
    wn_vocab_free(&t->vocab);
    wn_lexicon_free(&t->model);
    wn_ids_release(&t->prefix);
    wn_ids_release(&t->suffix);
    wn_free(t->chat_template);
    wn_free(t->path);
    wn_free(t);
}

/* Reads a SentencePiece .model, a protobuf message:
 *
 *   1  pieces, each: 1 text, 2 score (f32), 3 type
 *   2  trainer: 3 model type (1 unigram, 2 BPE), 24 white space as suffix, 35 byte fallback,
 *      40-43 ids of unknown, begin, end, padding
 *   3  normaliser: 2 character map, 3 dummy prefix, 4 extra white space removed, 5 it is escaped
 *
 * Texts become ids as SentencePiece itself makes them. Special tokens and, in a T5 folder, the
 * extra ids and the EOS behind each text are what transformers adds. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "io/file.h"
#include "io/json.h"
#include "token/parts.h"

#define MARK "\xe2\x96\x81" /* U+2581 */

enum { NORMAL = 1, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE };
enum { UNIGRAM = 1, BPE };

/* ---- protobuf -------------------------------------------------------------------------- */

typedef struct field {
    uint32_t number;
    uint64_t value; /* of a varint or four bytes */
    wn_span bytes;  /* of a length-delimited one, else p is NULL */
} field;

static bool read_varint(wn_span *s, uint64_t *v)
{
    *v = 0;
    for (int shift = 0; shift < 64 && s->len; shift += 7) {
        unsigned char b = (unsigned char)*s->p++;
        s->len--;
        *v |= (uint64_t)(b & 127) << shift;
        if (b < 128)
            return true;
    }
    return false;
}

/* The next field of a message; false at its end or where it is broken (then s->len is not 0). */
static bool next_field(wn_span *s, field *f)
{
    wn_span rest = *s;
    uint64_t key, n;
    if (!rest.len || !read_varint(&rest, &key) || key >> 3 > UINT32_MAX)
        return false;
    *f = (field){.number = (uint32_t)(key >> 3)};
    size_t take = 0;
    switch (key & 7) {
    case 0:
        if (!read_varint(&rest, &f->value))
            return false;
        break;
    case 1:
        take = 8;
        break;
    case 2:
        if (!read_varint(&rest, &n) || n > rest.len)
            return false;
        f->bytes = (wn_span){rest.p, (size_t)n};
        take = (size_t)n;
        break;
    case 5:
        take = 4;
        break;
    default:
        return false;
    }
    if (take > rest.len)
        return false;
    if ((key & 7) == 5)
        for (int i = 0; i < 4; i++)
            f->value |= (uint64_t)(unsigned char)rest.p[i] << 8 * i;
    *s = (wn_span){rest.p + take, rest.len - take};
    return true;
}

/* ---- the model ------------------------------------------------------------------------- */

typedef struct spec {
    uint64_t kind, suffix, fallback;
    int64_t unk, bos, eos, pad;
    wn_span map;
    uint64_t prefix, trim, escape;
    size_t n; /* pieces */
    unsigned char *type;
} spec;

static wn_err broken(const wn_tokenizer *t, const char *what)
{
    return wn_fail(WN_EFORMAT, "%s: expected a SentencePiece model, %s", t->path, what);
}

static wn_err read_trainer(const wn_tokenizer *t, wn_span s, spec *x)
{
    field f;
    while (next_field(&s, &f)) {
        int64_t id = (int32_t)f.value;
        if (f.number == 3)
            x->kind = f.value;
        else if (f.number == 24)
            x->suffix = f.value;
        else if (f.number == 35)
            x->fallback = f.value;
        else if (f.number == 40)
            x->unk = id;
        else if (f.number == 41)
            x->bos = id;
        else if (f.number == 42)
            x->eos = id;
        else if (f.number == 43)
            x->pad = id;
    }
    return s.len ? broken(t, "its trainer's part is broken") : WN_OK;
}

static wn_err read_normalizer(const wn_tokenizer *t, wn_span s, spec *x)
{
    field f;
    while (next_field(&s, &f)) {
        if (f.number == 2)
            x->map = f.bytes;
        else if (f.number == 3)
            x->prefix = f.value;
        else if (f.number == 4)
            x->trim = f.value;
        else if (f.number == 5)
            x->escape = f.value;
    }
    return s.len ? broken(t, "its normaliser's part is broken") : WN_OK;
}

static wn_err read_piece(wn_tokenizer *t, wn_span s, spec *x, size_t id)
{
    field f;
    wn_span text = {"", 0};
    uint32_t bits = 0;
    uint64_t type = NORMAL;
    while (next_field(&s, &f)) {
        if (f.number == 1 && f.bytes.p)
            text = f.bytes;
        else if (f.number == 2)
            bits = (uint32_t)f.value;
        else if (f.number == 3)
            type = f.value;
    }
    float score;
    memcpy(&score, &bits, sizeof score);
    if (s.len || !wn_utf8_valid(text.p, text.len) || type < NORMAL || type > BYTE ||
        !isfinite(score))
        return broken(t, "a piece is broken");
    x->type[id] = (unsigned char)type;
    t->model.score[id] = score;
    if (type == NORMAL && score < t->model.min_score)
        t->model.min_score = score;
    return wn_context(wn_vocab_add(&t->vocab, text.p, text.len, (int64_t)id, (int64_t)x->n, true),
                      "%s", t->path);
}

/* Counts the pieces first, so that nothing is allocated that the file does not hold. */
static wn_err read_message(wn_tokenizer *t, wn_span all, spec *x)
{
    field f;
    wn_span s = all;
    while (next_field(&s, &f)) {
        x->n += f.number == 1 && f.bytes.p;
        if (f.number == 2 && f.bytes.p)
            WN_TRY(read_trainer(t, f.bytes, x));
        if (f.number == 3 && f.bytes.p)
            WN_TRY(read_normalizer(t, f.bytes, x));
    }
    if (s.len || !x->n)
        return broken(t, s.len ? "it is broken" : "it has no piece");
    if (x->kind != UNIGRAM && x->kind != BPE)
        return broken(t, "and of unigram or BPE type");
    if (x->suffix || !x->escape)
        return broken(t, "with white space escaped in front of words");
    WN_TRY(wn_vocab_init(&t->vocab, x->n));
    WN_NEW(t->model.score, x->n);
    WN_NEW(x->type, x->n);
    t->model.min_score = INFINITY;
    size_t id = 0;
    for (s = all; next_field(&s, &f);)
        if (f.number == 1 && f.bytes.p)
            WN_TRY(read_piece(t, f.bytes, x, id++));
    return WN_OK;
}

/* ---- the pipeline
 * --------------------------------------------------------------------------------- */

static wn_norm *add_norm(wn_tokenizer *t, wn_norm_kind kind)
{
    if (t->n_norm == t->norm_cap && !WN_GROW(t->norm, t->n_norm, t->norm_cap))
        return NULL;
    t->norm[t->n_norm] = (wn_norm){.kind = kind};
    return &t->norm[t->n_norm++];
}

/* Words can be done one by one (and remembered) if no piece reaches over a mark. */
static bool words_apart(const wn_tokenizer *t, const spec *x)
{
    bool mark = false;
    for (size_t id = 0; id < x->n; id++) {
        wn_span s = wn_vocab_text(&t->vocab, (int64_t)id);
        if (x->type[id] != NORMAL && x->type[id] != USER_DEFINED)
            continue;
        mark |= s.len == 3 && !memcmp(s.p, MARK, 3);
        for (size_t i = 1; i + 3 <= s.len; i++)
            if (!memcmp(s.p + i, MARK, 3))
                return false;
    }
    return mark;
}

static wn_err make_pipeline(wn_tokenizer *t, const spec *x)
{
    /* the dummy prefix: at once where white space is kept, else behind its removal */
    if (x->prefix && !x->trim)
        WN_TRY(wn_spm_prefix(t, " "));
    if (x->map.len) {
        wn_norm *n = add_norm(t, WN_NORM_PRECOMPILED);
        if (!n)
            return WN_ENOMEM;
        WN_TRY(wn_context(wn_charsmap_read(&n->map, x->map.p, x->map.len), "%s", t->path));
        n->map.longest = true;
    }
    if (x->trim && !add_norm(t, WN_NORM_SPM_SPACES))
        return WN_ENOMEM;
    if (x->prefix && x->trim)
        WN_TRY(wn_spm_prefix(t, MARK));
    WN_TRY(wn_spm_marks(t, x->prefix));
    if (!words_apart(t, x))
        return WN_OK;
    if (t->n_pre == t->pre_cap && !WN_GROW(t->pre, t->n_pre, t->pre_cap))
        return WN_ENOMEM;
    t->pre[t->n_pre++] = (wn_pre){
        .kind = WN_PRE_METASPACE, .character = 0x2581, .split = true, .prepend = WN_PREPEND_NEVER};
    return WN_OK;
}

static wn_err make_model(wn_tokenizer *t, const spec *x)
{
    wn_lexicon *m = &t->model;
    unsigned char *usable;
    m->byte_fallback = x->fallback;
    m->fuse_unk = true;
    m->single = true;
    m->unk = x->unk >= 0 && (uint64_t)x->unk < x->n ? (int32_t)x->unk : -1;
    wn_lexicon_bytes(m, &t->vocab);
    WN_NEW(usable, x->n);
    for (size_t id = 0; id < x->n; id++)
        usable[id] = x->type[id] == NORMAL || x->type[id] == USER_DEFINED;
    m->kind = x->kind == BPE ? WN_MODEL_BPE : WN_MODEL_UNIGRAM;
    wn_err err = x->kind == BPE ? wn_spm_pairs(t, usable) : wn_lexicon_trie(m, &t->vocab, usable);
    wn_free(usable);
    return err;
}

/* A user-defined piece is looked for behind the normaliser, so one with a blank is never found, as
 * in SentencePiece; special ones are looked for in the text as it comes. */
static wn_err add_token(wn_tokenizer *t, wn_span text, int32_t id, bool special)
{
    wn_added_token a = {.id = id, .special = special, .normalized = !special};
    wn_str_add(&a.content, text.p, text.len);
    wn_str_add(&a.normal, text.p, text.len);
    wn_err err = wn_str_check(&a.content);
    if (!err)
        err = wn_str_check(&a.normal);
    if (!err)
        return wn_added_push(&t->added, &a);
    wn_str_free(&a.content);
    wn_str_free(&a.normal);
    return err;
}

/* ---- T5
 * ------------------------------------------------------------------------------------------- */

/* How many <extra_id_N> transformers puts behind the vocabulary: tokenizer_config.json says, else
 * 100 for a T5. *t5: config.json names that family. */
static wn_err extra_ids(const wn_tokenizer *t, bool *t5, int64_t *n)
{
    static const char *const names[] = {"config.json", "tokenizer_config.json"};
    size_t len = (size_t)(wn_path_base(t->path) - t->path);
    char *folder = len ? wn_strndup(t->path, len) : wn_strdup(".");
    wn_err err = folder ? WN_OK : WN_ENOMEM;
    *t5 = false;
    *n = 0;
    for (int i = 0; i < 2 && !err; i++) {
        char *path;
        json_t *c = NULL;
        err = wn_path_join(&path, folder, names[i]);
        if (err)
            break;
        if (wn_file_exists(path))
            err = wn_json_load(&c, path);
        const char *family = json_string_value(json_object_get(c, "model_type"));
        const json_t *v = json_object_get(c, "extra_ids");
        if (family && (!strcmp(family, "t5") || !strcmp(family, "mt5")))
            *t5 = true;
        if (family && !strcmp(family, "t5"))
            *n = 100;
        if (i == 1 && json_is_integer(v))
            *n = json_integer_value(v);
        json_decref(c);
        wn_free(path);
    }
    wn_free(folder);
    if (!err && (*n < 0 || *n > 10000))
        err = wn_fail(WN_EFORMAT, "%s: extra_ids %lld in tokenizer_config.json", t->path,
                      (long long)*n);
    return err;
}

static wn_err add_specials(wn_tokenizer *t, const spec *x)
{
    bool t5;
    int64_t extra;
    for (size_t id = 0; id < x->n; id++) {
        int type = x->type[id];
        wn_span s = wn_vocab_text(&t->vocab, (int64_t)id);
        if (s.len && (type == CONTROL || type == UNKNOWN || type == USER_DEFINED))
            WN_TRY(add_token(t, s, (int32_t)id, type != USER_DEFINED));
    }
    WN_TRY(extra_ids(t, &t5, &extra));
    for (int64_t i = 0; i < extra; i++) {
        char name[32];
        int len = snprintf(name, sizeof name, "<extra_id_%lld>", (long long)(extra - 1 - i));
        if (wn_vocab_find(&t->vocab, name, (size_t)len) < 0)
            WN_TRY(add_token(t, (wn_span){name, (size_t)len}, (int32_t)(x->n + (size_t)i), true));
    }
    int64_t bos = x->bos >= 0 && (uint64_t)x->bos < x->n ? x->bos : -1;
    int64_t eos = x->eos >= 0 && (uint64_t)x->eos < x->n ? x->eos : -1;
    t->facts.bos = (int32_t)bos;
    t->facts.eos = (int32_t)eos;
    t->facts.pad = x->pad >= 0 && (uint64_t)x->pad < x->n ? (int32_t)x->pad : -1;
    if (x->kind == BPE && bos >= 0)
        WN_TRY(wn_ids_push(&t->prefix, (int32_t)bos));
    if (t5 && eos >= 0)
        WN_TRY(wn_ids_push(&t->suffix, (int32_t)eos));
    return wn_added_index(&t->added);
}

wn_err wn_tokenizer_read_spm(wn_tokenizer *t, const char *bytes, size_t len)
{
    spec x = {.kind = UNIGRAM,
              .unk = 0,
              .bos = 1,
              .eos = 2,
              .pad = -1,
              .prefix = 1,
              .trim = 1,
              .escape = 1};
    wn_err err = read_message(t, (wn_span){bytes, len}, &x);
    if (!err)
        err = make_model(t, &x);
    if (!err)
        err = make_pipeline(t, &x);
    if (!err)
        err = add_specials(t, &x);
    wn_free(x.type);
    return err;
}

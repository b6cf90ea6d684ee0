/* Reads a tokenizer out of GGUF metadata. The file keeps the vocabulary and a name for the rest, so
 * each name's pipeline stands here as the model's tokenizer.json has it; a name that is not in the
 * table is refused, since a guessed pattern gives ids that are nearly right.
 *
 *   tokenizer.ggml.model   here
 *   gpt2                   byte-level BPE, split as tokenizer.ggml.pre says
 *   llama                  SentencePiece BPE: the pair that makes the token of highest score goes
 * first t5                     SentencePiece unigram bert                   WordPiece, its texts
 * rewritten ("##x" as "x", word starts with U+2581) */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/gguf.h"
#include "token/parts.h"

#define MARK "\xe2\x96\x81" /* U+2581 */
#define KEY  "tokenizer.ggml."

enum { NORMAL = 1, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE };

/* ---- what the name of a pre-tokeniser stands for
 * -------------------------------------------------- */

#define CONTRACTION "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define UPPER       "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER       "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define TAIL        "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define LEAD        "[^\\r\\n\\p{L}\\p{N}]?"

static const char DIGIT[] = "\\p{N}";
static const char DIGITS3[] = "\\p{N}{1,3}";
static const char KANA[] = "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+";
static const char DEEPSEEK[] =
    "[!\"#$%&'()*+,\\-./"
    ":;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+"
    "| ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
static const char O200K[] = LEAD UPPER "*" LOWER "+" CONTRACTION "?|" LEAD UPPER "+" LOWER
                                       "*" CONTRACTION "?|\\p{N}{1,3}" TAIL;
static const char TEKKEN[] = LEAD UPPER "*" LOWER "+|" LEAD UPPER "+" LOWER "*|\\p{N}" TAIL;
static const char PUNCT[] = "[\\p{P}\\$\\+<=>\\^~\\|]+";
static const char NUMBER[] = "\\p{N}+";
static const char THREES[] = "[0-9][0-9][0-9]";
static const char BLOOM[] = " ?[^(\\s|.,!?\u2026\u3002\uff0c\u3001\u0964\u06d4\u060c)]+";

static const struct pre {
    const char *names;      /* between blanks */
    const char *pattern[4]; /* each splits the pieces of the one before */
    bool nfc, whole_words, bos;
} PRE[] = {
    {" gpt-2 gpt2 jais phi-2 gigachat trillion granite-docling ", {wn_pattern_gpt2}, 0, 0, 0},
    {" mpt olmo ", {wn_pattern_gpt2}, 1, 0, 0}, /* GPT-NeoX's vocabulary, Pythia's too */
    {" smollm starcoder refact command-r codeshell exaone minerva-7b mellum mellum2 ",
     {DIGIT, wn_pattern_gpt2},
     0,
     0,
     0},
    {" llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2 ",
     {wn_pattern_llama3},
     0,
     1,
     1},
    {" dbrx smaug-bpe chatglm-bpe glm4 ", {wn_pattern_llama3}, 0, 0, 0},
    {" qwen2 deepseek-r1-qwen megrez ", {wn_pattern_qwen2}, 1, 0, 0},
    {" stablelm2 hunyuan solar-open grok-2 ", {wn_pattern_qwen2}, 0, 0, 0},
    {" gpt-4o llama4 kanana2 minimax-m2 ", {O200K}, 0, 0, 0},
    {" tekken ", {TEKKEN}, 0, 1, 1},
    {" deepseek-v3 hunyuan-dense ", {DIGITS3, KANA, DEEPSEEK}, 0, 0, 0},
    {" bloom gpt3-finnish poro-chat ", {BLOOM}, 0, 0, 0},
    {" viking ", {BLOOM, DIGIT}, 0, 0, 0},
    {" default ", {PUNCT, wn_pattern_gpt2, NUMBER, THREES}, 0, 0, 0},
};

static const struct pre *find_pre(wn_span name)
{
    char key[66];
    if (name.len > 62 || memchr(name.p, ' ', name.len))
        return NULL;
    snprintf(key, sizeof key, " %.*s ", (int)name.len, name.p);
    for (size_t i = 0; i < sizeof PRE / sizeof *PRE; i++)
        if (strstr(PRE[i].names, key))
            return &PRE[i];
    return NULL;
}

/* ---- pieces of the pipeline
 * ----------------------------------------------------------------------- */

static wn_norm *add_norm(wn_tokenizer *t, wn_norm_kind kind)
{
    if (t->n_norm == t->norm_cap && !WN_GROW(t->norm, t->n_norm, t->norm_cap))
        return NULL;
    t->norm[t->n_norm] = (wn_norm){.kind = kind};
    return &t->norm[t->n_norm++];
}

static wn_pre *add_pre(wn_tokenizer *t, wn_pre_kind kind)
{
    if (t->n_pre == t->pre_cap && !WN_GROW(t->pre, t->n_pre, t->pre_cap))
        return NULL;
    t->pre[t->n_pre] = (wn_pre){.kind = kind};
    return &t->pre[t->n_pre++];
}

static wn_dec *add_dec(wn_tokenizer *t, wn_dec_kind kind)
{
    if (t->n_dec == t->dec_cap && !WN_GROW(t->dec, t->n_dec, t->dec_cap))
        return NULL;
    t->has_dec = true;
    t->dec[t->n_dec] = (wn_dec){.kind = kind};
    return &t->dec[t->n_dec++];
}

static wn_err add_replace(wn_tokenizer *t, const char *from, const char *to)
{
    wn_norm *n = add_norm(t, WN_NORM_REPLACE);
    if (!n)
        return WN_ENOMEM;
    wn_str_puts(&n->content, to);
    WN_TRY(wn_str_check(&n->content));
    return wn_pattern_literal(&n->pattern, from, strlen(from));
}

wn_err wn_spm_prefix(wn_tokenizer *t, const char *text)
{
    wn_norm *n = add_norm(t, WN_NORM_PREPEND);
    if (!n)
        return WN_ENOMEM;
    wn_str_puts(&n->content, text);
    return wn_str_check(&n->content);
}

wn_err wn_spm_marks(wn_tokenizer *t, bool prefix)
{
    WN_TRY(add_replace(t, " ", MARK));
    wn_dec *d = add_dec(t, WN_DEC_REPLACE);
    if (!d)
        return WN_ENOMEM;
    wn_str_puts(&d->text, " ");
    WN_TRY(wn_str_check(&d->text));
    WN_TRY(wn_pattern_literal(&d->pattern, MARK, strlen(MARK)));
    if (!add_dec(t, WN_DEC_FALLBACK) || !add_dec(t, WN_DEC_FUSE))
        return WN_ENOMEM;
    d = prefix ? add_dec(t, WN_DEC_STRIP) : NULL;
    if (d)
        *d = (wn_dec){.kind = WN_DEC_STRIP, .character = ' ', .start = 1};
    return prefix && !d ? WN_ENOMEM : WN_OK;
}

/* ---- the vocabulary
 * ------------------------------------------------------------------------------- */

static int64_t type_of(const wn_gguf *g, size_t id)
{
    int64_t type = NORMAL;
    return wn_gguf_array_i64(g, KEY "token_type", id, &type) ? type : NORMAL;
}

static bool flag(const wn_gguf *g, const char *key, bool absent)
{
    bool v = absent;
    return wn_gguf_bool(g, key, &v) ? v : absent;
}

/* "##x" is stored as "x" and a word's start with a mark in front; bracketed names as they are. */
static wn_err put_wordpiece(wn_str *out, wn_span s)
{
    wn_str_clear(out);
    bool bracketed = s.len > 1 && s.p[0] == '[' && s.p[s.len - 1] == ']';
    if (s.len >= 3 && !memcmp(s.p, MARK, 3))
        s = (wn_span){s.p + 3, s.len - 3};
    else if (!bracketed)
        wn_str_puts(out, "##");
    wn_str_add(out, s.p, s.len);
    return wn_str_check(out);
}

/* Gemma's runs of blanks: added tokens of marks, which the file holds as blanks. Raw text has them
 * only where marks are spelled out; blanks become marks first, and are merged to runs before all
 * else, shorter runs first. */
static bool is_run(const wn_tokenizer *t, const wn_gguf *g, size_t id, wn_span s)
{
    size_t i = 0;
    while (i < s.len && s.p[i] == ' ')
        i++;
    return t->model.kind == WN_MODEL_BPE && t->model.byte_fallback && i == s.len && i > 1 &&
           type_of(g, id) == USER_DEFINED && !flag(g, KEY "add_space_prefix", true);
}

static wn_err put_run(wn_str *out, size_t n)
{
    wn_str_clear(out);
    for (size_t i = 0; i < n; i++)
        wn_str_puts(out, MARK);
    return wn_str_check(out);
}

static wn_err read_vocab(wn_tokenizer *t, const wn_gguf *g, wn_sha *sha)
{
    size_t n;
    wn_str text = {0};
    wn_err err = WN_OK;
    if (!wn_gguf_array(g, KEY "tokens", &n) || !n)
        return wn_fail(WN_EFORMAT, "%s: expected " KEY "tokens, found none", t->path);
    WN_TRY(wn_vocab_init(&t->vocab, n));
    for (size_t id = 0; id < n && !err; id++) {
        wn_span s;
        if (!wn_gguf_array_string(g, KEY "tokens", id, &s))
            return wn_fail(WN_EFORMAT, "%s: " KEY "tokens: expected texts", t->path);
        wn_sha_add(sha, s.p, s.len);
        wn_sha_add(sha, "", 1);
        if (!wn_utf8_valid(s.p, s.len))
            err = wn_fail(WN_EFORMAT, "%s: token %zu is not UTF-8", t->path, id);
        if (!err && t->model.kind == WN_MODEL_WORDPIECE) {
            err = put_wordpiece(&text, s);
            s = (wn_span){text.p, text.len};
        }
        if (!err && is_run(t, g, id, s)) {
            err = put_run(&text, s.len);
            s = (wn_span){text.p, text.len};
        }
        if (!err)
            err = wn_context(wn_vocab_add(&t->vocab, s.p, s.len, (int64_t)id, (int64_t)n, true),
                             "%s", t->path);
    }
    wn_str_free(&text);
    return err;
}

/* Control and user-defined tokens are found in texts. */
static wn_err read_added(wn_tokenizer *t, const wn_gguf *g)
{
    for (size_t id = 0; id < t->vocab.n; id++) {
        int64_t type = type_of(g, id);
        bool unknown = type == UNKNOWN && t->model.kind == WN_MODEL_BPE;
        wn_span s = wn_vocab_text(&t->vocab, (int64_t)id);
        if ((type != CONTROL && type != USER_DEFINED && !unknown) || !s.len)
            continue;
        wn_added_token a = {.id = (int32_t)id, .special = type != USER_DEFINED};
        wn_str_add(&a.content, s.p, s.len);
        if (wn_str_check(&a.content))
            return WN_ENOMEM;
        WN_TRY(wn_added_take(t, &a));
    }
    return wn_added_index(&t->added);
}

static wn_err read_scores(wn_tokenizer *t, const wn_gguf *g, wn_sha *sha)
{
    wn_lexicon *x = &t->model;
    size_t n;
    if (!wn_gguf_array(g, KEY "scores", &n) || n != t->vocab.n)
        return wn_fail(WN_EFORMAT, "%s: " KEY "scores: expected one for each of %zu tokens",
                       t->path, t->vocab.n);
    WN_NEW(x->score, n);
    x->min_score = INFINITY;
    for (size_t i = 0; i < n; i++) {
        if (!wn_gguf_array_f64(g, KEY "scores", i, &x->score[i]) || isnan(x->score[i]))
            return wn_fail(WN_EFORMAT, "%s: " KEY "scores[%zu]: expected a number", t->path, i);
        wn_sha_add(sha, &x->score[i], sizeof x->score[i]);
        wn_span s;
        if (wn_gguf_array_string(g, KEY "tokens", i, &s) && is_run(t, g, i, s))
            x->score[i] = 1e9 / (double)s.len;
        if (type_of(g, i) == NORMAL && x->score[i] < x->min_score)
            x->min_score = x->score[i];
    }
    return WN_OK;
}

static int by_score(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x > y ? -1 : x < y;
}

/* SentencePiece merges any two neighbours whose joined text is a token, highest score first,
 * leftmost of equals. As a table of pairs: every way to cut a token in two tokens, ranked by its
 * score; equal scores share a rank, so that the leftmost is taken. */
wn_err wn_spm_pairs(wn_tokenizer *t, const unsigned char *usable)
{
    wn_lexicon *x = &t->model;
    const wn_vocab *v = &t->vocab;
    double *order;
    size_t n = v->n, pairs = 0;
    WN_NEW(order, n + 1);
    memcpy(order, x->score, n * sizeof *order);
    qsort(order, n, sizeof *order, by_score);
    for (size_t id = 0; id < n; id++)
        pairs += v->len[id];
    wn_err err = wn_pairs_init(x, pairs < n * 8 ? pairs : n * 8);
    for (size_t id = 0; id < n && !err; id++) {
        wn_span s = wn_vocab_text(v, (int64_t)id);
        if (!usable[id] || s.len > 1024)
            continue;
        size_t lo = 0, hi = n; /* the first of the equal scores */
        while (lo < hi) {
            size_t mid = (lo + hi) / 2;
            if (order[mid] > x->score[id])
                lo = mid + 1;
            else
                hi = mid;
        }
        for (size_t k = s.len ? wn_utf8_size(s.p) : 0; k < s.len && !err;
             k += wn_utf8_size(s.p + k)) {
            int32_t left = wn_vocab_find(v, s.p, k), right = wn_vocab_find(v, s.p + k, s.len - k);
            if (left < 0 || right < 0 || !usable[left] || !usable[right])
                continue;
            if (x->n_pair * 4 > x->pair_mask * 3)
                err = wn_pairs_grow(x);
            if (!err)
                wn_pairs_put(x, left, right, (uint32_t)lo, (int32_t)id);
        }
    }
    wn_free(order);
    return err;
}

/* ---- kinds
 * ---------------------------------------------------------------------------------------- */

static int32_t token_id(const wn_tokenizer *t, const wn_gguf *g, const char *key)
{
    int64_t v;
    return wn_gguf_i64(g, key, &v) && v >= 0 && (uint64_t)v < t->vocab.n ? (int32_t)v : -1;
}

static wn_err read_merges(wn_tokenizer *t, const wn_gguf *g, wn_sha *sha)
{
    size_t n;
    wn_str joined = {0};
    if (!wn_gguf_array(g, KEY "merges", &n))
        return wn_fail(WN_EFORMAT, "%s: expected " KEY "merges, found none", t->path);
    wn_err err = wn_pairs_init(&t->model, n);
    for (size_t i = 0; i < n && !err; i++) {
        wn_span s, a, b = {0};
        if (!wn_gguf_array_string(g, KEY "merges", i, &s) || !s.len)
            return wn_fail(WN_EFORMAT, "%s: " KEY "merges[%zu]: expected two tokens", t->path, i);
        wn_sha_add(sha, s.p, s.len);
        const char *blank = memchr(s.p + 1, ' ', s.len - 1);
        a = (wn_span){s.p, blank ? (size_t)(blank - s.p) : s.len};
        if (blank)
            b = (wn_span){blank + 1, s.len - a.len - 1};
        err =
            !b.len
                ? wn_fail(WN_EFORMAT, "%s: " KEY "merges[%zu]: expected two tokens", t->path, i)
                : wn_context(wn_pairs_merge(&t->model, &t->vocab, a, b, i, &joined), "%s", t->path);
    }
    wn_str_free(&joined);
    return err;
}

static wn_err read_gpt2(wn_tokenizer *t, const wn_gguf *g, wn_sha *sha, bool *bos)
{
    wn_span name = {"default", 7};
    wn_gguf_string(g, KEY "pre", &name);
    wn_sha_add(sha, name.p, name.len);
    const struct pre *p = find_pre(name);
    if (!p)
        return wn_fail(WN_EFORMAT, "%s: " KEY "pre: the pre-tokeniser '%.*s' is not known", t->path,
                       (int)(name.len < 64 ? name.len : 64), name.p);
    t->model.kind = WN_MODEL_BPE;
    t->model.ignore_merges = p->whole_words;
    *bos = p->bos;
    WN_TRY(read_vocab(t, g, sha));
    wn_lexicon_bytes(&t->model, &t->vocab);
    WN_TRY(read_merges(t, g, sha));
    if (p->nfc) {
        wn_norm *n = add_norm(t, WN_NORM_FORM);
        if (!n)
            return WN_ENOMEM;
        n->form = WN_NFC;
    }
    for (size_t i = 0; i < 4 && p->pattern[i]; i++) {
        wn_pre *s = add_pre(t, p->pattern[i] == DIGIT ? WN_PRE_DIGITS : WN_PRE_SPLIT);
        if (!s)
            return WN_ENOMEM;
        s->behavior = WN_ISOLATED;
        s->individual = true;
        if (s->kind == WN_PRE_SPLIT)
            WN_TRY(wn_pattern_regex(&s->pattern, p->pattern[i], strlen(p->pattern[i]), false));
    }
    wn_pre *last = add_pre(t, WN_PRE_BYTES);
    if (!last)
        return WN_ENOMEM;
    last->prefix_space = flag(g, KEY "add_space_prefix", false);
    return add_dec(t, WN_DEC_BYTES) ? WN_OK : WN_ENOMEM;
}

static wn_err usable_tokens(const wn_tokenizer *t, const wn_gguf *g, unsigned char **usable)
{
    WN_NEW(*usable, t->vocab.n);
    for (size_t id = 0; id < t->vocab.n; id++) {
        int64_t type = type_of(g, id);
        (*usable)[id] = type == NORMAL || type == USER_DEFINED || type == UNUSED;
    }
    return WN_OK;
}

static wn_err trie_of_words(wn_tokenizer *t, const wn_gguf *g)
{
    unsigned char *usable;
    WN_TRY(usable_tokens(t, g, &usable));
    wn_err err = wn_lexicon_trie(&t->model, &t->vocab, usable);
    wn_free(usable);
    return err;
}

static wn_err read_llama(wn_tokenizer *t, const wn_gguf *g, wn_sha *sha)
{
    unsigned char *usable;
    t->model.kind = WN_MODEL_BPE;
    t->model.byte_fallback = true;
    t->model.fuse_unk = true;
    WN_TRY(read_vocab(t, g, sha));
    WN_TRY(read_scores(t, g, sha));
    wn_lexicon_bytes(&t->model, &t->vocab);
    t->model.unk = token_id(t, g, KEY "unknown_token_id");
    WN_TRY(usable_tokens(t, g, &usable));
    wn_err err = wn_spm_pairs(t, usable);
    wn_free(usable);
    WN_TRY(err);
    bool prefix = flag(g, KEY "add_space_prefix", true);
    if (prefix)
        WN_TRY(wn_spm_prefix(t, MARK));
    return wn_spm_marks(t, prefix);
}

static wn_err read_t5(wn_tokenizer *t, const wn_gguf *g, wn_sha *sha)
{
    t->model.kind = WN_MODEL_UNIGRAM;
    t->model.single = t->model.fuse_unk = true;
    WN_TRY(read_vocab(t, g, sha));
    WN_TRY(read_scores(t, g, sha));
    wn_lexicon_bytes(&t->model, &t->vocab);
    t->model.unk = token_id(t, g, KEY "unknown_token_id");
    size_t n;
    if (wn_gguf_array(g, KEY "precompiled_charsmap", &n) && n) {
        wn_norm *map = add_norm(t, WN_NORM_PRECOMPILED);
        wn_str bytes = {0};
        for (size_t i = 0; map && i < n; i++) {
            int64_t b = 0;
            wn_gguf_array_i64(g, KEY "precompiled_charsmap", i, &b);
            wn_str_putc(&bytes, (char)b);
        }
        wn_err err = map ? wn_str_check(&bytes) : WN_ENOMEM;
        if (!err) {
            wn_sha_add(sha, bytes.p, bytes.len);
            err = wn_context(wn_charsmap_read(&map->map, bytes.p, bytes.len), "%s", t->path);
            map->map.longest = true;
        }
        wn_str_free(&bytes);
        WN_TRY(err);
    }
    bool prefix = flag(g, KEY "add_space_prefix", true);
    if (flag(g, KEY "remove_extra_whitespaces", true) && !add_norm(t, WN_NORM_SPM_SPACES))
        return WN_ENOMEM;
    if (prefix)
        WN_TRY(wn_spm_prefix(t, MARK));
    WN_TRY(wn_spm_marks(t, prefix));
    return trie_of_words(t, g);
}

static wn_err read_bert(wn_tokenizer *t, const wn_gguf *g, wn_sha *sha)
{
    t->model.kind = WN_MODEL_WORDPIECE;
    t->model.max_chars = 100;
    wn_str_puts(&t->model.prefix, "##");
    WN_TRY(wn_str_check(&t->model.prefix));
    WN_TRY(read_vocab(t, g, sha));
    t->model.unk = token_id(t, g, KEY "unknown_token_id");
    if (t->model.unk < 0)
        t->model.unk = wn_vocab_find(&t->vocab, "[UNK]", 5);
    bool cased = false; /* the file does not say; a lower-casing model has no capital in a word */
    for (size_t id = 0; id < t->vocab.n && !cased; id++) {
        wn_span s = wn_vocab_text(&t->vocab, (int64_t)id);
        for (size_t i = 0; i < s.len && s.p[0] != '['; i++)
            cased |= s.p[i] >= 'A' && s.p[i] <= 'Z';
    }
    wn_norm *n = add_norm(t, WN_NORM_BERT);
    wn_dec *d = add_dec(t, WN_DEC_WORDPIECE);
    if (!n || !d || !add_pre(t, WN_PRE_BERT))
        return WN_ENOMEM;
    n->clean = n->chinese = true;
    n->lower = n->accents = !cased;
    d->cleanup = true;
    wn_str_puts(&d->text, "##");
    WN_TRY(wn_str_check(&d->text));
    return wn_lexicon_trie(&t->model, &t->vocab, NULL);
}

/* ---- the file
 * ------------------------------------------------------------------------------------- */

static wn_err read_ends(wn_tokenizer *t, const wn_gguf *g, bool bos, bool eos)
{
    wn_token_facts *f = &t->facts;
    bool bert = t->model.kind == WN_MODEL_WORDPIECE;
    f->bos = token_id(t, g, KEY "bos_token_id");
    f->eos = token_id(t, g, KEY "eos_token_id");
    f->unk = token_id(t, g, KEY "unknown_token_id");
    f->pad = token_id(t, g, KEY "padding_token_id");
    int32_t first = f->bos, last = f->eos;
    if (bert) {
        int32_t cls = token_id(t, g, KEY "cls_token_id");
        int32_t sep = token_id(t, g, KEY "seperator_token_id"); /* spelled so in the format */
        first = cls >= 0 ? cls : first >= 0 ? first : wn_vocab_find(&t->vocab, "[CLS]", 5);
        last = sep >= 0 ? sep : wn_vocab_find(&t->vocab, "[SEP]", 5);
    }
    if (flag(g, KEY "add_bos_token", bos || bert) && first >= 0)
        WN_TRY(wn_ids_push(&t->prefix, first));
    if (flag(g, KEY "add_eos_token", eos || bert) && last >= 0)
        WN_TRY(wn_ids_push(&t->suffix, last));
    wn_span s;
    if (!wn_gguf_string(g, "tokenizer.chat_template", &s))
        return WN_OK;
    t->chat_template = wn_strndup(s.p, s.len);
    return t->chat_template ? WN_OK : WN_ENOMEM;
}

static wn_err read_all(wn_tokenizer *t, const wn_gguf *g, wn_sha *sha)
{
    wn_span model = {0};
    bool bos = false, eos = false;
    if (!wn_gguf_string(g, KEY "model", &model))
        return wn_fail(WN_EFORMAT, "%s: expected " KEY "model, found none", t->path);
    wn_sha_add(sha, model.p, model.len);
    if (wn_span_is(model, "gpt2")) {
        WN_TRY(read_gpt2(t, g, sha, &bos));
    } else if (wn_span_is(model, "llama")) {
        WN_TRY(read_llama(t, g, sha));
        bos = true;
    } else if (wn_span_is(model, "t5")) {
        WN_TRY(read_t5(t, g, sha));
        eos = true;
    } else if (wn_span_is(model, "bert")) {
        WN_TRY(read_bert(t, g, sha));
    } else {
        return wn_fail(WN_EFORMAT, "%s: " KEY "model: the tokenizer '%.*s' is not supported",
                       t->path, (int)(model.len < 64 ? model.len : 64), model.p);
    }
    WN_TRY(read_added(t, g));
    return read_ends(t, g, bos, eos);
}

wn_err wn_tokenizer_read_gguf(wn_tokenizer *t, const char *path)
{
    wn_gguf *g;
    wn_sha *sha;
    WN_TRY(wn_gguf_open(&g, path));
    wn_err err = wn_sha_new(&sha);
    if (!err) {
        err = read_all(t, g, sha);
        wn_sha_hex(sha, t->sha);
    }
    wn_gguf_close(g);
    return err;
}

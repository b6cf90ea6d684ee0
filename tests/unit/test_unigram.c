/* Unigram's search against all segmentations of short texts; unknown characters; broken model
 * files. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/file.h"
#include "token/parts.h"

static const char *const TEXTS[] = {"<unk>", "a",  "b",   "c",      "ab",    "bc",
                                    "abc",   "ca", "cab", "<0xC3>", "<0xA9>"};
static double SCORES[] = {0, -2, -2.5, -3, -3.5, -4, -6, -4.25, -5, 0, 0};
enum { N = 11 };

static wn_tokenizer make(bool bytes)
{
    wn_tokenizer t = {.path = "test",
                      .model = {.kind = WN_MODEL_UNIGRAM, .unk = 0, .byte_fallback = bytes}};
    cr_assert_eq(wn_vocab_init(&t.vocab, N), WN_OK);
    for (int i = 0; i < N; i++)
        cr_assert_eq(wn_vocab_add(&t.vocab, TEXTS[i], strlen(TEXTS[i]), i, N, false), WN_OK);
    t.model.score = SCORES;
    t.model.min_score = -6;
    wn_lexicon_bytes(&t.model, &t.vocab);
    cr_assert_eq(wn_lexicon_trie(&t.model, &t.vocab, NULL), WN_OK);
    return t;
}

static void drop(wn_tokenizer *t)
{
    t->model.score = NULL;
    wn_lexicon_free(&t->model);
    wn_vocab_free(&t->vocab);
}

static double best(const wn_tokenizer *t, const char *s, size_t len)
{
    double top = len ? -1e9 : 0;
    for (size_t k = 1; k <= len; k++) {
        int32_t id = wn_vocab_find(&t->vocab, s, k);
        if (id > 0 && SCORES[id] + best(t, s + k, len - k) > top)
            top = SCORES[id] + best(t, s + k, len - k);
    }
    return top;
}

Test(unigram, best_of_all_segmentations)
{
    wn_tokenizer t = make(false);
    wn_token_work w = {wn_calloc(1, sizeof(wn_token_memory))};
    for (int code = 0; code < 729; code++) {
        char s[7] = {0};
        for (int i = 0, c = code; i < 6; i++, c /= 3)
            s[i] = "abc"[c % 3];
        wn_ids got = {0};
        double sum = 0;
        wn_str joined = {0};
        cr_assert_eq(wn_unigram_encode(&t, w.memory, s, 6, &got), WN_OK);
        for (size_t i = 0; i < got.n; i++) {
            sum += SCORES[got.id[i]];
            wn_str_puts(&joined, TEXTS[got.id[i]]);
        }
        cr_assert_str_eq(joined.p, s);
        cr_assert_float_eq(sum, best(&t, s, 6), 1e-9, "%s", s);
        wn_str_free(&joined);
        wn_ids_release(&got);
    }
    wn_token_work_free(&w);
    drop(&t);
}

static void expect(bool bytes, const char *s, size_t n, const int32_t *want)
{
    wn_tokenizer t = make(bytes);
    wn_token_work w = {wn_calloc(1, sizeof(wn_token_memory))};
    wn_ids got = {0};
    cr_assert_eq(wn_unigram_encode(&t, w.memory, s, strlen(s), &got), WN_OK);
    cr_assert(got.n == n && !memcmp(got.id, want, n * sizeof *want), "%s", s);
    wn_ids_release(&got);
    wn_token_work_free(&w);
    drop(&t);
}

Test(unigram, unknown_characters_fuse_or_become_bytes)
{
    expect(false,
           "a\xc3\xa9\xc3\xa9"
           "b",
           3, (const int32_t[]){1, 0, 2});
    expect(true,
           "a\xc3\xa9"
           "b",
           4, (const int32_t[]){1, 9, 10, 2});
    expect(true, "\xc3\xa9\xc3\xa9", 4, (const int32_t[]){9, 10, 9, 10});
    expect(true, "\xc3\xa9z", 1,
           (const int32_t[]){0}); /* z has no byte token: the run is unknown */
    expect(false, "z", 1, (const int32_t[]){0});
}

Test(unigram, no_unknown_token_is_an_error)
{
    wn_tokenizer t = make(false);
    wn_token_work w = {wn_calloc(1, sizeof(wn_token_memory))};
    wn_ids got = {0};
    t.model.unk = -1;
    cr_assert_eq(wn_unigram_encode(&t, w.memory, "az", 2, &got), WN_EFORMAT);
    wn_ids_release(&got);
    wn_token_work_free(&w);
    drop(&t);
}

/* ---- broken files ---------------------------------------------------------------------- */

/* Every truncation and many single-byte changes of a file: opened or refused, never a crash, and
 * what opens can encode. */
static void damage(const char *name, const char *as, size_t step)
{
    char path[4096], dir[] = "/tmp/wn_unigram_XXXXXX", file[128];
    const char *root = getenv("WN_TEST_ROOT");
    char *text;
    size_t len, live = wn_mem_live();
    snprintf(path, sizeof path, "%s/tests/goldens/tokenizers/%s", root ? root : ".", name);
    cr_assert_eq(wn_file_read(&text, &len, path, 1 << 24), WN_OK, "%s", wn_error_text());
    cr_assert_not_null(mkdtemp(dir));
    snprintf(file, sizeof file, "%s/%s", dir, as);
    int opened = 0, refused = 0;
    for (size_t at = 0; at < len; at += step) {
        for (int cut = 0; cut < 2; cut++) {
            wn_tokenizer *t;
            int32_t *id;
            size_t n;
            char old = text[at];
            text[at] = (char)(old ^ (1 << at % 8));
            FILE *f = fopen(file, "wb");
            cr_assert_not_null(f);
            fwrite(text, 1, cut ? at : len, f);
            fclose(f);
            text[at] = old;
            if (wn_tokenizer_open(&t, file)) {
                refused++;
                cr_assert_not_null(strstr(wn_error_text(), as), "%s", wn_error_text());
                continue;
            }
            opened++;
            if (!wn_tokenizer_encode(t, "caf\xc3\xa9 the 12 \xe2\x96\x81x", 17, true, &id, &n))
                wn_ids_free(id);
            wn_tokenizer_close(t);
        }
    }
    cr_assert(opened > 0 && refused > 0, "%s: %d opened, %d refused", name, opened, refused);
    wn_free(text);
    wn_remove_tree(dir);
    cr_assert_eq(wn_mem_live(), live);
}

Test(unigram, damaged_sentencepiece_models, .timeout = 60)
{
    damage("spm-t5/spiece.model", "x.model", 31);
    damage("spm-bpe/tokenizer.model", "x.model", 37);
}

Test(unigram, damaged_json, .timeout = 60)
{
    damage("xlmr/tokenizer.json", "tokenizer.json", 251);
    damage("wordpiece/tokenizer.json", "tokenizer.json", 151);
}

Test(unigram, damaged_gguf, .timeout = 60)
{
    damage("gguf-smollm.gguf", "x.gguf", 97);
    damage("gguf-spm.gguf", "x.gguf", 97);
    damage("gguf-bert.gguf", "x.gguf", 97);
}

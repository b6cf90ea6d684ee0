/* Every golden tokenizer on every tough string: ids with and without special tokens, with fresh and
 * with warm scratch, and both ways of decoding; then what must be refused. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/par.h"
#include "io/file.h"
#include "io/json.h"
#include "token/tokenizer.h"

static const char *golden(const char *name)
{
    static char path[4096];
    const char *root = getenv("WN_TEST_ROOT");
    snprintf(path, sizeof path, "%s/tests/goldens/tokenizers/%s", root ? root : ".", name);
    return path;
}

static json_t *load(const char *name)
{
    json_t *v;
    cr_assert_eq(wn_json_load(&v, golden(name)), WN_OK, "%s", wn_error_text());
    return v;
}

static bool equal(const json_t *want, const int32_t *id, size_t n)
{
    if (json_array_size(want) != n)
        return false;
    for (size_t i = 0; i < n; i++)
        if (json_integer_value(json_array_get(want, i)) != id[i])
            return false;
    return true;
}

/* The entry, or the one it equals where it is null. */
static const json_t *at(const json_t *file, const char *key, const char *same, size_t i)
{
    const json_t *v = json_array_get(json_object_get(file, key), i);
    return json_is_null(v) ? json_array_get(json_object_get(file, same), i) : v;
}

/* An entry that the goldens leave out counts as right. */
static bool same_text(const json_t *want, const char *text)
{
    return json_is_null(want) || !strcmp(text, json_string_value(want));
}

/* name: a folder, or a file NAME.gguf; its ids are in NAME.json. */
static int check(const char *name)
{
    char file[256];
    const char *dot = strchr(name, '.');
    snprintf(file, sizeof file, "%.*s.json", (int)(dot ? dot - name : (ptrdiff_t)strlen(name)),
             name);
    json_t *texts = load("strings.json"), *want = load(file);
    wn_tokenizer *t;
    wn_token_work w = {0};
    wn_ids warm = {0};
    int wrong = 0;
    bool one_text = !strncmp(name, "spm", 3) || !strncmp(name, "gguf", 4);
    cr_assert_eq(wn_tokenizer_open(&t, golden(name)), WN_OK, "%s", wn_error_text());
    cr_assert_geq(json_array_size(texts), 300);
    for (size_t i = 0; i < json_array_size(texts); i++) {
        const json_t *s = json_array_get(texts, i);
        if (json_is_null(json_array_get(json_object_get(want, "ids"), i)))
            continue;
        const char *text = json_string_value(s);
        size_t len = json_string_length(s), n, m;
        int32_t *id, *bare;
        char *full, *skip;
        cr_assert_eq(wn_tokenizer_encode(t, text, len, true, &id, &n), WN_OK);
        cr_assert_eq(wn_tokenizer_encode(t, text, len, false, &bare, &m), WN_OK);
        wn_ids_clear(&warm);
        cr_assert_eq(wn_tokenizer_append(t, &w, text, len, &warm), WN_OK);
        cr_assert_eq(wn_tokenizer_decode(t, id, n, false, &full), WN_OK);
        cr_assert_eq(wn_tokenizer_decode(t, id, n, true, &skip), WN_OK);
        const json_t *plain = at(want, "plain", "ids", i);
        bool ok = equal(at(want, "ids", "ids", i), id, n) && equal(plain, bare, m) &&
                  equal(plain, warm.id, warm.n) &&
                  (one_text || same_text(at(want, "text", "skip", i), full)) &&
                  same_text(at(want, "skip", "skip", i), skip);
        if (!ok)
            fprintf(stderr, "%s: string %zu differs: %.60s\n", name, i, text);
        wrong += !ok;
        wn_ids_free(id);
        wn_ids_free(bare);
        wn_free(full);
        wn_free(skip);
    }
    wn_ids_release(&warm);
    wn_token_work_free(&w);
    wn_tokenizer_close(t);
    json_decref(texts);
    json_decref(want);
    return wrong;
}

/* All folders of the goldens, so that a new one cannot be forgotten. */
Test(tokenizer, goldens_of_every_kind)
{
    char **names;
    size_t n;
    int kinds = 0;
    cr_assert_eq(wn_dir_list(&names, &n, golden("")), WN_OK, "%s", wn_error_text());
    for (size_t i = 0; i < n; i++) {
        if (strstr(names[i], ".json"))
            continue;
        kinds++;
        cr_expect_eq(check(names[i]), 0, "%s: ids or texts differ", names[i]);
    }
    cr_assert_geq(kinds, 46);
    wn_names_free(names, n);
}

/* name: a GGUF file; its tokenizer as tokenizer.json gives the same ids and texts. */
static void check_written(const char *name)
{
    char path[] = "/tmp/wn_tokenizer_XXXXXX", file[128];
    json_t *texts = load("strings.json"), *j = NULL;
    wn_tokenizer *a, *b;
    wn_str s = {0};
    cr_assert_not_null(mkdtemp(path));
    snprintf(file, sizeof file, "%s/tokenizer.json", path);
    cr_assert_eq(wn_tokenizer_open(&a, golden(name)), WN_OK, "%s", wn_error_text());
    cr_assert_eq(wn_tokenizer_json(&j, a), WN_OK, "%s", wn_error_text());
    cr_assert_eq(wn_json_dump(&s, j, 0, false), WN_OK);
    cr_assert_eq(wn_file_write(file, s.p, s.len), WN_OK);
    cr_assert_eq(wn_tokenizer_open(&b, file), WN_OK, "%s: %s", name, wn_error_text());
    for (size_t i = 0; i < json_array_size(texts); i++) {
        const json_t *v = json_array_get(texts, i);
        int32_t *x, *y;
        size_t n, m;
        char *p, *q;
        cr_assert_eq(
            wn_tokenizer_encode(a, json_string_value(v), json_string_length(v), true, &x, &n),
            WN_OK);
        cr_assert_eq(
            wn_tokenizer_encode(b, json_string_value(v), json_string_length(v), true, &y, &m),
            WN_OK);
        cr_expect(n == m && !memcmp(x, y, n * sizeof *x), "%s: string %zu: other ids", name, i);
        cr_assert_eq(wn_tokenizer_decode(a, x, n, true, &p), WN_OK);
        cr_assert_eq(wn_tokenizer_decode(b, x, n, true, &q), WN_OK);
        cr_expect_str_eq(p, q, "%s: string %zu", name, i);
        wn_ids_free(x);
        wn_ids_free(y);
        wn_free(p);
        wn_free(q);
    }
    wn_tokenizer_close(a);
    wn_tokenizer_close(b);
    wn_str_free(&s);
    json_decref(j);
    json_decref(texts);
    wn_remove_tree(path);
}

Test(tokenizer, gguf_written_as_json)
{
    char **names;
    size_t n, files = 0;
    cr_assert_eq(wn_dir_list(&names, &n, golden("")), WN_OK, "%s", wn_error_text());
    for (size_t i = 0; i < n; i++)
        if (strstr(names[i], ".gguf")) {
            check_written(names[i]);
            files++;
        }
    cr_assert_geq(files, 12);
    wn_names_free(names, n);
}

/* SentencePiece's unigram has no words there. */
Test(tokenizer, unigram_is_not_written)
{
    wn_tokenizer *t;
    json_t *j;
    cr_assert_eq(wn_tokenizer_open(&t, golden("spm-t5")), WN_OK);
    cr_assert_eq(wn_tokenizer_json(&j, t), WN_EARG);
    cr_assert_null(j);
    cr_assert_not_null(strstr(wn_error_text(), "(unigram)"), "%s", wn_error_text());
    wn_tokenizer_close(t);
}

Test(tokenizer, no_memory_is_kept)
{
    size_t before = wn_mem_live();
    cr_assert_eq(check("xlmr"), 0);
    cr_assert_eq(wn_mem_live(), before);
}

Test(tokenizer, every_failed_allocation_is_clean)
{
    size_t before = wn_mem_live();
    for (int64_t n = 0; n < 4000; n++) {
        wn_tokenizer *t;
        int32_t *id = NULL;
        size_t len;
        wn_mem_fail_after(n);
        wn_err err = wn_tokenizer_open(&t, golden("wordpiece"));
        if (!err)
            err = wn_tokenizer_encode(t, "The caf\xc3\xa9, a river", 18, true, &id, &len);
        wn_mem_fail_after(-1);
        wn_ids_free(id);
        wn_tokenizer_close(t);
        cr_assert_eq(wn_mem_live(), before, "allocation %lld leaks", (long long)n);
        if (!err)
            return;
        cr_assert_eq(err, WN_ENOMEM, "allocation %lld: %s", (long long)n, wn_error_text());
    }
    cr_assert_fail("never succeeded");
}

Test(tokenizer, facts)
{
    wn_tokenizer *t;
    cr_assert_eq(wn_tokenizer_open(&t, golden("wordpiece")), WN_OK);
    const wn_token_facts *f = wn_tokenizer_facts(t);
    cr_assert_str_eq(f->kind, "wordpiece");
    cr_assert_eq(f->n_prefix, 1);
    cr_assert_eq(f->n_suffix, 1);
    cr_assert_eq(f->prefix[0], wn_tokenizer_id(t, "[CLS]"));
    cr_assert_eq(f->suffix[0], wn_tokenizer_id(t, "[SEP]"));
    cr_assert_str_eq(wn_tokenizer_token(t, f->prefix[0]), "[CLS]");
    cr_assert_null(wn_tokenizer_token(t, (int32_t)f->vocab));
    cr_assert_eq(wn_tokenizer_id(t, "no such token"), -1);
    cr_assert_eq(strlen(wn_tokenizer_sha(t)), 64);
    cr_assert_not(f->adds_space);
    cr_assert_eq(wn_tokenizer_vocab(t), f->vocab);
    wn_tokenizer_close(t);
    cr_assert_eq(wn_tokenizer_open(&t, golden("llama2")), WN_OK);
    cr_assert(wn_tokenizer_facts(t)->adds_space);
    cr_assert_str_eq(wn_tokenizer_facts(t)->kind, "bpe");
    wn_tokenizer_close(t);
}

Test(tokenizer, unknown_id_is_refused)
{
    wn_tokenizer *t;
    char *text;
    const int32_t id[] = {1, 1 << 30}, minus[] = {-1};
    cr_assert_eq(wn_tokenizer_open(&t, golden("gpt2")), WN_OK);
    cr_assert_eq(wn_tokenizer_decode(t, id, 2, false, &text), WN_EARG);
    cr_assert_null(text);
    cr_assert_not_null(strstr(wn_error_text(), "1073741824"));
    cr_assert_eq(wn_tokenizer_decode(t, minus, 1, false, &text), WN_EARG);
    cr_assert_eq(wn_tokenizer_decode(t, id, 0, false, &text), WN_OK);
    cr_assert_str_eq(text, "");
    wn_free(text);
    wn_tokenizer_close(t);
}

Test(tokenizer, broken_utf8_is_replaced)
{
    wn_tokenizer *t;
    int32_t *a, *b;
    size_t n, m;
    const char bad[] = "a\xff\xc3(\xe2\x82z\xf0\x9f\x98",
               good[] = "a\xef\xbf\xbd\xef\xbf\xbd(\xef\xbf\xbdz\xef\xbf\xbd";
    cr_assert_eq(wn_tokenizer_open(&t, golden("gpt2")), WN_OK);
    cr_assert_eq(wn_tokenizer_encode(t, bad, sizeof bad - 1, true, &a, &n), WN_OK);
    cr_assert_eq(wn_tokenizer_encode(t, good, sizeof good - 1, true, &b, &m), WN_OK);
    cr_assert(n == m && !memcmp(a, b, n * sizeof *a));
    wn_ids_free(a);
    wn_ids_free(b);
    wn_tokenizer_close(t);
}

/* A megabyte of one letter, of blanks and of marks: no quadratic step anywhere. */
Test(tokenizer, long_runs, .timeout = 60)
{
    static const char *const names[] = {"wordpiece", "gpt2",       "llama3",         "qwen2",
                                        "o200k",     "llama2",     "gemma",          "t5",
                                        "xlmr",      "bpe-prefix", "wordpiece-mixed"};
    static const char *const units[] = {
        "a", " ", "\n", "1", "!", "\xcc\x81\xcc\xa3", "\xe6\x97\xa5", "\xe2\x96\x81"};
    enum { BYTES = 1 << 20 };
    char *text = malloc(BYTES);
    for (size_t k = 0; k < sizeof names / sizeof *names; k++) {
        wn_tokenizer *t;
        cr_assert_eq(wn_tokenizer_open(&t, golden(names[k])), WN_OK);
        for (size_t u = 0; u < sizeof units / sizeof *units; u++) {
            size_t len = strlen(units[u]), n, most = BYTES / len * len;
            int32_t *id;
            for (size_t i = 0; i < most; i += len)
                memcpy(text + i, units[u], len);
            cr_assert_eq(wn_tokenizer_encode(t, text, most, true, &id, &n), WN_OK, "%s",
                         wn_error_text());
            wn_ids_free(id);
        }
        wn_tokenizer_close(t);
    }
    free(text);
}

/* ---- what must be refused, by name ----------------------------------------------------- */

static void refuse(const char *json, const char *expected)
{
    char path[] = "/tmp/wn_tokenizer_XXXXXX";
    char file[128];
    wn_tokenizer *t;
    cr_assert_not_null(mkdtemp(path));
    snprintf(file, sizeof file, "%s/tokenizer.json", path);
    cr_assert_eq(wn_file_write(file, json, strlen(json)), WN_OK);
    wn_err err = wn_tokenizer_open(&t, path);
    wn_remove_tree(path);
    cr_assert_eq(err, WN_EFORMAT, "accepted: %s", json);
    cr_assert_null(t);
    cr_assert_not_null(strstr(wn_error_text(), "tokenizer.json"), "%s", wn_error_text());
    cr_assert_not_null(strstr(wn_error_text(), expected), "expected '%s' in: %s", expected,
                       wn_error_text());
}

#define WP "\"model\":{\"type\":\"WordPiece\",\"unk_token\":\"u\",\"vocab\":{\"u\":0,\"a\":1}}"

Test(tokenizer, refusals)
{
    refuse("{\"model\":", "tokenizer.json");
    refuse("[]", "model");
    refuse("{}", "model");
    refuse("{\"surprise\":1," WP "}", "'surprise'");
    refuse("{\"\":1," WP "}", "''");
    refuse("{\"normalizer\":{\"type\":\"Telepathy\"}," WP "}", "Telepathy");
    refuse("{\"normalizer\":{\"type\":\"NFC\",\"level\":2}," WP "}", "'level'");
    refuse("{\"normalizer\":{\"type\":\"Sequence\"}," WP "}", "normalizers");
    refuse("{\"normalizer\":{\"type\":\"Precompiled\",\"precompiled_charsmap\":\"AAAA\"}," WP "}",
           "charsmap");
    refuse("{\"pre_tokenizer\":{\"type\":\"UnicodeScripts\"}," WP "}", "UnicodeScripts");
    refuse("{\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(\"},\"behavior\":"
           "\"Isolated\",\"invert\":false}," WP "}",
           "pattern '('");
    refuse("{\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"[a&&b]\"},\"behavior\":"
           "\"Isolated\",\"invert\":false}," WP "}",
           "&&");
    refuse("{\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"__\"}," WP "}",
           "replacement");
    refuse("{\"pre_tokenizer\":{\"type\":\"Metaspace\",\"replacement\":\"_\",\"prepend_scheme\":"
           "\"often\"}," WP "}",
           "prepend_scheme");
    refuse("{\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[]}," WP "}",
           "sequence A");
    refuse("{\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":"
           "{\"id\":\"X\"}},{\"Sequence\":{\"id\":\"A\"}}]}," WP "}",
           "'X'");
    refuse(
        "{\"post_processor\":{\"type\":\"BertProcessing\",\"sep\":[\"s\",0],\"cls\":[\"c\",77]}," WP
        "}",
        "id 77 is put before or behind every text");
    refuse(
        "{\"post_processor\":{\"type\":\"BertProcessing\",\"sep\":[\"s\",77],\"cls\":[\"c\",0]}," WP
        "}",
        "id 77 is put before or behind every text");
    refuse("{\"decoder\":{\"type\":\"CTC\"}," WP "}", "CTC");
    refuse("{\"model\":{\"type\":\"WordLevel\",\"vocab\":{}}}", "WordLevel");
    refuse("{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[\"a b\"]}}", "merge 0");
    refuse("{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[\"ab\"]}}", "merges[0]");
    refuse("{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":0},\"merges\":[],\"dropout\":0.1}}",
           "dropout");
    refuse("{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":4000000000},\"merges\":[]}}",
           "4000000000");
    refuse("{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":-1},\"merges\":[]}}", "-1");
    refuse("{\"model\":{\"type\":\"BPE\",\"vocab\":{\"a\":1,\"b\":1},\"merges\":[]}}",
           "two tokens");
    refuse("{\"model\":{\"type\":\"Unigram\",\"vocab\":[[\"a\"]]}}", "vocab[0]");
    refuse("{\"model\":{\"type\":\"Unigram\",\"unk_id\":7,\"vocab\":[[\"a\",0]]}}", "unk_id 7");
}

Test(tokenizer, an_empty_folder_is_refused)
{
    char path[] = "/tmp/wn_tokenizer_XXXXXX";
    wn_tokenizer *t;
    cr_assert_not_null(mkdtemp(path));
    cr_assert_eq(wn_tokenizer_open(&t, path), WN_EIO);
    cr_assert_not_null(strstr(wn_error_text(), "tokenizer.json"));
    wn_remove_tree(path);
}

/* ByT5's bytes: ids as transformers' ByT5Tokenizer has them. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/file.h"
#include "token/tokenizer.h"
#include "winnow.h"

static char folder[] = "/tmp/winnow-byt5-XXXXXX";

static void make_folder(void)
{
    cr_assert(mkdtemp(folder));
}

static void remove_folder(void)
{
    cr_assert_eq(wn_remove_tree(folder), WN_OK);
}

TestSuite(byt5, .init = make_folder, .fini = remove_folder);

static void put(const char *file, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", folder, file);
    cr_assert_eq(wn_file_write(path, text, strlen(text)), WN_OK, "%s", wn_error_message());
}

static wn_tokenizer *open_folder(void)
{
    wn_tokenizer *t = NULL;
    cr_assert_eq(wn_tokenizer_open(&t, folder), WN_OK, "%s", wn_error_message());
    return t;
}

static void expect(const wn_tokenizer *t, const char *text, const char *back, size_t n,
                   const int32_t *want)
{
    int32_t *got;
    size_t m;
    char *decoded;
    cr_assert_eq(wn_tokenizer_encode(t, text, strlen(text), true, &got, &m), WN_OK);
    cr_assert_eq(m, n, "'%s': %zu ids, expected %zu", text, m, n);
    for (size_t i = 0; i < n; i++)
        cr_expect_eq(got[i], want[i], "'%s': id %zu is %d, expected %d", text, i, (int)got[i],
                     (int)want[i]);
    cr_assert_eq(wn_tokenizer_decode(t, got, m, true, &decoded), WN_OK);
    cr_expect_str_eq(decoded, back);
    wn_ids_free(got);
    wn_free(decoded);
}

#define EXPECT(t, text, back, ...)                                                                 \
    expect(t, text, back, sizeof((const int32_t[]){__VA_ARGS__}) / sizeof(int32_t),                \
           (const int32_t[]){__VA_ARGS__})

Test(byt5, ids_as_transformers)
{
    put("tokenizer_config.json", "{\"tokenizer_class\": \"ByT5Tokenizer\", \"extra_ids\": 125}");
    wn_tokenizer *t = open_folder();
    EXPECT(t, "h\xc3\xa9llo", "h\xc3\xa9llo", 107, 198, 172, 111, 111, 114, 1);
    EXPECT(t, "a </s> b", "ab", 100, 1, 101, 1);
    EXPECT(t, "a <extra_id_0> b", "a  b", 100, 35, 259, 35, 101, 1);
    EXPECT(t, "<extra_id_124>x", "x", 383, 123, 1);
    EXPECT(t, "<pad>", "", 0, 1);
    EXPECT(t, "a<unk> b", "ab", 100, 2, 101, 1);
    EXPECT(t, " a\n", " a\n", 35, 100, 13, 1);
    EXPECT(t, "", "", 1);
    EXPECT(t, "\xe6\x97\xa5\xe6\x9c\xac \xf0\x9f\x8e\x89",
           "\xe6\x97\xa5\xe6\x9c\xac \xf0\x9f\x8e\x89", 233, 154, 168, 233, 159, 175, 35, 243, 162,
           145, 140, 1);
    const wn_token_facts *f = wn_tokenizer_facts(t);
    cr_expect_eq(f->vocab, 384);
    cr_expect(f->pad == 0 && f->eos == 1 && f->unk == 2 && f->bos == -1);
    cr_expect(f->n_suffix == 1 && !f->adds_space);
    wn_tokenizer_close(t);
}

/* Every byte that is a character of its own, a long text, NUL among them. */
Test(byt5, every_byte)
{
    enum { N = 100000 };
    char *text = malloc(N);
    int32_t *ids;
    size_t n;
    for (int i = 0; i < N; i++)
        text[i] = (char)(i % 128);
    put("config.json", "{\"model_type\": \"t5\", \"tokenizer_class\": \"ByT5Tokenizer\"}");
    wn_tokenizer *t = open_folder();
    cr_assert_eq(wn_tokenizer_encode(t, text, N, false, &ids, &n), WN_OK);
    cr_assert_eq(n, N);
    for (int i = 0; i < N; i++)
        cr_assert_eq(ids[i], i % 128 + 3, "byte %d", i % 128);
    wn_ids_free(ids);
    free(text);
    wn_tokenizer_close(t);
}

/* A token described as an object keeps the white space around it unless it says otherwise. */
Test(byt5, configured_tokens)
{
    put("tokenizer_config.json",
        "{\"tokenizer_class\": \"ByT5Tokenizer\", \"extra_ids\": 2, \"eos_token\": "
        "{\"content\": \"</s>\", \"lstrip\": false, \"rstrip\": false}}");
    wn_tokenizer *t = open_folder();
    EXPECT(t, "a </s> b", "a  b", 100, 35, 1, 35, 101, 1);
    EXPECT(t, "<extra_id_1>", "", 260, 1);
    cr_expect_eq(wn_tokenizer_vocab(t), 261);
    wn_tokenizer_close(t);
}

/* As transformers saves it: no count of sentinels, all tokens in a table. */
Test(byt5, tokens_by_id)
{
    put("tokenizer_config.json",
        "{\"tokenizer_class\": \"ByT5Tokenizer\", \"extra_ids\": 0, \"eos_token\": \"</s>\", "
        "\"added_tokens_decoder\": {\"1\": {\"content\": \"</s>\", \"lstrip\": true, "
        "\"rstrip\": false}, \"259\": {\"content\": \"<extra_id_0>\"}, "
        "\"260\": {\"content\": \"<other>\"}}}");
    wn_tokenizer *t = open_folder();
    EXPECT(t, "a </s> b", "a b", 100, 1, 35, 101, 1);
    EXPECT(t, "<other><extra_id_0>", "", 260, 259, 1);
    EXPECT(t, " <pad> ", "", 0, 1);
    cr_expect_eq(wn_tokenizer_vocab(t), 261);
    wn_tokenizer_close(t);
}

Test(byt5, other_names_are_no_byt5)
{
    wn_tokenizer *t = NULL;
    put("tokenizer_config.json", "{\"tokenizer_class\": \"T5Tokenizer\"}");
    cr_expect_eq(wn_tokenizer_open(&t, folder), WN_EIO);
    cr_expect(strstr(wn_error_message(), "expected tokenizer.json"), "%s", wn_error_message());
    put("tokenizer_config.json",
        "{\"tokenizer_class\": \"ByT5Tokenizer\", \"extra_ids\": 4000000000}");
    cr_expect_eq(wn_tokenizer_open(&t, folder), WN_EFORMAT);
    cr_expect(strstr(wn_error_message(), "extra_ids"), "%s", wn_error_message());
    put("tokenizer_config.json", "{\"tokenizer_class\": ");
    cr_expect_eq(wn_tokenizer_open(&t, folder), WN_EFORMAT);
    cr_expect_null(t);
}

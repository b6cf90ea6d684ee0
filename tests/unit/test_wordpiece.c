/* WordPiece, and the two tables under every tokenizer: vocabulary and trie. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "token/parts.h"

static wn_tokenizer make(const char *const *texts, int n, const char *prefix)
{
    wn_tokenizer t = {.path = "test",
                      .model = {.kind = WN_MODEL_WORDPIECE, .unk = 0, .max_chars = 8}};
    cr_assert_eq(wn_vocab_init(&t.vocab, 0), WN_OK);
    for (int i = 0; i < n; i++)
        cr_assert_eq(wn_vocab_add(&t.vocab, texts[i], strlen(texts[i]), i, n, false), WN_OK);
    wn_str_puts(&t.model.prefix, prefix);
    cr_assert_eq(wn_lexicon_trie(&t.model, &t.vocab, NULL), WN_OK);
    return t;
}

static void drop(wn_tokenizer *t)
{
    wn_lexicon_free(&t->model);
    wn_vocab_free(&t->vocab);
}

static void expect(const wn_tokenizer *t, const char *word, int n, const int32_t *want)
{
    wn_ids got = {0};
    cr_assert_eq(wn_wordpiece_encode(t, NULL, word, strlen(word), &got), WN_OK);
    cr_assert_eq(got.n, (size_t)n, "%s: %zu pieces", word, got.n);
    for (int i = 0; i < n; i++)
        cr_assert_eq(got.id[i], want[i], "%s: piece %d is %d", word, i, (int)got.id[i]);
    wn_ids_release(&got);
}

Test(wordpiece, longest_first_and_all_or_nothing)
{
    static const char *const texts[] = {"[UNK]", "un",  "unb", "##able", "##a",
                                        "##b",   "##l", "##e", "##ble",  "a"};
    wn_tokenizer t = make(texts, 10, "##");
    expect(&t, "unable", 2, (const int32_t[]){1, 3});
    expect(&t, "unbable", 2, (const int32_t[]){2, 3});
    expect(&t, "unal", 3, (const int32_t[]){1, 4, 6});
    expect(&t, "unx", 1, (const int32_t[]){0});
    expect(&t, "able", 2, (const int32_t[]){9, 8});
    expect(&t, "b", 1, (const int32_t[]){0});
    expect(&t, "unablebb", 4, (const int32_t[]){1, 3, 5, 5});
    expect(&t, "unablebbb", 1, (const int32_t[]){0}); /* nine characters */
    expect(&t, "", 0, NULL);
    drop(&t);
}

Test(wordpiece, characters_count_not_bytes)
{
    static const char *const texts[] = {"[UNK]", "\xc3\xa9", "##\xc3\xa9"};
    wn_tokenizer t = make(texts, 3, "##");
    expect(&t, "\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9\xc3\xa9", 8,
           (const int32_t[]){1, 2, 2, 2, 2, 2, 2, 2});
    drop(&t);
}

Test(wordpiece, without_a_prefix)
{
    static const char *const texts[] = {"[UNK]", "a", "ab"};
    wn_tokenizer t = make(texts, 3, "");
    expect(&t, "aba", 2, (const int32_t[]){2, 1});
    drop(&t);
}

Test(wordpiece, a_missing_unknown_token_is_an_error)
{
    static const char *const texts[] = {"a"};
    wn_tokenizer t = make(texts, 1, "##");
    wn_ids got = {0};
    t.model.unk = -2;
    cr_assert_eq(wn_wordpiece_encode(&t, NULL, "b", 1, &got), WN_EFORMAT);
    wn_ids_release(&got);
    drop(&t);
}

Test(wordpiece, vocabulary)
{
    wn_vocab v;
    char text[16];
    cr_assert_eq(wn_vocab_init(&v, 0), WN_OK);
    for (int i = 0; i < 5000; i++) { /* every second id: holes */
        int n = snprintf(text, sizeof text, "t%d", i);
        cr_assert_eq(wn_vocab_add(&v, text, (size_t)n, 2 * i, 10000, false), WN_OK);
    }
    for (int i = 0; i < 5000; i++) {
        int n = snprintf(text, sizeof text, "t%d", i);
        cr_assert_eq(wn_vocab_find(&v, text, (size_t)n), 2 * i);
        cr_assert_str_eq(wn_vocab_text(&v, 2 * i).p, text);
        cr_assert_null(wn_vocab_text(&v, 2 * i + 1).p);
    }
    cr_assert_eq(wn_vocab_find(&v, "t5000", 5), -1);
    cr_assert_eq(wn_vocab_find(&v, "", 0), -1);
    cr_assert_null(wn_vocab_text(&v, -1).p);
    cr_assert_null(wn_vocab_text(&v, 1 << 30).p);
    cr_assert_eq(wn_vocab_add(&v, "x", 1, 10001, 10000, false), WN_EFORMAT);
    cr_assert_eq(wn_vocab_add(&v, "x", 1, 2, 10000, false), WN_EFORMAT);
    cr_assert_eq(wn_vocab_add(&v, "t7", 2, 9999, 10000, false), WN_EFORMAT);
    cr_assert_eq(wn_vocab_add(&v, "t7", 2, 9999, 10000, true), WN_OK);
    cr_assert_eq(wn_vocab_find(&v, "t7", 2), 14);
    cr_assert_str_eq(wn_vocab_text(&v, 9999).p, "t7");
    cr_assert_eq(wn_vocab_add(&v, "a\0b", 3, 1, 10000, false), WN_OK);
    cr_assert_eq(wn_vocab_find(&v, "a\0b", 3), 1);
    cr_assert_eq(wn_vocab_find(&v, "a", 1), -1);
    wn_vocab_free(&v);
}

/* Wide nodes, prefixes of each other, a repeated text, an empty one. */
Test(wordpiece, trie)
{
    wn_trie t;
    char one[256][2];
    wn_trie_entry e[300];
    size_t n = 0;
    for (int b = 0; b < 256; b++) {
        one[b][0] = 'x';
        one[b][1] = (char)b;
        e[n++] = (wn_trie_entry){{one[b], 2}, b};
    }
    e[n++] = (wn_trie_entry){{"x", 1}, 1000};
    e[n++] = (wn_trie_entry){{"", 0}, 1001};
    e[n++] = (wn_trie_entry){{"abc", 3}, 1002};
    e[n++] = (wn_trie_entry){{"abc", 3}, 1003};
    cr_assert_eq(wn_trie_build(&t, e, n), WN_OK);
    uint32_t x = wn_trie_step(&t, 0, 'x');
    cr_assert_eq(t.node[x].value, 1000);
    for (int b = 0; b < 256; b++) {
        uint32_t node = wn_trie_step(&t, x, (unsigned char)b);
        cr_assert_neq(node, 0);
        cr_assert_eq(t.node[node].value, b);
        cr_assert_eq(wn_trie_step(&t, node, 'x'), 0);
    }
    uint32_t a = wn_trie_step(&t, wn_trie_step(&t, wn_trie_step(&t, 0, 'a'), 'b'), 'c');
    cr_assert_eq(t.node[a].value, 1003);
    cr_assert_eq(t.node[wn_trie_step(&t, 0, 'a')].value, -1);
    cr_assert_eq(wn_trie_step(&t, 0, 'y'), 0);
    cr_assert_eq(t.node[0].value, -1);
    wn_trie_free(&t);
    cr_assert_eq(wn_trie_build(&t, e, 0), WN_OK);
    cr_assert_eq(wn_trie_step(&t, 0, 'a'), 0);
    wn_trie_free(&t);
}

/* Byte-pair encoding against the plainest statement of it: look at all pairs, merge the best,
 * again. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "token/parts.h"

static wn_tokenizer *open_golden(const char *name)
{
    char path[4096];
    const char *root = getenv("WN_TEST_ROOT");
    wn_tokenizer *t;
    snprintf(path, sizeof path, "%s/tests/goldens/tokenizers/%s", root ? root : ".", name);
    cr_assert_eq(wn_tokenizer_open(&t, path), WN_OK, "%s", wn_error_text());
    return t;
}

static uint32_t next(uint64_t *state)
{
    *state = *state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(*state >> 33);
}

static const wn_pair *find(const wn_lexicon *x, int32_t a, int32_t b)
{
    uint64_t key = (uint64_t)(uint32_t)a << 32 | (uint32_t)b;
    for (size_t i = 0; i <= x->pair_mask; i++)
        if (x->pair[i].key == key)
            return &x->pair[i];
    return NULL;
}

static size_t naive(const wn_lexicon *x, int32_t *id, size_t n)
{
    for (;;) {
        const wn_pair *best = NULL;
        size_t at = 0;
        for (size_t i = 0; i + 1 < n; i++) {
            const wn_pair *p = find(x, id[i], id[i + 1]);
            if (p && (!best || p->rank < best->rank)) {
                best = p;
                at = i;
            }
        }
        if (!best)
            return n;
        id[at] = best->id;
        memmove(id + at + 1, id + at + 2, (n - at - 2) * sizeof *id);
        n--;
    }
}

/* Lengths around the border between the two ways of merging. */
Test(bpe, short_and_long_words_merge_as_the_plain_rule_says, .timeout = 60)
{
    static const char letters[] = "theriver lantscoudmginb";
    wn_tokenizer *t = open_golden("gpt2");
    wn_token_memory *m = wn_calloc(1, sizeof *m);
    wn_token_work w = {m};
    for (uint64_t seed = 1; seed <= 120; seed++) {
        uint64_t state = seed;
        char s[96];
        int32_t want[96];
        size_t n = seed % 2 ? 1 + next(&state) % 12 : 30 + next(&state) % 60;
        for (size_t i = 0; i < n; i++) {
            s[i] = letters[next(&state) % (sizeof letters - 1)];
            want[i] = t->model.byte_id[(unsigned char)s[i]];
        }
        wn_ids got = {0};
        size_t k = naive(&t->model, want, n);
        cr_assert_eq(wn_bpe_encode(t, m, s, n, true, &got), WN_OK);
        cr_assert(k == got.n && !memcmp(want, got.id, k * sizeof *want), "seed %llu",
                  (unsigned long long)seed);
        wn_ids_release(&got);
    }
    wn_token_work_free(&w);
    wn_tokenizer_close(t);
}

Test(bpe, byte_characters_there_and_back)
{
    for (int b = 0; b < 256; b++) {
        uint32_t c = wn_byte_char((unsigned char)b);
        cr_assert_eq(wn_char_byte(c), b);
        for (int a = 0; a < b; a++)
            cr_assert_neq(wn_byte_char((unsigned char)a), c);
    }
    cr_assert_eq(wn_byte_char(' '), 0x120);
    cr_assert_eq(wn_byte_char('\n'), 0x10a);
    cr_assert_eq(wn_char_byte(0x144), -1);
    cr_assert_eq(wn_char_byte(' '), -1);
}

/* Equal scores: the leftmost pair goes first, whatever the pieces' ids. */
Test(bpe, pairs_from_scores_share_a_rank)
{
    static const char *const texts[] = {"<unk>", "b", "a", "ba", "ab"};
    wn_tokenizer t = {.model = {.kind = WN_MODEL_BPE, .unk = 0}};
    const unsigned char usable[] = {0, 1, 1, 1, 1};
    double score[] = {0, -9, -9, -1, -1};
    cr_assert_eq(wn_vocab_init(&t.vocab, 5), WN_OK);
    for (int i = 0; i < 5; i++)
        cr_assert_eq(wn_vocab_add(&t.vocab, texts[i], strlen(texts[i]), i, 5, false), WN_OK);
    t.model.score = score;
    cr_assert_eq(wn_spm_pairs(&t, usable), WN_OK);
    wn_token_work w = {wn_calloc(1, sizeof(wn_token_memory))};
    wn_ids got = {0};
    cr_assert_eq(wn_bpe_encode(&t, w.memory, "abab", 4, false, &got), WN_OK);
    cr_assert(got.n == 2 && got.id[0] == 4 && got.id[1] == 4);
    wn_ids_clear(&got);
    cr_assert_eq(wn_bpe_encode(&t, w.memory, "baba", 4, false, &got), WN_OK);
    cr_assert(got.n == 2 && got.id[0] == 3 && got.id[1] == 3);
    wn_ids_release(&got);
    wn_token_work_free(&w);
    t.model.score = NULL;
    wn_lexicon_free(&t.model);
    wn_vocab_free(&t.vocab);
}

/* ---- parts ---- */

/* Parted and whole, a text has the same ids. */
static size_t check_parts(const wn_tokenizer *t, const char *s, size_t len)
{
    wn_token_memory *m = wn_calloc(1, sizeof *m);
    wn_token_work w = {m};
    wn_ids whole = {0}, parted = {0};
    size_t parts = 0;
    cr_assert_eq(wn_bpe_encode(t, m, s, len, false, &whole), WN_OK);
    for (size_t at = 0, n; at < len; at += n, parts++) {
        n = wn_bpe_part(&t->model, s + at, len - at);
        cr_assert(n > 0 && n <= len - at);
        cr_assert_eq(wn_bpe_encode(t, m, s + at, n, false, &parted), WN_OK);
    }
    cr_assert(whole.n == parted.n && !memcmp(whole.id, parted.id, whole.n * sizeof *whole.id),
              "%s: %.*s", t->path, (int)len, s);
    wn_ids_release(&whole);
    wn_ids_release(&parted);
    wn_token_work_free(&w);
    return parts;
}

static void check_random_parts(const wn_tokenizer *t, const char *const *bits, size_t n_bits)
{
    size_t parts = 0;
    cr_assert(t->model.parts, "%s", t->path);
    for (uint64_t seed = 1; seed <= 400; seed++) {
        uint64_t state = seed;
        char s[512];
        size_t len = 0;
        for (uint32_t k = 1 + next(&state) % 40; k > 0; k--)
            len += (size_t)snprintf(s + len, sizeof s - len, "%s", bits[next(&state) % n_bits]);
        parts += check_parts(t, s, len);
    }
    cr_expect_gt(parts, 1600, "%s: %zu", t->path, parts);
}

Test(bpe, parts_have_the_ids_of_the_whole, .timeout = 60)
{
    static const char *const bits[] = {"▁", "▁", "▁▁", "the", "e",  "r",
                                       ">", "<", "é",  "👩",   "\n", "1"};
    static const char *const names[] = {"llama2", "gemma", "spm-bpe", "gguf-spm.gguf"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        wn_tokenizer *t = open_golden(names[i]);
        check_random_parts(t, bits, sizeof bits / sizeof *bits);
        wn_tokenizer_close(t);
    }
}

static wn_tokenizer *open_text(const char *json)
{
    char path[] = "/tmp/winnow-bpe-XXXXXX";
    wn_tokenizer *t;
    int fd = mkstemp(path);
    cr_assert(fd >= 0 && write(fd, json, strlen(json)) == (ssize_t)strlen(json));
    close(fd);
    cr_assert_eq(wn_tokenizer_open(&t, path), WN_OK, "%s", wn_error_text());
    unlink(path);
    return t;
}

/* Gemma's ">▁</": a pair across the place that is parted elsewhere. */
Test(bpe, joined_marks_are_not_parted)
{
    static const char *const bits[] = {"a", "b", "▁", "▁", "<", "/", ">"};
    wn_tokenizer *t = open_text(
        "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"a\": 0, \"b\": 1, \"▁\": 2, \"<\": 3, "
        "\"/\": 4, "
        "\">\": 5, \"▁a\": 6, \"</\": 7, \"▁</\": 8, \">▁</\": 9, \"ab\": 10, \"▁▁\": 11}, "
        "\"merges\": [[\"▁\", \"a\"], [\"<\", \"/\"], [\"▁\", \"</\"], [\">\", \"▁</\"], [\"a\", "
        "\"b\"], "
        "[\"▁\", \"▁\"]]}}");
    check_random_parts(t, bits, sizeof bits / sizeof *bits);
    static const char text[] = "a>▁</b▁a▁▁b";
    cr_expect_eq(check_parts(t, text, strlen(text)), 3);
    wn_tokenizer_close(t);
}

/* Where the unknown token or a byte joins a mark, or whole words are looked up, nothing is parted.
 */
Test(bpe, what_cannot_be_parted)
{
    static const char *const models[] = {
        "\"unk_token\": \"u\", \"vocab\": {\"u\": 0, \"▁\": 1, \"u▁\": 2}, \"merges\": [[\"u\", "
        "\"▁\"]]",
        "\"byte_fallback\": true, \"vocab\": {\"<0x41>\": 0, \"▁\": 1, \"<0x41>▁\": 2}, "
        "\"merges\": "
        "[[\"<0x41>\", \"▁\"]]",
        "\"ignore_merges\": true, \"vocab\": {\"a\": 0, \"▁\": 1}, \"merges\": []",
        "\"vocab\": {\"a\": 0, \"b\": 1}, \"merges\": []",
    };
    for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
        char json[512];
        snprintf(json, sizeof json, "{\"model\": {\"type\": \"BPE\", %s}}", models[i]);
        wn_tokenizer *t = open_text(json);
        cr_expect(!t->model.parts, "%s", models[i]);
        wn_tokenizer_close(t);
    }
}

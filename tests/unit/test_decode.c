/* decode(encode(x)) = normalise(x): of every tokenizer that loses nothing, for the tough strings
 * and for random texts cut out of them. */
#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "io/json.h"
#include "token/parts.h"

static const char *golden(const char *name)
{
    static char path[4096];
    const char *root = getenv("WN_TEST_ROOT");
    snprintf(path, sizeof path, "%s/tests/goldens/tokenizers/%s", root ? root : ".", name);
    return path;
}

/* Whether an added token was found in the text, or an unknown one stands for some of it: white
 * space around the one, and the text of the other, are gone. */
static bool loses(const wn_tokenizer *t, const int32_t *id, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (wn_added_find(&t->added, id[i]) || id[i] == t->model.unk)
            return true;
    return false;
}

/* The words between white space with one blank between them: what a tokenizer of words keeps. */
static void words_of(wn_str *out, wn_span s)
{
    bool between = false;
    for (size_t i = 0, n; i < s.len; i += n) {
        bool space = wn_uc_space(wn_utf8_get(s.p + i, &n));
        if (!space && between && out->len)
            wn_str_putc(out, ' ');
        if (!space)
            wn_str_add(out, s.p + i, n);
        between = space;
    }
}

enum kind { SAME, NFC, MARKED, WORDS };

/* How many texts were compared. */
static size_t check(const wn_tokenizer *t, const char *name, enum kind kind, const char *s,
                    size_t len)
{
    static wn_token_memory memory;
    int32_t *id;
    size_t n;
    char *back;
    wn_str want = {0};
    wn_span normal = {s, len};
    cr_assert_eq(wn_tokenizer_encode(t, s, len, false, &id, &n), WN_OK);
    bool marks = strstr(s, "\xe2\x96\x81") != NULL; /* spelled out, they become blanks */
    bool skip = loses(t, id, n) || memchr(s, 0, len) || (kind >= MARKED && marks);
    if (!skip) {
        cr_assert_eq(wn_tokenizer_decode(t, id, n, false, &back), WN_OK);
        bool kept;
        if (kind == NFC || kind == WORDS)
            cr_assert_eq(wn_normalize(&normal, &kept, t->norm, 1, &memory, normal), WN_OK);
        if (kind == WORDS)
            words_of(&want, normal);
        else
            wn_str_add(&want, normal.p, normal.len);
        cr_expect(strlen(back) == want.len && !memcmp(back, want.len ? want.p : "", want.len),
                  "%s: \"%.*s\" comes back as \"%s\"", name, (int)len, s, back);
        wn_free(back);
    }
    wn_str_free(&want);
    wn_ids_free(id);
    return !skip;
}

/* A text of up to 12 stretches of the strings, cut between characters. */
static void random_text(wn_str *out, const json_t *strings, wn_rng *r)
{
    wn_str_clear(out);
    for (uint64_t k = 1 + wn_rng_below(r, 12); k; k--) {
        const json_t *v = json_array_get(strings, wn_rng_below(r, json_array_size(strings)));
        const char *s = json_string_value(v);
        size_t len = json_string_length(v), from = len ? wn_rng_below(r, len) : 0,
               to = from + (len ? wn_rng_below(r, len - from + 1) : 0);
        if (to > from + 24)
            to = from + 24;
        while (from < to && ((unsigned char)s[from] & 0xc0) == 0x80)
            from++;
        while (to > from && to < len && ((unsigned char)s[to] & 0xc0) == 0x80)
            to--;
        wn_str_add(out, s + from, to - from);
    }
}

Test(decode, encoded_texts_come_back, .timeout = 60)
{
    static const struct {
        const char *name;
        enum kind kind;
    } all[] = {{"gpt2", SAME},
               {"smollm", SAME},
               {"llama3", SAME},
               {"qwen2", NFC},
               {"gpt-neox", NFC},
               {"bloom", SAME},
               {"o200k", SAME},
               {"llama2", MARKED},
               {"gemma", MARKED},
               {"gguf-smollm.gguf", SAME},
               {"gguf-llama3.gguf", SAME},
               {"gguf-qwen2.gguf", NFC},
               {"gguf-gpt2.gguf", SAME},
               {"gguf-neox.gguf", NFC},
               {"gguf-dbrx.gguf", SAME},
               {"gguf-tekken.gguf", SAME},
               {"gguf-gpt4o.gguf", SAME},
               {"gguf-bloom.gguf", SAME},
               {"gguf-spm.gguf", MARKED},
               {"gguf-gemma.gguf", MARKED},

               {"t5", WORDS}};
    json_t *strings;
    wn_str text = {0};
    cr_assert_eq(wn_json_load(&strings, golden("strings.json")), WN_OK);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        wn_tokenizer *t;
        wn_rng r = {.seed = 5, .stream = i};
        size_t compared = 0;
        cr_assert_eq(wn_tokenizer_open(&t, golden(all[i].name)), WN_OK, "%s", wn_error_text());
        for (size_t k = 0; k < json_array_size(strings); k++) {
            const json_t *v = json_array_get(strings, k);
            compared +=
                check(t, all[i].name, all[i].kind, json_string_value(v), json_string_length(v));
        }
        for (int k = 0; k < 300; k++) {
            random_text(&text, strings, &r);
            compared += check(t, all[i].name, all[i].kind, text.p ? text.p : "", text.len);
        }
        cr_expect_geq(compared, 300, "%s: only %zu texts", all[i].name, compared);
        wn_tokenizer_close(t);
    }
    wn_str_free(&text);
    json_decref(strings);
}

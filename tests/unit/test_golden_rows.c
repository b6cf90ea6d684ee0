/* Rows to ids by the rules of encode.h, against the reference tokenizers. */
#include "golden.h"
#include "token/encode.h"

static void check_ids(const wn_ids *got, const int32_t *want, size_t n, const char *what,
                      size_t row)
{
    cr_expect_eq(got->n, n, "%s of row %zu: %zu ids, expected %zu", what, row, got->n, n);
    for (size_t i = 0; i < n && i < got->n; i++)
        cr_expect_eq(got->id[i], want[i], "%s of row %zu: id %zu is %d, expected %d", what, row, i,
                     got->id[i], want[i]);
}

static void check_rows(const char *model, const char *expected)
{
    char path[GOLDEN_PATH];
    wn_tokenizer *t = NULL;
    wn_pool *p = NULL;
    wn_token_work w = {0};
    wn_row row = {0};
    wn_ids prompt = {0}, target = {0};
    wn_encode_rule rule = {.shape = WN_SHAPE_DECODER, .max_tokens = 64};
    wn_encode_counts counts = {0};
    wn_safetensors *e = golden_open(expected);
    GOLDEN_OK(wn_tokenizer_open(&t, golden_path(path, "%s", model)));
    GOLDEN_OK(wn_pool_open(&p, golden_path(path, "models/rows.jsonl"), NULL, true));
    int32_t *head = golden_i32(e, NULL, "rows.prompt"), *tail = golden_i32(e, NULL, "rows.target");
    int32_t *ho = golden_i32(e, NULL, "rows.prompt_off"),
            *to = golden_i32(e, NULL, "rows.target_off");
    cr_assert_eq(wn_pool_rows(p), 9);
    for (uint64_t r = 0; r < 9; r++) {
        size_t part[2];
        GOLDEN_OK(wn_pool_row(p, r, &row));
        wn_ids_clear(&prompt);
        wn_ids_clear(&target);
        GOLDEN_OK(
            wn_encode_targets(&prompt, &target, part, t, &w, &row, &row.target, 1, &rule, &counts));
        check_ids(&prompt, head + ho[r], (size_t)(ho[r + 1] - ho[r]), "prompt", r);
        check_ids(&target, tail + to[r], (size_t)(to[r + 1] - to[r]), "target", r);
    }
    cr_expect_eq(counts.prompts_cut, 0);
    wn_ids_release(&prompt);
    wn_ids_release(&target);
    wn_row_free(&row);
    wn_token_work_free(&w);
    wn_pool_close(p);
    wn_tokenizer_close(t);
    wn_safetensors_close(e);
}

Test(golden_rows, decoder)
{
    check_rows("models/llama-tiny", "models/llama-tiny");
}

Test(golden_rows, decoder_with_bos)
{
    check_rows("models/llama-untied", "models/llama-untied");
}

Test(golden_rows, decoder_from_gguf)
{
    check_rows("models/llama-tiny-gguf/model.gguf", "models/llama-tiny");
}

/* Truncation and padding that tokenizer.json asks for are ignored; the rule's limit keeps [SEP]. */
Test(golden_rows, encoder)
{
    char path[GOLDEN_PATH];
    wn_tokenizer *t = NULL;
    wn_pool *p = NULL;
    wn_token_work w = {0};
    wn_row row = {0};
    wn_ids ids = {0};
    wn_encode_rule rule = {.shape = WN_SHAPE_ENCODER, .max_tokens = 32};
    wn_encode_counts counts = {0};
    wn_safetensors *e = golden_open("models/sentence-tiny");
    GOLDEN_OK(wn_tokenizer_open(&t, golden_path(path, "models/sentence-tiny")));
    GOLDEN_OK(wn_pool_open(&p, golden_path(path, "models/texts.jsonl"), NULL, true));
    int32_t *want = golden_i32(e, NULL, "texts.ids"), *off = golden_i32(e, NULL, "texts.off");
    for (uint64_t r = 0; r < wn_pool_rows(p); r++) {
        GOLDEN_OK(wn_pool_row(p, r, &row));
        wn_ids_clear(&ids);
        GOLDEN_OK(wn_encode_prompt(&ids, t, &w, &row, &rule, false, &counts));
        check_ids(&ids, want + off[r], (size_t)(off[r + 1] - off[r]), "text", r);
    }
    cr_expect_eq(counts.prompts_cut, 1);
    wn_ids_release(&ids);
    wn_row_free(&row);
    wn_token_work_free(&w);
    wn_pool_close(p);
    wn_tokenizer_close(t);
    wn_safetensors_close(e);
}

/* How a row becomes tokens: every clause of the command line's contract, on the golden tokenizers.
 */
#include <criterion/criterion.h>

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "token/encode.h"

static wn_tokenizer *open_golden(const char *name)
{
    char path[4096];
    const char *root = getenv("WN_TEST_ROOT");
    wn_tokenizer *t;
    snprintf(path, sizeof path, "%s/tests/goldens/tokenizers/%s", root ? root : ".", name);
    cr_assert_eq(wn_tokenizer_open(&t, path), WN_OK, "%s", wn_error_text());
    return t;
}

/* A GPT-2-like tokenizer with an EOS, or any other kind, and everything a call needs. */
typedef struct bed {
    wn_tokenizer *t;
    wn_token_work w;
    wn_ids prompt, targets;
    size_t part[9];
    wn_encode_counts counts;
    wn_row row;
    wn_encode_rule rule;
} bed;

static wn_span span(const char *s)
{
    return (wn_span){s, strlen(s)};
}

static bed make(const char *name, wn_shape shape, const char *prompt, const char *target)
{
    bed b = {.t = open_golden(name)};
    b.rule.shape = shape;
    b.row.id = span("row-7");
    b.row.prompt = span(prompt);
    b.row.has_target = target != NULL;
    if (target)
        b.row.target = span(target);
    /* the goldens have no tokenizer_config.json: give the decoders their end of text */
    if (shape != WN_SHAPE_ENCODER && !strcmp(name, "gpt2"))
        ((wn_token_facts *)wn_tokenizer_facts(b.t))->eos = wn_tokenizer_id(b.t, "<|endoftext|>");
    if (!strcmp(name, "llama3"))
        ((wn_token_facts *)wn_tokenizer_facts(b.t))->eos = wn_tokenizer_id(b.t, "<|im_end|>");
    if (!strcmp(name, "llama2") || !strcmp(name, "t5"))
        ((wn_token_facts *)wn_tokenizer_facts(b.t))->eos = wn_tokenizer_id(b.t, "</s>");
    return b;
}

static void drop(bed *b)
{
    wn_ids_release(&b->prompt);
    wn_ids_release(&b->targets);
    wn_token_work_free(&b->w);
    wn_tokenizer_close(b->t);
}

static wn_err targets(bed *b, size_t n, const wn_span *text)
{
    wn_ids_clear(&b->prompt);
    wn_ids_clear(&b->targets);
    b->counts = (wn_encode_counts){0};
    return wn_encode_targets(&b->prompt, &b->targets, b->part, b->t, &b->w, &b->row,
                             text ? text : &b->row.target, text ? n : 1, &b->rule, &b->counts);
}

static wn_err prompt(bed *b, bool both)
{
    wn_ids_clear(&b->prompt);
    b->counts = (wn_encode_counts){0};
    return wn_encode_prompt(&b->prompt, b->t, &b->w, &b->row, &b->rule, both, &b->counts);
}

/* Ids of pieces: texts through the tokenizer, or single ids given as "#name". NULL ends the list.
 */
static wn_ids ids_of(bed *b, ...)
{
    wn_ids out = {0};
    va_list ap;
    va_start(ap, b);
    for (const char *s; (s = va_arg(ap, const char *));) {
        if (*s != '#') {
            cr_assert_eq(wn_tokenizer_append(b->t, &b->w, s, strlen(s), &out), WN_OK);
            continue;
        }
        int32_t id = wn_tokenizer_id(b->t, s + 1);
        cr_assert_geq(id, 0, "%s", s);
        cr_assert(WN_GROW(out.id, out.n, out.cap));
        out.id[out.n++] = id;
    }
    va_end(ap);
    return out;
}

static bool same(const int32_t *id, size_t n, wn_ids want)
{
    bool ok = n == want.n && (!n || !memcmp(id, want.id, n * sizeof *id));
    wn_ids_release(&want);
    return ok;
}

/* ---- encoders
 * ------------------------------------------------------------------------------------ */

Test(encode, encoder_has_special_tokens_and_only_the_prompt)
{
    bed b = make("wordpiece", WN_SHAPE_ENCODER, "the old river", "and this is not seen");
    cr_assert_eq(prompt(&b, false), WN_OK);
    cr_assert(same(b.prompt.id, b.prompt.n, ids_of(&b, "#[CLS]", "the old river", "#[SEP]", NULL)));
    cr_assert_eq(b.counts.rows, 1);
    cr_assert_eq(b.counts.tokens, b.prompt.n);
    cr_assert_eq(b.counts.prompts_cut, 0);
    drop(&b);
}

Test(encode, encoder_is_cut_at_the_end_and_keeps_special_tokens)
{
    bed b = make("wordpiece", WN_SHAPE_ENCODER, "the the the the river lantern", NULL);
    wn_ids whole = ids_of(&b, "the the the the river lantern", NULL);
    b.rule.max_tokens = 5;
    cr_assert_eq(prompt(&b, false), WN_OK);
    cr_assert(same(b.prompt.id, b.prompt.n, ids_of(&b, "#[CLS]", "the the the", "#[SEP]", NULL)));
    cr_assert_eq(b.counts.prompts_cut, 1);
    cr_assert_eq(b.counts.prompt_tokens_cut, whole.n - 3);
    b.rule.max_tokens = whole.n + 2;
    cr_assert_eq(prompt(&b, false), WN_OK);
    cr_assert_eq(b.prompt.n, whole.n + 2);
    cr_assert_eq(b.counts.prompts_cut, 0);
    b.rule.max_tokens = 2;
    cr_assert_eq(prompt(&b, false), WN_OK);
    cr_assert(same(b.prompt.id, b.prompt.n, ids_of(&b, "#[CLS]", "#[SEP]", NULL)));
    wn_ids_release(&whole);
    drop(&b);
}

Test(encode, results_are_appended)
{
    bed b = make("wordpiece", WN_SHAPE_ENCODER, "the old river", NULL);
    cr_assert_eq(prompt(&b, false), WN_OK);
    size_t n = b.prompt.n;
    cr_assert_eq(wn_encode_prompt(&b.prompt, b.t, &b.w, &b.row, &b.rule, false, NULL), WN_OK);
    cr_assert_eq(b.prompt.n, 2 * n);
    cr_assert(!memcmp(b.prompt.id, b.prompt.id + n, n * sizeof(int32_t)));
    drop(&b);
}

/* ---- encoder-decoder
 * ------------------------------------------------------------------------------ */

Test(encode, t5_reads_prompt_and_eos_and_predicts_target_and_eos)
{
    bed b = make("t5", WN_SHAPE_ENCDEC, "the old river", "carries a lantern");
    cr_assert_eq(targets(&b, 1, NULL), WN_OK);
    cr_assert(same(b.prompt.id, b.prompt.n, ids_of(&b, "the old river", "#</s>", NULL)));
    cr_assert(same(b.targets.id, b.targets.n, ids_of(&b, "carries a lantern", "#</s>", NULL)));
    cr_assert_eq(b.counts.tokens, b.prompt.n + b.targets.n);
    drop(&b);
}

Test(encode, t5_prompt_is_cut_at_the_end_with_eos_kept)
{
    bed b = make("t5", WN_SHAPE_ENCDEC, "the old river", "carries a lantern");
    wn_ids whole = ids_of(&b, "the old river", NULL);
    b.rule.max_tokens = 3;
    cr_assert_eq(targets(&b, 1, NULL), WN_OK);
    cr_assert_eq(b.prompt.n, 3);
    cr_assert_eq(b.prompt.id[0], whole.id[0]);
    cr_assert_eq(b.prompt.id[1], whole.id[1]);
    cr_assert_eq(b.prompt.id[2], wn_tokenizer_id(b.t, "</s>"));
    cr_assert(same(b.targets.id, b.targets.n, ids_of(&b, "carries a lantern", "#</s>", NULL)));
    cr_assert_eq(b.counts.prompts_cut, 1);
    wn_ids_release(&whole);
    drop(&b);
}

/* ---- decoders
 * ------------------------------------------------------------------------------------ */

Test(encode, decoder_texts_are_tokenised_apart_with_one_space)
{
    bed b = make("gpt2", WN_SHAPE_DECODER, "the old", "river");
    cr_assert_eq(targets(&b, 1, NULL), WN_OK);
    cr_assert(same(b.prompt.id, b.prompt.n, ids_of(&b, "the old", NULL)));
    cr_assert(same(b.targets.id, b.targets.n, ids_of(&b, " river", "#<|endoftext|>", NULL)));
    cr_assert_eq(b.part[0], 0);
    cr_assert_eq(b.part[1], b.targets.n);
    drop(&b);
}

Test(encode, no_space_where_there_is_white_space)
{
    static const char *const pairs[][2] = {
        {"the old ", "river"},  {"the old\n", "river"},       {"the old", " river"},
        {"the old", "\nriver"}, {"the old\xc2\xa0", "river"}, {"the old", "\xe3\x80\x80river"}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        bed b = make("gpt2", WN_SHAPE_DECODER, pairs[i][0], pairs[i][1]);
        cr_assert_eq(targets(&b, 1, NULL), WN_OK);
        cr_assert(same(b.targets.id, b.targets.n, ids_of(&b, pairs[i][1], "#<|endoftext|>", NULL)),
                  "pair %zu", i);
        drop(&b);
    }
}

Test(encode, no_second_space_where_the_tokenizer_puts_one)
{
    bed b = make("llama2", WN_SHAPE_DECODER, "the old", "river");
    cr_assert_eq(targets(&b, 1, NULL), WN_OK);
    cr_assert(same(b.prompt.id, b.prompt.n, ids_of(&b, "#<s>", "the old", NULL)));
    cr_assert(same(b.targets.id, b.targets.n, ids_of(&b, "river", "#</s>", NULL)));
    wn_ids two = ids_of(&b, " river", "#</s>", NULL);
    cr_assert_neq(two.n, b.targets.n);
    wn_ids_release(&two);
    drop(&b);
}

Test(encode, an_empty_target_is_eos_alone)
{
    bed b = make("gpt2", WN_SHAPE_DECODER, "the old", "");
    cr_assert_eq(targets(&b, 1, NULL), WN_OK);
    cr_assert(same(b.targets.id, b.targets.n, ids_of(&b, "#<|endoftext|>", NULL)));
    drop(&b);
    b = make("smollm", WN_SHAPE_DECODER, "the old", ""); /* has no EOS */
    cr_assert_eq(targets(&b, 1, NULL), WN_EARG);
    cr_assert_not_null(strstr(wn_error_text(), "row-7"));
    drop(&b);
}

Test(encode, bos_if_the_tokenizer_says_so)
{
    bed b = make("llama3", WN_SHAPE_DECODER, "the old", "river");
    cr_assert_eq(targets(&b, 1, NULL), WN_OK);
    cr_assert(same(b.prompt.id, b.prompt.n, ids_of(&b, "#<|endoftext|>", "the old", NULL)));
    cr_assert(same(b.targets.id, b.targets.n, ids_of(&b, " river", "#<|im_end|>", NULL)));
    drop(&b);
}

Test(encode, decoder_embeds_bos_and_prompt_without_eos)
{
    bed b = make("llama3", WN_SHAPE_DECODER, "the old river carries", "a lantern");
    cr_assert_eq(prompt(&b, false), WN_OK);
    cr_assert(
        same(b.prompt.id, b.prompt.n, ids_of(&b, "#<|endoftext|>", "the old river carries", NULL)));
    cr_assert_eq(prompt(&b, true), WN_OK);
    cr_assert(same(b.prompt.id, b.prompt.n,
                   ids_of(&b, "#<|endoftext|>", "the old river carries", " a lantern", NULL)));
    b.row.has_target = false; /* a query may lack one */
    cr_assert_eq(prompt(&b, true), WN_OK);
    cr_assert(
        same(b.prompt.id, b.prompt.n, ids_of(&b, "#<|endoftext|>", "the old river carries", NULL)));
    drop(&b);
}

Test(encode, decoder_prompt_loses_its_beginning_and_bos_stays)
{
    bed b = make("llama3", WN_SHAPE_DECODER, "the the the the old river", "x");
    wn_ids whole = ids_of(&b, "the the the the old river", NULL);
    wn_ids answer = ids_of(&b, " x", "#<|im_end|>", NULL);
    b.rule.max_tokens = 1 + 2 + answer.n;
    cr_assert_eq(targets(&b, 1, NULL), WN_OK);
    cr_assert_eq(b.prompt.n, 3);
    cr_assert_eq(b.prompt.id[0], wn_tokenizer_id(b.t, "<|endoftext|>"));
    cr_assert_eq(b.prompt.id[1], whole.id[whole.n - 2]);
    cr_assert_eq(b.prompt.id[2], whole.id[whole.n - 1]);
    cr_assert_eq(b.prompt.n + b.targets.n, b.rule.max_tokens);
    cr_assert_eq(b.counts.prompt_tokens_cut, whole.n - 2);
    b.rule.max_tokens = 4;
    cr_assert_eq(prompt(&b, false), WN_OK);
    cr_assert_eq(b.prompt.n, 4);
    cr_assert_eq(b.prompt.id[0], wn_tokenizer_id(b.t, "<|endoftext|>"));
    cr_assert_eq(b.prompt.id[3], whole.id[whole.n - 1]);
    wn_ids_release(&whole);
    wn_ids_release(&answer);
    drop(&b);
}

Test(encode, all_choices_see_the_same_prompt)
{
    bed b = make("gpt2", WN_SHAPE_DECODER, "the old river carries the old lantern", "no");
    const wn_span choice[] = {span("no"), span("yes, the garden"), span("maybe")};
    wn_ids longest = ids_of(&b, " yes, the garden", "#<|endoftext|>", NULL);
    b.rule.max_tokens = longest.n + 2;
    cr_assert_eq(targets(&b, 3, choice), WN_OK);
    cr_assert_eq(b.prompt.n, 2);
    cr_assert_eq(b.part[3], b.targets.n);
    cr_assert(same(b.targets.id, b.part[1], ids_of(&b, " no", "#<|endoftext|>", NULL)));
    cr_assert(same(b.targets.id + b.part[1], b.part[2] - b.part[1],
                   ids_of(&b, " yes, the garden", "#<|endoftext|>", NULL)));
    cr_assert(same(b.targets.id + b.part[2], b.part[3] - b.part[2],
                   ids_of(&b, " maybe", "#<|endoftext|>", NULL)));
    cr_assert_eq(b.counts.prompts_cut, 1);
    wn_ids_release(&longest);
    drop(&b);
}

Test(encode, a_target_that_leaves_no_room_is_refused_by_id)
{
    bed b = make("gpt2", WN_SHAPE_DECODER, "the old river", "carries a bright lantern");
    wn_ids answer = ids_of(&b, " carries a bright lantern", "#<|endoftext|>", NULL);
    b.rule.max_tokens = answer.n;
    cr_assert_eq(targets(&b, 1, NULL), WN_EARG);
    cr_assert_not_null(strstr(wn_error_text(), "row-7"), "%s", wn_error_text());
    b.rule.max_tokens = answer.n + 1;
    cr_assert_eq(targets(&b, 1, NULL), WN_OK);
    cr_assert_eq(b.prompt.n, 1);
    wn_ids_release(&answer);
    drop(&b);
}

Test(encode, a_target_is_cut_only_by_max_target)
{
    bed b = make("gpt2", WN_SHAPE_DECODER, "the old river", "carries a bright lantern");
    wn_ids answer = ids_of(&b, " carries a bright lantern", "#<|endoftext|>", NULL);
    b.rule.max_target = 3;
    cr_assert_eq(targets(&b, 1, NULL), WN_OK);
    cr_assert_eq(b.targets.n, 3);
    cr_assert_eq(b.targets.id[0], answer.id[0]);
    cr_assert_eq(b.targets.id[1], answer.id[1]);
    cr_assert_eq(b.targets.id[2], answer.id[answer.n - 1]);
    cr_assert_eq(b.counts.targets_cut, 1);
    cr_assert_eq(b.counts.target_tokens_cut, answer.n - 3);
    b.rule.max_target = answer.n;
    cr_assert_eq(targets(&b, 1, NULL), WN_OK);
    cr_assert_eq(b.counts.targets_cut, 0);
    wn_ids_release(&answer);
    drop(&b);
}

Test(encode, special_tokens_spelled_out_are_theirs)
{
    bed b = make("gpt2", WN_SHAPE_DECODER, "the<|im_start|>old", "river<|im_end|>");
    cr_assert_eq(targets(&b, 1, NULL), WN_OK);
    cr_assert(same(b.prompt.id, b.prompt.n, ids_of(&b, "the", "#<|im_start|>", "old", NULL)));
    cr_assert(same(b.targets.id, b.targets.n,
                   ids_of(&b, " river", "#<|im_end|>", "#<|endoftext|>", NULL)));
    drop(&b);
}

Test(encode, chat_format)
{
    bed b = make("gpt2", WN_SHAPE_DECODER, "the old", "river");
    b.rule.tmpl = "chatml";
    cr_assert_eq(targets(&b, 1, NULL), WN_OK);
    cr_assert(same(b.prompt.id, b.prompt.n,
                   ids_of(&b, "#<|im_start|>", "user\nthe old", "#<|im_end|>", "\n",
                          "#<|im_start|>", "assistant\n", NULL)));
    cr_assert(same(b.targets.id, b.targets.n, ids_of(&b, "river", "#<|im_end|>", NULL)));
    b.rule.tmpl = "none";
    cr_assert_eq(targets(&b, 1, NULL), WN_OK);
    cr_assert(same(b.prompt.id, b.prompt.n, ids_of(&b, "the old", NULL)));
    b.rule.tmpl = "no-such-format";
    cr_assert_eq(targets(&b, 1, NULL), WN_EUSE);
    cr_assert_not_null(strstr(wn_error_text(), "chatml"), "%s", wn_error_text());
    b.rule.tmpl = "chat"; /* this tokenizer has no template of its own */
    cr_assert_eq(targets(&b, 1, NULL), WN_EARG);
    cr_assert_not_null(strstr(wn_error_text(), "missing"), "%s", wn_error_text());
    drop(&b);
}

/* ---- counting
 * -------------------------------------------------------------------------------------- */

Test(encode, summary_is_one_line_or_nothing)
{
    wn_str s = {0};
    wn_encode_rule rule = {.max_tokens = 512, .max_target = 8};
    wn_encode_counts c = {.rows = 200};
    wn_encode_summary(&s, &c, &rule);
    cr_assert_str_eq(s.p, "");
    c = (wn_encode_counts){.rows = 200, .prompts_cut = 3, .prompt_tokens_cut = 1234};
    wn_encode_summary(&s, &c, &rule);
    cr_assert_str_eq(s.p, "3 of 200 prompts cut to 512 tokens (1,234 tokens dropped)");
    wn_str_clear(&s);
    c.targets_cut = 1;
    c.target_tokens_cut = 1000000;
    wn_encode_summary(&s, &c, &rule);
    cr_assert_str_eq(s.p, "3 of 200 prompts cut to 512 tokens (1,234 tokens dropped), "
                          "1 targets cut to 8 tokens (1,000,000 tokens dropped)");
    wn_str_free(&s);
}

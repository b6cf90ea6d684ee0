/* Likelihoods of choices and targets against PyTorch, independence of company, and the two jobs. */
#include "golden.h"

#include <sys/stat.h>
#include <unistd.h>

#include "base/par.h"
#include "eval/answers.h"
#include "eval/eval.h"
#include "io/file.h"
#include "io/json.h"

static char folder[] = "/tmp/wn_rank_XXXXXX";

static void make_folder(void)
{
    cr_assert(mkdtemp(folder));
}

static void remove_folder(void)
{
    wn_remove_tree(folder);
}

static const char *in_folder(char path[GOLDEN_PATH], const char *name)
{
    snprintf(path, GOLDEN_PATH, "%s/%s", folder, name);
    return path;
}

static const char *put_file(char path[GOLDEN_PATH], const char *name, const char *text)
{
    GOLDEN_OK(wn_file_write(in_folder(path, name), text, strlen(text)));
    return path;
}

static wn_model *open_model(const char *name)
{
    char path[GOLDEN_PATH];
    wn_model *m;
    const wn_model_opts o = {.precision = WN_PRECISION_F32};
    GOLDEN_OK(wn_model_open(&m, golden_path(path, "models/%s", name), &o));
    return m;
}

TestSuite(rank, .init = make_folder, .fini = remove_folder);

Test(rank, choices_as_pytorch)
{
    char path[GOLDEN_PATH];
    wn_model *m = open_model("llama-tiny");
    wn_pool *rows;
    wn_encode_rule rule;
    wn_encode_counts counts = {0};
    wn_choice_scores c;
    GOLDEN_OK(wn_pool_open(&rows, golden_path(path, "models/rank.jsonl"), NULL, true));
    GOLDEN_OK(wn_eval_rule(&rule, m, 0, 0, NULL, NULL, false));
    GOLDEN_OK(wn_rank_rows(&c, m, rows, &rule, &counts, NULL));
    wn_safetensors *s = golden_open("models/llama-tiny");
    size_t n;
    float *nll = golden_f32(s, &n, "rank.nll");
    int32_t *choices = golden_i32(s, NULL, "rank.choices"),
            *count = golden_i32(s, NULL, "rank.count");
    cr_assert_eq(c.start[c.rows], n);
    for (uint64_t r = 0; r < c.rows; r++)
        cr_expect_eq(c.start[r + 1] - c.start[r], (size_t)choices[r]);
    for (size_t i = 0; i < n; i++) {
        cr_expect_eq(c.tokens[i], (uint32_t)count[i]);
        cr_expect_float_eq(c.nll[i], nll[i], 2e-5 * nll[i], "choice %zu: %g, expected %g", i,
                           c.nll[i], nll[i]);
    }
    wn_safetensors_close(s);
    wn_choice_scores_free(&c);
    wn_pool_close(rows);
    wn_model_close(m);
}

Test(rank, targets_as_pytorch)
{
    char path[GOLDEN_PATH];
    wn_model *m = open_model("llama-tiny");
    wn_pool *rows;
    wn_encode_rule rule;
    wn_encode_counts counts = {0};
    double nll[16];
    uint32_t tokens[16];
    GOLDEN_OK(wn_pool_open(&rows, golden_path(path, "models/rows.jsonl"), NULL, true));
    GOLDEN_OK(wn_eval_rule(&rule, m, 0, 0, NULL, NULL, false));
    GOLDEN_OK(wn_nll_rows(nll, tokens, m, rows, &rule, &counts, NULL));
    wn_safetensors *s = golden_open("models/llama-tiny");
    size_t n;
    float *right = golden_f32(s, &n, "rows.nll");
    int32_t *count = golden_i32(s, NULL, "rows.count");
    cr_assert_eq(n, wn_pool_rows(rows));
    for (size_t i = 0; i < n; i++) {
        cr_expect_eq(tokens[i], (uint32_t)count[i]);
        cr_expect_float_eq(nll[i], right[i], 2e-5 * right[i]);
    }
    wn_safetensors_close(s);
    wn_pool_close(rows);
    wn_model_close(m);
}

/* 700 rows are two windows and many batches; every row's figures equal those it has alone, bit for
 * bit, for one thread and three. */
Test(rank, company_and_threads_change_nothing)
{
    static const char *const prompts[] = {
        "Is ice warm?", "The sun rises in the", "Two\\n",
        "A much longer prompt about nothing at all, really: what?"};
    char path[GOLDEN_PATH];
    wn_str text = {0};
    wn_model *m = open_model("llama-tiny");
    wn_encode_rule rule;
    wn_encode_counts counts = {0};
    GOLDEN_OK(wn_eval_rule(&rule, m, 0, 0, NULL, NULL, false));
    for (int i = 0; i < 700; i++)
        wn_str_printf(&text,
                      "{\"id\": %d, \"prompt\": \"%s\", \"target\": \"no\", \"choices\": [\"no\", "
                      "\"yes or %d\", \"\"]}\n",
                      i, prompts[i * 7 % 4], i % 5);
    put_file(path, "many.jsonl", text.p);
    wn_pool *many, *one;
    wn_choice_scores all, again, alone;
    GOLDEN_OK(wn_pool_open(&many, path, NULL, true));
    wn_par_set_threads(1);
    GOLDEN_OK(wn_rank_rows(&all, m, many, &rule, &counts, NULL));
    wn_par_set_threads(3);
    GOLDEN_OK(wn_rank_rows(&again, m, many, &rule, &counts, NULL));
    cr_expect_eq(memcmp(all.nll, again.nll, 2100 * sizeof *all.nll), 0);
    cr_expect_eq(memcmp(all.tokens, again.tokens, 2100 * sizeof *all.tokens), 0);
    for (uint64_t r = 0; r < 700; r += 173) {
        wn_span raw = wn_pool_raw(many, r);
        char line[1024];
        snprintf(line, sizeof line, "%.*s\n", (int)raw.len, raw.p);
        put_file(path, "one.jsonl", line);
        GOLDEN_OK(wn_pool_open(&one, path, NULL, true));
        GOLDEN_OK(wn_rank_rows(&alone, m, one, &rule, &counts, NULL));
        cr_expect_eq(memcmp(alone.nll, all.nll + 3 * r, 3 * sizeof *all.nll), 0, "row %d", (int)r);
        wn_choice_scores_free(&alone);
        wn_pool_close(one);
    }
    wn_choice_scores_free(&all);
    wn_choice_scores_free(&again);
    wn_pool_close(many);
    wn_model_close(m);
    wn_str_free(&text);
}

Test(rank, best_is_the_lowest_and_ties_go_to_the_first)
{
    size_t start[] = {0, 4}, best;
    double nll[] = {4, 2, 2, 3};
    uint32_t tokens[] = {4, 1, 2, 2};
    wn_choice_scores c = {1, start, nll, tokens, NULL};
    wn_span choices[] = {{"abcdefghijklmnop", 16}, {"ab", 2}, {"abc", 3}, {"a", 1}};
    wn_row row = {.id = {"r", 1}, .choices = choices, .n_choices = 4};
    GOLDEN_OK(wn_rank_best(&best, &c, &row, WN_NORM_NONE));
    cr_expect_eq(best, 1);
    GOLDEN_OK(wn_rank_best(&best, &c, &row, WN_NORM_TOKENS));
    cr_expect_eq(best, 0);
    GOLDEN_OK(wn_rank_best(&best, &c, &row, WN_NORM_BYTES));
    cr_expect_eq(best, 0);
    choices[3].len = 0;
    cr_expect_eq(wn_rank_best(&best, &c, &row, WN_NORM_BYTES), WN_EARG);
    cr_expect(strstr(wn_error_text(), "\"r\""));
    double prior[] = {0.5, 0, 1, 2.5};
    c.prior = prior; /* 3.5, 2, 1, 0.5 */
    GOLDEN_OK(wn_rank_best(&best, &c, &row, WN_NORM_NONE));
    cr_expect_eq(best, 3);
    GOLDEN_OK(wn_rank_best(&best, &c, &row, WN_NORM_TOKENS)); /* .875, 2, .5, .25 */
    cr_expect_eq(best, 3);
}

/* What the rows' own prompts and a neutral one give is scored apart, and is what ranking a row of
 * that prompt gives. */
Test(rank, calibration_is_the_neutral_prompts_loss)
{
    char path[GOLDEN_PATH];
    wn_model *m = open_model("llama-tiny");
    wn_pool *rows, *neutral;
    wn_encode_rule rule;
    wn_encode_counts counts = {0};
    wn_choice_scores c, d;
    GOLDEN_OK(wn_eval_rule(&rule, m, 0, 0, NULL, NULL, false));
    put_file(path, "rows.jsonl",
             "{\"prompt\":\"Is ice warm?\",\"target\":\"no\",\"choices\":[\"yes\",\"no\"]}\n"
             "{\"prompt\":\"Is\",\"target\":\"a b\",\"choices\":[\"a b\"]}\n");
    GOLDEN_OK(wn_pool_open(&rows, path, NULL, true));
    put_file(path, "neutral.jsonl",
             "{\"prompt\":\"Answer:\",\"target\":\"no\",\"choices\":[\"yes\",\"no\"]}\n"
             "{\"prompt\":\"Answer:\",\"target\":\"a b\",\"choices\":[\"a b\"]}\n");
    GOLDEN_OK(wn_pool_open(&neutral, path, NULL, true));
    GOLDEN_OK(wn_rank_rows(&c, m, rows, &rule, &counts, NULL));
    GOLDEN_OK(wn_rank_rows(&d, m, neutral, &rule, &counts, NULL));
    GOLDEN_OK(wn_rank_calibrate(&c, m, rows, &rule, "Answer:", NULL));
    cr_expect_eq(memcmp(c.prior, d.nll, 3 * sizeof *c.prior), 0);
    cr_expect_neq(memcmp(c.nll, d.nll, 3 * sizeof *c.nll), 0);
    wn_choice_scores_free(&c);
    wn_choice_scores_free(&d);
    wn_pool_close(rows);
    wn_pool_close(neutral);
    wn_model_close(m);
}

/* Without EOS a choice's loss is that of its own tokens: "no" costs what the first token of the
 * target "no" costs in a row whose loss is known token by token; and an empty choice has none. */
Test(rank, without_eos_only_the_text_counts)
{
    char path[GOLDEN_PATH];
    wn_model *m = open_model("llama-tiny");
    wn_pool *rows;
    wn_encode_rule rule;
    wn_encode_counts counts = {0};
    wn_choice_scores with, without;
    GOLDEN_OK(wn_eval_rule(&rule, m, 0, 0, NULL, NULL, false));
    put_file(path, "rows.jsonl",
             "{\"prompt\":\"Is\",\"target\":\"a\",\"choices\":[\"a\",\"a b\",\"a b c d\"]}\n");
    GOLDEN_OK(wn_pool_open(&rows, path, NULL, true));
    GOLDEN_OK(wn_rank_rows(&with, m, rows, &rule, &counts, NULL));
    rule.no_eos = true;
    GOLDEN_OK(wn_rank_rows(&without, m, rows, &rule, &counts, NULL));
    for (size_t i = 0; i < 3; i++) {
        cr_expect_eq(without.tokens[i] + 1, with.tokens[i]);
        cr_expect_lt(without.nll[i], with.nll[i]);
        cr_expect(i == 0 || without.nll[i] > without.nll[i - 1], "the beginning costs less");
    }
    wn_choice_scores_free(&with);
    wn_choice_scores_free(&without);
    wn_pool_close(rows);
    put_file(path, "empty.jsonl",
             "{\"id\":\"e\",\"prompt\":\"Is\",\"target\":\"a\",\"choices\":[\"a\",\"\"]}\n");
    GOLDEN_OK(wn_pool_open(&rows, path, NULL, true));
    cr_expect_eq(wn_rank_rows(&without, m, rows, &rule, &counts, NULL), WN_EARG);
    cr_expect(strstr(wn_error_text(), "'e'") && strstr(wn_error_text(), "--eos is no"), "%s",
              wn_error_text());
    wn_pool_close(rows);
    wn_model_close(m);
}

/* The target is the first choice, right ones are among the references. */
Test(rank, truth_as_restated)
{
    char path[GOLDEN_PATH], file[GOLDEN_PATH];
    json_t *all, *c;
    size_t k;
    GOLDEN_OK(wn_json_load(&all, golden_path(path, "metrics.json")));
    json_array_foreach(json_object_get(all, "truth"), k, c)
    {
        const json_t *losses = json_object_get(c, "nll"), *right = json_object_get(c, "right");
        size_t n = json_array_size(losses), start[2] = {0, n}, refs = 0;
        double nll[8], score;
        uint32_t tokens[8];
        wn_str s = {0};
        wn_pool *rows;
        wn_str_puts(&s, "{\"prompt\":\"p\",\"target\":\"c0\",\"choices\":[");
        for (size_t i = 0; i < n; i++) {
            wn_str_printf(&s, "%s\"c%zu\"", i ? "," : "", i);
            nll[i] = json_number_value(json_array_get(losses, i));
            tokens[i] = 1;
        }
        wn_str_puts(&s, "],\"references\":[");
        for (size_t i = 1; i < n; i++)
            if (json_is_true(json_array_get(right, i)))
                wn_str_printf(&s, "%s\"c%zu\"", refs++ ? "," : "", i);
        wn_str_puts(&s, refs ? "]}\n" : "\"c0\"]}\n");
        GOLDEN_OK(wn_pool_open(&rows, put_file(file, "rows.jsonl", s.p), NULL, true));
        const wn_choice_scores scores = {1, start, nll, tokens, NULL};
        GOLDEN_OK(wn_rank_truth(&score, &scores, rows, WN_NORM_NONE, false));
        cr_expect_eq(score, json_number_value(json_object_get(c, "mc1")), "case %zu", k);
        GOLDEN_OK(wn_rank_truth(&score, &scores, rows, WN_NORM_NONE, true));
        cr_expect_float_eq(score, json_number_value(json_object_get(c, "mc2")), 1e-12);
        wn_pool_close(rows);
        wn_str_free(&s);
    }
    cr_expect_eq(k, 12);
    json_decref(all);
}

/* By hand: losses 2, 1, 3, 1.5 of choices t (target), w, r (a reference), x. mc1: w is likelier
 * than the target: 0. mc2: (e^-2 + e^-3) / (e^-2 + e^-1 + e^-3 + e^-1.5). */
Test(rank, truth_by_hand)
{
    char path[GOLDEN_PATH];
    wn_pool *rows;
    put_file(path, "rows.jsonl",
             "{\"prompt\":\"p\",\"target\":\"t\",\"choices\":[\"t\",\"w\",\"r\",\"x\"],"
             "\"references\":[\"r\"]}\n"
             "{\"prompt\":\"p\",\"target\":\"t\",\"choices\":[\"w\",\"t\"]}\n"
             "{\"prompt\":\"p\",\"target\":\"t\",\"choices\":[\"w\",\"t\"]}\n");
    GOLDEN_OK(wn_pool_open(&rows, path, NULL, true));
    size_t start[] = {0, 4, 6, 8};
    double nll[] = {2, 1, 3, 1.5, 5, 4, 900, 900}, score[3];
    uint32_t tokens[8] = {1, 1, 1, 1, 1, 1, 1, 1};
    wn_choice_scores c = {3, start, nll, tokens, NULL};
    GOLDEN_OK(wn_rank_truth(score, &c, rows, WN_NORM_NONE, false));
    cr_expect_eq(score[0], 0);
    cr_expect_eq(score[1], 1);
    cr_expect_eq(score[2], 0, "a tie is not below");
    GOLDEN_OK(wn_rank_truth(score, &c, rows, WN_NORM_NONE, true));
    double right = exp(-2) + exp(-3), all = right + exp(-1) + exp(-1.5);
    cr_expect_float_eq(score[0], right / all, 1e-12);
    cr_expect_float_eq(score[1], exp(-4) / (exp(-4) + exp(-5)), 1e-12);
    cr_expect_float_eq(score[2], 0.5, 1e-12);
    wn_pool_close(rows);
    put_file(path, "right.jsonl",
             "{\"id\":\"all\",\"prompt\":\"p\",\"target\":\"t\",\"choices\":[\"t\"]}\n");
    GOLDEN_OK(wn_pool_open(&rows, path, NULL, true));
    c.rows = 1;
    start[1] = 1;
    cr_expect_eq(wn_rank_truth(score, &c, rows, WN_NORM_NONE, true), WN_EARG);
    cr_expect(strstr(wn_error_text(), "\"all\": none of its choices is wrong"), "%s",
              wn_error_text());
    wn_pool_close(rows);
}

Test(rank, encoders_are_refused_and_rows_without_choices_have_no_scores)
{
    char path[GOLDEN_PATH];
    wn_model *m = open_model("llama-tiny"), *bert = open_model("bert-tiny");
    wn_pool *rows;
    wn_encode_rule rule;
    wn_encode_counts counts = {0};
    wn_choice_scores c;
    cr_expect_eq(wn_eval_rule(&rule, bert, 0, 0, NULL, NULL, false), WN_EARG);
    GOLDEN_OK(wn_eval_rule(&rule, m, 0, 0, NULL, NULL, false));
    put_file(path, "bare.jsonl",
             "{\"id\":\"bare one\",\"prompt\":\"x\",\"target\":\"y\"}\n"
             "{\"id\":\"a\",\"prompt\":\"x\",\"target\":\"y\",\"choices\":[\"y\"]}\n");
    GOLDEN_OK(wn_pool_open(&rows, path, NULL, true));
    GOLDEN_OK(wn_rank_rows(&c, m, rows, &rule, &counts, NULL));
    cr_expect_eq(c.start[1], 0);
    cr_expect_eq(c.start[2], 1);
    wn_choice_scores_free(&c);
    wn_pool_close(rows);
    wn_model_close(m);
    wn_model_close(bert);
}

/* ---- jobs ---- */

/* score's lines are the contract's: id as it stood, the sum and count, and the same of every
 * choice; the target's figures are its choice's. */
Test(rank, score_writes_the_contract)
{
    char model[GOLDEN_PATH], rows[GOLDEN_PATH], out[GOLDEN_PATH];
    golden_path(model, "models/llama-tiny");
    put_file(
        rows, "rows.jsonl",
        "{\"id\":7,\"prompt\":\"Is ice warm?\",\"target\":\"no\",\"choices\":[\"yes\",\"no\"]}\n"
        "{\"id\":\"b\",\"prompt\":\"Is ice warm?\",\"target\":\"no\"}\n");
    wn_score_opts o = {
        .model = model,
        .rows = rows,
        .common = {.out = in_folder(out, "scores.jsonl"), .precision = WN_PRECISION_F32}};
    GOLDEN_OK(wn_score_job(&o));
    cr_expect_eq(wn_score_job(&o), WN_EARG, "a finished file is refused");
    wn_lines *l;
    wn_span line;
    wn_err err;
    json_t *v[2];
    GOLDEN_OK(wn_lines_open(&l, out));
    for (int i = 0; i < 2; i++) {
        cr_assert(wn_lines_next(l, &line, &err));
        GOLDEN_OK(wn_json_parse(&v[i], line.p, line.len, out));
    }
    cr_expect_not(wn_lines_next(l, &line, &err));
    wn_lines_close(l);
    cr_expect_eq(json_integer_value(json_object_get(v[0], "id")), 7);
    cr_expect_str_eq(json_string_value(json_object_get(v[1], "id")), "b");
    json_t *choice = json_array_get(json_object_get(v[0], "choices"), 1);
    cr_expect(json_equal(json_object_get(choice, "nll"), json_object_get(v[0], "nll")));
    cr_expect(json_equal(json_object_get(choice, "tokens"), json_object_get(v[0], "tokens")));
    cr_expect_eq(json_object_get(v[1], "choices"), NULL);
    cr_expect_float_eq(json_number_value(json_object_get(v[1], "nll")),
                       json_number_value(json_object_get(v[0], "nll")), 1e-4);
    json_decref(v[0]);
    json_decref(v[1]);
}

static json_t *eval(wn_eval_opts *o)
{
    char *text;
    json_t *v;
    GOLDEN_OK(wn_eval_job(o, &text));
    GOLDEN_OK(wn_json_parse(&v, text, strlen(text), "eval"));
    wn_free(text);
    return v;
}

static const char rows_text[] =
    "{\"id\":\"a\",\"prompt\":\"1?\",\"target\":\"yes\",\"choices\":[\"yes\",\"no\"]}\n"
    "{\"id\":\"b\",\"prompt\":\"2?\",\"target\":\"no\",\"choices\":[\"no\",\"yes\"]}\n"
    "{\"id\":3,\"prompt\":\"3?\",\"target\":\"no\",\"choices\":[\"yes\",\"no\"]}\n"
    "{\"id\":\"d\",\"prompt\":\"4?\",\"target\":\"no\",\"choices\":[\"yes\",\"no\"]}\n";

/* Three of four right. Macro-F1 by hand: "yes" has 1 of gold 1, predicted 2: F1 2/3; "no" 2 of gold
 * 3, predicted 2: 4/5; mean 11/15. Labels are texts although the rows order them differently. */
Test(rank, given_predictions_are_scored_by_id)
{
    char rows[GOLDEN_PATH], given[GOLDEN_PATH], out[GOLDEN_PATH];
    put_file(rows, "rows.jsonl", rows_text);
    put_file(given, "given.jsonl",
             "{\"id\":3,\"prediction\":\"no\"}\n{\"id\":\"a\",\"prediction\":\"yes\"}\n\n"
             "{\"id\":\"d\",\"prediction\":\"yes\"}\n{\"id\":\"b\",\"prediction\":\" no\"}\n");
    const char *const files[] = {given};
    wn_eval_opts o = {.rows = rows,
                      .predictions = files,
                      .n_predictions = 1,
                      .common = {.out = in_folder(out, "out.jsonl")}};
    json_t *v = eval(&o);
    cr_expect_str_eq(json_string_value(json_object_get(v, "metric")), "accuracy");
    cr_expect_eq(json_number_value(json_object_get(v, "value")), 0.75);
    cr_expect_eq(json_integer_value(json_object_get(v, "n")), 4);
    cr_expect_eq(json_array_size(json_object_get(v, "ci95")), 2);
    json_decref(v);
    char *text;
    GOLDEN_OK(wn_file_read(&text, NULL, out, 4096));
    const char *start = "{\"id\": \"a\", \"prediction\": \"yes\", \"score\": 1}\n"
                        "{\"id\": \"b\", \"prediction\": \" no\", \"score\": 1}\n"
                        "{\"id\": 3, ";
    cr_expect_eq(strncmp(text, start, strlen(start)), 0, "%s", text);
    wn_free(text);
    o.common.out = NULL;
    o.metric = "macro-f1";
    put_file(given, "given.jsonl",
             "{\"id\":3,\"prediction\":\"no\"}\n{\"id\":\"a\",\"prediction\":\"yes\"}\n"
             "{\"id\":\"d\",\"prediction\":\"yes\"}\n{\"id\":\"b\",\"prediction\":\"no\"}\n");
    v = eval(&o);
    cr_expect_float_eq(json_number_value(json_object_get(v, "value")), 11.0 / 15, 1e-12);
    json_decref(v);
}

static void refused(const char *rows, const char *given, const char *says)
{
    char *text;
    const char *const files[] = {given};
    wn_eval_opts o = {.rows = rows, .predictions = files, .n_predictions = 1};
    cr_expect_neq(wn_eval_job(&o, &text), WN_OK, "expected: %s", says);
    cr_expect(strstr(wn_error_text(), says), "\"%s\" does not say %s", wn_error_text(), says);
}

Test(rank, wrong_predictions_name_the_id)
{
    char rows[GOLDEN_PATH], given[GOLDEN_PATH];
    put_file(rows, "rows.jsonl", rows_text);
    put_file(given, "given.jsonl",
             "{\"id\":\"a\",\"prediction\":\"x\"}\n{\"id\":\"zz\",\"prediction\":\"x\"}\n");
    refused(rows, given, "given.jsonl:2: no row of");
    refused(rows, given, "\"zz\"");
    put_file(given, "given.jsonl",
             "{\"id\":\"a\",\"prediction\":\"x\"}\n{\"id\":\"a\",\"prediction\":\"x\"}\n");
    refused(rows, given, "\"a\" has a second line");
    put_file(given, "given.jsonl",
             "{\"id\":\"a\",\"prediction\":\"x\"}\n{\"id\":3,\"prediction\":\"x\"}\n");
    refused(rows, given, "no line for the id \"b\"");
    put_file(given, "given.jsonl", "{\"id\":\"a\",\"prediction\":1}\n");
    refused(rows, given, "prediction: expected a string");
    put_file(given, "given.jsonl", "{\"id\":[],\"prediction\":\"1\"}\n");
    refused(rows, given, "id: expected a string or a number");
    put_file(given, "given.jsonl", "7\n");
    refused(rows, given, "expected an object");
    put_file(given, "given.jsonl", "{\"id\":\n");
    refused(rows, given, "given.jsonl:1");
}

Test(rank, eval_ranks_or_takes_losses)
{
    char model[GOLDEN_PATH], rows[GOLDEN_PATH];
    golden_path(model, "models/llama-tiny");
    wn_eval_opts o = {.model = model,
                      .rows = golden_path(rows, "models/rank.jsonl"),
                      .common.precision = WN_PRECISION_F32};
    json_t *v = eval(&o);
    cr_expect_eq(json_integer_value(json_object_get(v, "n")), 4);
    json_decref(v);
    o.metric = "nll";
    v = eval(&o);
    double loss = json_number_value(json_object_get(v, "value"));
    json_decref(v);
    o.metric = "perplexity";
    v = eval(&o);
    cr_expect_gt(json_number_value(json_object_get(v, "value")), 1);
    cr_expect_gt(loss, 1);
    json_decref(v);
    char *text;
    o.metric = "nll";
    o.answer = "generate";
    cr_expect_eq(wn_eval_job(&o, &text), WN_EUSE);
}

/* Encoder-decoders from rows of text to losses and updates. The golden folders' tokenizers have no
 * words, so the models get one here whose word wN is the id N: the goldens' ids become texts. */
#include <unistd.h>

#include "base/par.h"
#include "eval/eval.h"
#include "golden_model.h"
#include "io/file.h"
#include "io/json.h"

#define LOSS_LIMIT 2e-5 /* relative */

enum { WORDS = 43, MOST_ROWS = 16 };

static char scratch[] = "/tmp/winnow-encdec-XXXXXX";

static void make_scratch(void)
{
    cr_assert(mkdtemp(scratch));
}

static void remove_scratch(void)
{
    GOLDEN_OK(wn_remove_tree(scratch));
}

TestSuite(golden_encdec, .init = make_scratch, .fini = remove_scratch);

static const char *in_scratch(char path[GOLDEN_PATH], const char *name)
{
    snprintf(path, GOLDEN_PATH, "%s/%s", scratch, name);
    return path;
}

static void put_file(const char *name, wn_str *text)
{
    char path[GOLDEN_PATH];
    GOLDEN_OK(wn_str_check(text));
    GOLDEN_OK(wn_file_write(in_scratch(path, name), text->p, text->len));
    wn_str_free(text);
}

/* SCRATCH/model: the golden model with words. */
static void make_model(const char *family)
{
    static const char *const files[] = {"config.json", "model.safetensors"};
    char from[GOLDEN_PATH], to[GOLDEN_PATH];
    wn_str s = {0};
    GOLDEN_OK(wn_mkdirs(in_scratch(to, "model")));
    for (size_t i = 0; i < 2; i++) {
        golden_path(from, "families/%s/%s", family, files[i]);
        snprintf(to, sizeof to, "%s/model/%s", scratch, files[i]);
        cr_assert_eq(symlink(from, to), 0);
    }
    wn_str_puts(&s,
                "{\"version\": \"1.0\", \"added_tokens\": [], \"normalizer\": null, "
                "\"pre_tokenizer\": {\"type\": \"BertPreTokenizer\"}, \"post_processor\": null, "
                "\"decoder\": null, \"model\": {\"type\": \"WordPiece\", \"unk_token\": \"w2\", "
                "\"continuing_subword_prefix\": \"##\", \"max_input_chars_per_word\": 100, "
                "\"vocab\": {");
    for (int i = 0; i < WORDS; i++)
        wn_str_printf(&s, "%s\"w%d\": %d", i ? ", " : "", i, i);
    wn_str_puts(&s, "}}}");
    put_file("model/tokenizer.json", &s);
}

static void put_words(wn_str *s, const int32_t *id, const int32_t *off, size_t row)
{
    wn_str_puts(s, "\"");
    for (int32_t i = off[row]; i + 1 < off[row + 1]; i++) /* the last is EOS */
        wn_str_printf(s, "%sw%d", i > off[row] ? " " : "", id[i]);
    wn_str_puts(s, "\"");
}

/* The goldens' rows: every pair of a prompt and a target, the choices of each all targets; or only
 * the rows themselves. Returns the number of prompts. */
static size_t put_rows(const wn_safetensors *e, const char *name, bool pairs)
{
    size_t n;
    int32_t *id = golden_i32(e, NULL, "ids"), *off = golden_i32(e, &n, "off");
    int32_t *target = golden_i32(e, NULL, "target"),
            *target_off = golden_i32(e, NULL, "target_off");
    wn_str s = {0};
    n--;
    for (size_t p = 0; p < n; p++)
        for (size_t t = 0; t < n; t++) {
            if (!pairs && p != t)
                continue;
            wn_str_printf(&s, "{\"id\": \"%zu-%zu\", \"prompt\": ", p, t);
            put_words(&s, id, off, p);
            wn_str_puts(&s, ", \"target\": ");
            put_words(&s, target, target_off, t);
            for (size_t c = 0; !pairs && c < n; c++) {
                wn_str_puts(&s, c ? ", " : ", \"choices\": [");
                put_words(&s, target, target_off, c);
            }
            wn_str_puts(&s, pairs ? "}\n" : "]}\n");
        }
    put_file(name, &s);
    return n;
}

static wn_model *open_model(void)
{
    char path[GOLDEN_PATH];
    wn_model *m = NULL;
    const wn_model_opts o = {.precision = WN_PRECISION_F32};
    GOLDEN_OK(wn_model_open(&m, in_scratch(path, "model"), &o));
    return m;
}

static wn_pool *open_rows(const char *name)
{
    char path[GOLDEN_PATH];
    wn_pool *p = NULL;
    GOLDEN_OK(wn_pool_open(&p, in_scratch(path, name), NULL, true));
    return p;
}

/* ---- scoring
 * ------------------------------------------------------------------------------------- */

static void check_target(double nll, uint32_t tokens, const float *want, const int32_t *count,
                         size_t i)
{
    cr_expect(fabs(nll - want[i]) <= LOSS_LIMIT * want[i], "row %zu: nll %.9g, expected %.9g", i,
              nll, (double)want[i]);
    cr_expect_eq(tokens, (uint32_t)count[i], "row %zu", i);
}

/* A target has the golden loss, alone or as one of several choices behind one pass of the encoder;
 * and no choice's figure depends on what it shares its prompt or its batch with, bit for bit. */
static void check_scores(const char *family)
{
    wn_safetensors *e = golden_open(family);
    float *want = golden_f32(e, NULL, "nll");
    int32_t *count = golden_i32(e, NULL, "count");
    size_t n = put_rows(e, "rows.jsonl", false);
    put_rows(e, "pairs.jsonl", true);
    wn_model *m = open_model();
    wn_pool *rows = open_rows("rows.jsonl"), *pairs = open_rows("pairs.jsonl");
    wn_encode_rule rule;
    wn_encode_counts counts = {0};
    wn_choice_scores c = {0};
    double nll[MOST_ROWS];
    uint32_t tokens[MOST_ROWS];
    cr_assert_leq(n * n, MOST_ROWS);
    GOLDEN_OK(wn_eval_rule(&rule, m, 0, 0, NULL, NULL, false));
    cr_expect_eq(rule.max_tokens, 512);
    size_t T, targets;
    golden_i32(e, &T, "ids");
    golden_i32(e, &targets, "target");
    GOLDEN_OK(wn_rank_rows(&c, m, rows, &rule, &counts, NULL));
    cr_expect_eq(counts.computed, T + n * targets, "every prompt is encoded once, not %zu times",
                 n);
    counts.computed = 0;
    wn_set_threads(3);
    GOLDEN_OK(wn_nll_rows(nll, tokens, m, pairs, &rule, &counts, NULL));
    cr_expect_eq(counts.computed, n * T + n * targets);
    cr_assert_eq(c.start[n], n * n);
    for (size_t i = 0; i < n * n; i++) {
        cr_expect_eq(c.nll[i], nll[i], "pair %zu: %.17g, alone %.17g", i, c.nll[i], nll[i]);
        cr_expect_eq(c.tokens[i], tokens[i]);
    }
    for (size_t r = 0; r < n; r++)
        check_target(c.nll[r * n + r], c.tokens[r * n + r], want, count, r);
    GOLDEN_OK(wn_nll_rows(nll, tokens, m, rows, &rule, &counts, NULL));
    for (size_t r = 0; r < n; r++)
        check_target(nll[r], tokens[r], want, count, r);
    wn_choice_scores_free(&c);
    wn_pool_close(rows);
    wn_pool_close(pairs);
    wn_safetensors_close(e);
    wn_model_close(m);
}

Test(golden_encdec, scores_of_untied)
{
    make_model("t5-v1.1");
    check_scores("families/t5-v1.1");
}

Test(golden_encdec, scores_of_tied)
{
    make_model("t5-v1.0");
    check_scores("families/t5-v1.0");
}

/* Many rows, so that batches are full on one side before the other: figures stay those of a row
 * alone. */
Test(golden_encdec, company_changes_nothing)
{
    enum { ROWS = 600 };
    wn_str s = {0};
    make_model("mt5");
    wn_model *m = open_model();
    wn_encode_rule rule;
    wn_encode_counts counts = {0};
    for (int i = 0; i < ROWS; i++) {
        wn_str_printf(&s, "{\"id\": %d, \"prompt\": \"w%d", i, 4 + i % 39);
        for (int k = 0; k < i % 3 * 40; k++)
            wn_str_printf(&s, " w%d", 4 + (i + k) % 39);
        wn_str_printf(&s, "\", \"target\": \"w%d", 4 + i % 31);
        for (int k = 0; k < i % 5 * 30; k++)
            wn_str_printf(&s, " w%d", 4 + (i + 2 * k) % 39);
        wn_str_puts(&s, "\"}\n");
    }
    wn_str one = {0};
    const char *line = s.p;
    for (int i = 0; i < ROWS - 1; i++)
        line = strchr(line, '\n') + 1;
    wn_str_puts(&one, line);
    put_file("many.jsonl", &s);
    put_file("one.jsonl", &one);
    wn_pool *many = open_rows("many.jsonl"), *last = open_rows("one.jsonl");
    double *nll = golden_alloc(ROWS, sizeof *nll), alone;
    uint32_t *tokens = golden_alloc(ROWS, sizeof *tokens), alone_tokens;
    GOLDEN_OK(wn_eval_rule(&rule, m, 0, 0, NULL, NULL, false));
    GOLDEN_OK(wn_nll_rows(nll, tokens, m, many, &rule, &counts, NULL));
    GOLDEN_OK(wn_nll_rows(&alone, &alone_tokens, m, last, &rule, &counts, NULL));
    cr_expect_eq(nll[ROWS - 1], alone, "%.17g, alone %.17g", nll[ROWS - 1], alone);
    cr_expect_eq(tokens[ROWS - 1], alone_tokens);
    cr_expect_eq(tokens[3], 1 + 3 * 30 + 1);
    wn_pool_close(many);
    wn_pool_close(last);
    wn_model_close(m);
}

Test(golden_encdec, a_prompt_is_not_predicted)
{
    make_model("t5-v1.1");
    wn_model *m = open_model();
    wn_encode_rule rule;
    cr_expect_eq(wn_eval_rule(&rule, m, 0, 0, NULL, NULL, true), WN_EARG);
    cr_expect(strstr(wn_error_message(), "loss-on all"), "%s", wn_error_message());
    wn_model_close(m);
}

/* ---- training
 * ------------------------------------------------------------------------------------- */

static wn_err train(char out[GOLDEN_PATH], const char *name, const char *method, uint64_t steps,
                    size_t batch_tokens, bool loss_on_all)
{
    char model[GOLDEN_PATH], data[GOLDEN_PATH];
    const wn_train_opts o = {
        .common = {.out = in_scratch(out, name), .precision = WN_PRECISION_F32},
        .model = in_scratch(model, "model"),
        .data = in_scratch(data, "rows.jsonl"),
        .eval = data,
        .method = method,
        .steps = steps,
        .lr = 1e-2,
        .batch = 4,
        .dropout = strcmp(method, "lora") == 0 ? "0.1" : NULL,
        .shuffle = "no",
        .max_batch_tokens = batch_tokens,
        .loss_on_all = loss_on_all,
    };
    return wn_train_job(&o);
}

/* The named number of the log's line `at`, or of a JSON file. */
static double number_in(const char *folder, const char *file, size_t at, const char *key)
{
    char path[GOLDEN_PATH + 64];
    wn_lines *lines;
    wn_span line;
    wn_err err = WN_OK;
    double x = NAN;
    snprintf(path, sizeof path, "%s/%s", folder, file);
    GOLDEN_OK(wn_lines_open(&lines, path));
    for (size_t i = 0; wn_lines_next(lines, &line, &err); i++) {
        json_t *v = NULL;
        if (i != at)
            continue;
        GOLDEN_OK(wn_json_parse(&v, line.p, line.len, path));
        GOLDEN_OK(wn_json_get_number(&x, v, key, true, path));
        json_decref(v);
    }
    GOLDEN_OK(err);
    wn_lines_close(lines);
    return x;
}

/* The first update's loss is the goldens'; updates make it smaller, on the evaluated rows as well.
 */
static void check_training(const char *family, const char *method)
{
    enum { STEPS = 12 };
    char out[GOLDEN_PATH], path[GOLDEN_PATH + 32];
    wn_safetensors *e = golden_open(family);
    json_t *facts;
    uint64_t an_epoch = 0, tokens = 0;
    size_t T, targets;
    double want = golden_f32(e, NULL, "loss")[0];
    put_rows(e, "rows.jsonl", false);
    golden_i32(e, &T, "ids");
    golden_i32(e, &targets, "target");
    GOLDEN_OK(train(out, "out", method, STEPS, 0, false));
    double first = number_in(out, "train.jsonl", 0, "loss");
    double last = number_in(out, "train.jsonl", STEPS - 1, "loss");
    double evaluated = number_in(out, "train.jsonl", STEPS, "eval_loss");
    cr_expect(fabs(first - want) <= LOSS_LIMIT * want, "loss %.9g, expected %.9g", first, want);
    cr_expect_lt(last, 0.9 * first);
    cr_expect_lt(evaluated, last * 1.05);
    snprintf(path, sizeof path, "%s/train.json", out);
    GOLDEN_OK(wn_json_load(&facts, path));
    GOLDEN_OK(wn_json_get_u64(&an_epoch, facts, "tokens_an_epoch", true, path));
    GOLDEN_OK(wn_json_get_u64(&tokens, facts, "tokens", true, path));
    cr_expect_eq(an_epoch, T + targets);
    cr_expect_eq(tokens, STEPS * (T + targets));
    json_decref(facts);
    wn_safetensors_close(e);
}

Test(golden_encdec, trains_all_parameters)
{
    make_model("t5-v1.1");
    check_training("families/t5-v1.1", "full");
}

Test(golden_encdec, trains_an_adapter)
{
    make_model("t5-v1.0");
    check_training("families/t5-v1.0", "lora");
}

static void same_file(const char *a, const char *b, const char *name)
{
    char path[GOLDEN_PATH + 64];
    char *x, *y;
    size_t nx, ny;
    snprintf(path, sizeof path, "%s/%s", a, name);
    GOLDEN_OK(wn_file_read(&x, &nx, path, 1 << 26));
    snprintf(path, sizeof path, "%s/%s", b, name);
    GOLDEN_OK(wn_file_read(&y, &ny, path, 1 << 26));
    cr_expect(nx == ny && !memcmp(x, y, nx), "%s differs", name);
    wn_free(x);
    wn_free(y);
}

/* Trains twice, the second time with more threads and `batch_tokens` at once. */
static void check_same(const char *method, size_t batch_tokens, const char *file)
{
    char one[GOLDEN_PATH], two[GOLDEN_PATH];
    wn_safetensors *e = golden_open("families/t5-v1.1");
    make_model("t5-v1.1");
    put_rows(e, "rows.jsonl", false);
    wn_set_threads(1);
    GOLDEN_OK(train(one, "one", method, 3, 0, false));
    wn_set_threads(3);
    GOLDEN_OK(train(two, "two", method, 3, batch_tokens, false));
    same_file(one, two, file);
    same_file(one, two, "train.json");
    wn_safetensors_close(e);
}

/* An adapter's dropout and sums go by example on both sides, so how much is computed at once
 * changes nothing. A table that both sides share is added up side by side within what is computed
 * at once: there only the number of threads is free. */
Test(golden_encdec, any_cut_of_a_batch)
{
    check_same("lora", 1, "adapter_model.safetensors");
}

Test(golden_encdec, any_number_of_threads)
{
    check_same("full", 0, "model.safetensors");
}

Test(golden_encdec, loss_on_all_is_refused)
{
    char out[GOLDEN_PATH];
    wn_safetensors *e = golden_open("families/t5-v1.1");
    make_model("t5-v1.1");
    put_rows(e, "rows.jsonl", false);
    cr_expect_eq(train(out, "out", "full", 1, 0, true), WN_EARG);
    cr_expect(strstr(wn_error_message(), "loss-on all"), "%s", wn_error_message());
    wn_safetensors_close(e);
}

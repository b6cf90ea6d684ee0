/* Generation of rows: that company, memory and threads change no answer, where answers end, and
 * what is refused. */
#include "golden.h"

#include <unistd.h>

#include "base/par.h"
#include "eval/generate.h"
#include "io/file.h"

static char folder[] = "/tmp/wn_generate_XXXXXX";

static void make_folder(void)
{
    cr_assert(mkdtemp(folder));
}

static void remove_folder(void)
{
    wn_par_set_threads(0);
    wn_remove_tree(folder);
}

TestSuite(generate, .init = make_folder, .fini = remove_folder, .timeout = 60);

static wn_model *open_model(const char *name)
{
    char path[GOLDEN_PATH];
    wn_model *m;
    const wn_model_opts o = {.precision = WN_PRECISION_F32};
    GOLDEN_OK(wn_model_open(&m, golden_path(path, "%s", name), &o));
    return m;
}

static wn_pool *open_rows(const char *text)
{
    char path[GOLDEN_PATH];
    wn_pool *rows;
    snprintf(path, sizeof path, "%s/rows.jsonl", folder);
    GOLDEN_OK(wn_file_write(path, text, strlen(text)));
    GOLDEN_OK(wn_pool_open(&rows, path, NULL, true));
    return rows;
}

static wn_predictions answers(wn_model *m, const wn_pool *rows, const wn_generate_rule *g,
                              wn_generate_counts *counts)
{
    wn_predictions p;
    wn_encode_rule rule;
    wn_generate_counts none;
    GOLDEN_OK(wn_eval_rule(&rule, m, 0, 0, NULL, NULL, false));
    GOLDEN_OK(wn_predictions_init(&p, wn_pool_rows(rows)));
    GOLDEN_OK(wn_generate_rows(&p, m, rows, &rule, g, counts ? counts : &none, NULL));
    return p;
}

/* 90 rows, three times as many as run at once; prompts of 1 to 40 words of the model's. */
static char *many_rows(void)
{
    static const char *const word[] = {"a", "b", "ice", "the sun", "?", "Two", "yes", "no"};
    wn_str s = {0};
    for (int i = 0; i < 90; i++) {
        wn_str_printf(&s, "{\"id\": %d, \"target\": \"x\", \"prompt\": \"a", i);
        for (int k = 0; k < i * 13 % 19; k++)
            wn_str_printf(&s, " %s", word[(i + k * 5) % 8]);
        wn_str_puts(&s, "\"}\n");
    }
    return s.p;
}

static void same_answers(const wn_predictions *a, const wn_predictions *b, const char *what)
{
    for (uint64_t r = 0; r < a->rows; r++) {
        wn_span x = wn_predictions_get(a, r), y = wn_predictions_get(b, r);
        cr_expect(wn_span_same(x, y), "%s: row %d: \"%.*s\", alone \"%.*s\"", what, (int)r,
                  (int)y.len, y.p, (int)x.len, x.p);
    }
}

static void company_changes_nothing(const char *name)
{
    wn_model *m = open_model(name);
    char *text = many_rows();
    wn_pool *rows = open_rows(text);
    wn_generate_rule g = {.max_new = 9};
    wn_par_set_threads(1);
    wn_predictions first = answers(m, rows, &g, NULL);
    wn_par_set_threads(3);
    wn_predictions again = answers(m, rows, &g, NULL);
    same_answers(&first, &again, "threads");
    wn_predictions_free(&again);
    /* room for two texts or so */
    wn_generate_counts counts;
    g.max_memory = wn_mem_live();
    for (wn_err err = WN_EARG; err;) {
        wn_encode_rule rule;
        g.max_memory += 4096;
        GOLDEN_OK(wn_eval_rule(&rule, m, 0, 0, NULL, NULL, false));
        GOLDEN_OK(wn_predictions_init(&again, 90));
        err = wn_generate_rows(&again, m, rows, &rule, &g, &counts, NULL);
        cr_assert(!err || strstr(wn_error_text(), "--max-memory"), "%s", wn_error_text());
        if (err)
            wn_predictions_free(&again);
    }
    cr_expect_eq(counts.rows, 90);
    same_answers(&first, &again, "little memory");
    wn_predictions_free(&again);
    wn_pool_close(rows);
    char *line = text;
    g.max_memory = 0;
    for (int r = 0; r < 90; r++) {
        char *end = strchr(line, '\n');
        if (r % 11 == 0) {
            *end = '\0';
            rows = open_rows(line);
            again = answers(m, rows, &g, NULL);
            wn_span x = wn_predictions_get(&first, (uint64_t)r), y = wn_predictions_get(&again, 0);
            cr_expect(wn_span_same(x, y), "row %d alone", r);
            wn_predictions_free(&again);
            wn_pool_close(rows);
        }
        line = end + 1;
    }
    wn_predictions_free(&first);
    wn_free(text);
    wn_model_close(m);
}

Test(generate, company_memory_and_threads_change_no_answer)
{
    company_changes_nothing("models/llama-tiny");
    company_changes_nothing("families/t5-v1.1");
    company_changes_nothing("families/bloom");
}

static const char two[] = "{\"id\":1,\"prompt\":\"Is ice warm?\",\"target\":\"x\"}\n"
                          "{\"id\":2,\"prompt\":\"The\",\"target\":\"x\",\"choices\":[\"x\"]}\n";

/* A stop text found in the free answer ends it there; the first of several counts. */
Test(generate, stop_texts_end_answers)
{
    wn_model *m = open_model("models/llama-tiny");
    wn_pool *rows = open_rows(two);
    wn_generate_rule g = {.max_new = 30, .all = true};
    wn_predictions free_ = answers(m, rows, &g, NULL);
    wn_span whole = wn_predictions_get(&free_, 0);
    cr_assert_gt(whole.len, 8);
    char a[3] = {whole.p[5], whole.p[6], 0}, b[3] = {whole.p[3], whole.p[4], 0};
    const char *const stop[] = {a, b};
    g.stop = stop;
    g.n_stop = 2;
    wn_generate_counts counts;
    wn_predictions cut = answers(m, rows, &g, &counts);
    wn_span got = wn_predictions_get(&cut, 0);
    cr_expect_leq(got.len, 3);
    cr_expect_eq(memcmp(got.p, whole.p, got.len), 0);
    cr_expect(strncmp(whole.p + got.len, a, 2) == 0 || strncmp(whole.p + got.len, b, 2) == 0);
    cr_expect_lt(counts.tokens, 60);
    wn_predictions_free(&free_);
    wn_predictions_free(&cut);
    wn_pool_close(rows);
    wn_model_close(m);
}

Test(generate, rows_with_choices_are_left_out_unless_asked)
{
    wn_model *m = open_model("models/llama-tiny");
    wn_pool *rows = open_rows(two);
    wn_generate_rule g = {.max_new = 3};
    wn_generate_counts counts;
    wn_predictions p = answers(m, rows, &g, &counts);
    cr_expect_eq(counts.rows, 1);
    cr_expect_eq(p.start[1], SIZE_MAX);
    cr_expect_eq(counts.unended, 1);
    cr_expect_eq(counts.tokens, 3);
    wn_predictions_free(&p);
    g.all = true;
    p = answers(m, rows, &g, &counts);
    cr_expect_eq(counts.rows, 2);
    wn_predictions_free(&p);
    wn_pool_close(rows);
    wn_model_close(m);
}

Test(generate, too_many_new_tokens_are_refused_and_long_prompts_cut)
{
    wn_model *m = open_model("models/llama-tiny"); /* 64 positions */
    wn_pool *rows = open_rows(two);
    wn_encode_rule rule;
    wn_generate_counts counts;
    wn_predictions p;
    wn_generate_rule g = {.max_new = 64};
    GOLDEN_OK(wn_eval_rule(&rule, m, 0, 0, NULL, NULL, false));
    GOLDEN_OK(wn_predictions_init(&p, 2));
    cr_expect_eq(wn_generate_rows(&p, m, rows, &rule, &g, &counts, NULL), WN_EARG);
    cr_expect(strstr(wn_error_text(), "--max-new 64 leaves no room"), "%s", wn_error_text());
    g.max_new = 61;
    GOLDEN_OK(wn_generate_rows(&p, m, rows, &rule, &g, &counts, NULL));
    cr_expect_eq(counts.prompts.prompts_cut, 1);
    cr_expect_eq(counts.room, 3);
    wn_predictions_free(&p);
    wn_pool_close(rows);
    wn_model_close(m);
}

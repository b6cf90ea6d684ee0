/* What is kept of an evaluation: every kind of result comes back exactly, nothing torn or foreign
 * is believed. */
#include "golden.h"

#include <unistd.h>

#include "eval/generate.h"
#include "io/file.h"

static char folder[] = "/tmp/wn_kept_XXXXXX";
static char out[64], partial[64];

static void make_folder(void)
{
    cr_assert(mkdtemp(folder));
    snprintf(out, sizeof out, "%s/out", folder);
    snprintf(partial, sizeof partial, "%s/out.partial", folder);
}

static void remove_folder(void)
{
    wn_remove_tree(folder);
}

TestSuite(kept, .init = make_folder, .fini = remove_folder, .timeout = 60);

static wn_err open_kept(wn_kept **k, int key, bool overwrite)
{
    json_t *m = json_pack("{s:i}", "key", key);
    wn_err err = wn_kept_open(k, out, m, overwrite);
    json_decref(m);
    return err;
}

static wn_kept *opened(void)
{
    wn_kept *k;
    GOLDEN_OK(open_kept(&k, 1, false));
    return k;
}

static void write_partial(const char *text)
{
    GOLDEN_OK(wn_file_write(partial, text, strlen(text)));
}

struct seen {
    int n;
    uint64_t row[8];
    double x[8];
};

static wn_err see(void *ctx, uint64_t row, const json_t *record, const char *where)
{
    struct seen *s = ctx;
    s->row[s->n] = row;
    return wn_kept_numbers(&s->x[s->n++], 1, record, "x", where);
}

static void add(wn_kept *k, const char *stage, uint64_t row, double x)
{
    wn_str *s = wn_kept_begin(k, stage, row);
    wn_str_puts(s, ",\"x\":[");
    wn_json_f64(s, x);
    wn_str_puts(s, "]");
    GOLDEN_OK(wn_kept_end(k));
}

Test(kept, comes_back_by_stage)
{
    struct seen a = {0}, b = {0};
    wn_kept *k = opened();
    add(k, "a", 3, 0.1);
    add(k, "b", 1, 1.0 / 3);
    add(k, "a", 0, -5e-300);
    GOLDEN_OK(wn_kept_replay(k, "a", see, &a)); /* only what was there on opening */
    cr_expect_eq(a.n, 0);
    wn_kept_close(k);
    k = opened();
    GOLDEN_OK(wn_kept_replay(k, "a", see, &a));
    GOLDEN_OK(wn_kept_replay(k, "b", see, &b));
    cr_expect(a.n == 2 && a.row[0] == 3 && a.row[1] == 0 && a.x[0] == 0.1 && a.x[1] == -5e-300);
    cr_expect(b.n == 1 && b.x[0] == 1.0 / 3);
    GOLDEN_OK(wn_kept_finish(k));
    cr_expect(!wn_file_exists(partial));
}

Test(kept, a_torn_tail_is_dropped)
{
    static const char *const tail[] = {"{\"stage\":\"a\",\"row\":1,\"x\":[2", "x\n",
                                       "{\"stage\":\"a\",\"row\":-1}\n", "\0\0\n"};
    for (size_t i = 0; i < 4; i++) {
        struct seen s = {0};
        wn_str text = {0};
        wn_str_puts(&text, "{\"key\":1}\n{\"stage\":\"a\",\"row\":0,\"x\":[7]}\n");
        size_t whole = text.len;
        wn_str_add(&text, tail[i], i == 3 ? 3 : strlen(tail[i]));
        wn_str_puts(&text, i ? "{\"stage\":\"a\",\"row\":2,\"x\":[9]}\n" : "");
        GOLDEN_OK(wn_file_write(partial, text.p, text.len));
        wn_kept *k = opened();
        GOLDEN_OK(wn_kept_replay(k, "a", see, &s));
        cr_expect(s.n == 1 && s.x[0] == 7, "tail %zu", i);
        wn_kept_close(k);
        wn_map m;
        GOLDEN_OK(wn_map_open(&m, partial));
        cr_expect_eq(m.size, whole, "tail %zu", i);
        wn_map_close(&m);
        wn_str_free(&text);
    }
}

Test(kept, another_run_s_is_refused_or_replaced)
{
    wn_kept *k = opened();
    add(k, "a", 0, 1);
    wn_kept_close(k);
    cr_expect_eq(open_kept(&k, 2, false), WN_EARG);
    cr_expect(strstr(wn_error_text(), "key is 1 there, but 2 here"), "%s", wn_error_text());
    struct seen s = {0};
    GOLDEN_OK(open_kept(&k, 2, true));
    GOLDEN_OK(wn_kept_replay(k, "a", see, &s));
    cr_expect_eq(s.n, 0);
    add(k, "a", 1, 2);
    wn_kept_close(k);
    GOLDEN_OK(open_kept(&k, 2, true)); /* the same command again goes on */
    GOLDEN_OK(wn_kept_replay(k, "a", see, &s));
    cr_expect_eq(s.n, 1);
    wn_kept_close(k);
    write_partial("somebody's notes\n");
    cr_expect_neq(open_kept(&k, 1, false), WN_OK);
}

Test(kept, nothing_is_left_of_nothing)
{
    wn_kept_close(opened());
    cr_expect(!wn_file_exists(partial));
    write_partial("{\"key"); /* killed in its first line */
    wn_kept_close(opened());
    cr_expect(!wn_file_exists(partial));
    wn_kept *k;
    json_t *m = json_object();
    GOLDEN_OK(wn_kept_open(&k, "-", m, false));
    cr_expect(!k && !wn_kept_begin(k, "a", 0));
    GOLDEN_OK(wn_kept_replay(k, "a", see, NULL));
    GOLDEN_OK(wn_kept_finish(k));
    json_decref(m);
}

/* ---- evaluations ---- */

static const char rows_text[] =
    "{\"id\":1,\"prompt\":\"Is ice warm?\",\"target\":\"no\",\"choices\":[\"no\",\"yes\",\"b\"]}\n"
    "{\"id\":2,\"prompt\":\"Is the sun\",\"target\":\"no\"}\n"
    "{\"id\":3,\"prompt\":\"a b a\",\"target\":\"yes\",\"choices\":[\"yes\",\"the sun\"]}\n";

struct world {
    wn_model *m;
    wn_pool *rows;
    wn_encode_rule rule;
    wn_encode_counts counts;
};

static void begin_world(struct world *w)
{
    char path[GOLDEN_PATH];
    const wn_model_opts o = {.precision = WN_PRECISION_F32};
    *w = (struct world){0};
    GOLDEN_OK(wn_model_open(&w->m, golden_path(path, "models/llama-tiny"), &o));
    snprintf(path, sizeof path, "%s/rows.jsonl", folder);
    GOLDEN_OK(wn_file_write(path, rows_text, strlen(rows_text)));
    GOLDEN_OK(wn_pool_open(&w->rows, path, NULL, true));
    GOLDEN_OK(wn_eval_rule(&w->rule, w->m, 0, 0, NULL, NULL, false));
}

static void end_world(struct world *w)
{
    wn_model_close(w->m);
    wn_pool_close(w->rows);
}

/* Figures that no computing gives show that none was done. */
Test(kept, ranks_are_not_computed_again)
{
    struct world w;
    wn_choice_scores c;
    begin_world(&w);
    write_partial(
        "{\"key\":1}\n{\"stage\":\"rank\",\"row\":0,\"nll\":[1,2.5,3],\"tokens\":[4,5,6]}\n"
        "{\"stage\":\"calibrate\",\"row\":0,\"nll\":[0.5,7,8],\"tokens\":[4,5,6]}\n");
    wn_kept *k = opened();
    GOLDEN_OK(wn_rank_rows(&c, w.m, w.rows, &w.rule, &w.counts, k));
    GOLDEN_OK(wn_rank_calibrate(&c, w.m, w.rows, &w.rule, "a", k));
    cr_expect(c.nll[1] == 2.5 && c.tokens[2] == 6 && c.prior[1] == 7);
    cr_expect(c.start[1] == 3 && c.start[2] == 3 && c.start[3] == 5 && w.counts.rows == 2);
    double nll = c.nll[3], prior = c.prior[4];
    wn_kept_close(k);
    wn_choice_scores_free(&c);
    k = opened(); /* now all is kept, and equal to the last bit */
    GOLDEN_OK(wn_rank_rows(&c, w.m, w.rows, &w.rule, &w.counts, k));
    GOLDEN_OK(wn_rank_calibrate(&c, w.m, w.rows, &w.rule, "a", k));
    cr_expect(c.nll[3] == nll && c.prior[4] == prior && c.nll[0] == 1);
    wn_choice_scores_free(&c);
    GOLDEN_OK(wn_rank_rows(&c, w.m, w.rows, &w.rule, &w.counts, NULL));
    cr_expect(c.nll[3] == nll && c.nll[0] != 1);
    wn_choice_scores_free(&c);
    wn_kept_close(k);
    end_world(&w);
}

Test(kept, losses_and_texts)
{
    struct world w;
    double nll[3];
    uint32_t tokens[3];
    wn_predictions p;
    wn_generate_counts counts;
    const wn_generate_rule g = {.max_new = 3, .all = true};
    begin_world(&w);
    write_partial("{\"key\":1}\n{\"stage\":\"nll\",\"row\":0,\"nll\":[1.25],\"tokens\":[9]}\n"
                  "{\"stage\":\"generate\",\"row\":2,\"unended\":true,\"text\":\"kept\"}\n");
    wn_kept *k = opened();
    GOLDEN_OK(wn_nll_rows(nll, tokens, w.m, w.rows, &w.rule, &w.counts, k));
    cr_expect(nll[0] == 1.25 && tokens[0] == 9 && nll[1] > 0 && tokens[1] < 9);
    GOLDEN_OK(wn_predictions_init(&p, 3));
    GOLDEN_OK(wn_generate_rows(&p, w.m, w.rows, &w.rule, &g, &counts, k));
    cr_expect(wn_span_is(wn_predictions_get(&p, 2), "kept"));
    cr_expect(counts.rows == 3 && counts.unended >= 1 && counts.prompts.rows == 3);
    wn_predictions_free(&p);
    wn_kept_close(k);
    end_world(&w);
}

Test(kept, records_that_are_not_the_rows_are_refused)
{
    static const char *const bad[] = {
        "{\"stage\":\"rank\",\"row\":0,\"nll\":[1,2],\"tokens\":[4,5]}",
        "{\"stage\":\"rank\",\"row\":0,\"nll\":[1,2,3],\"tokens\":[4,5,0]}",
        "{\"stage\":\"rank\",\"row\":0,\"nll\":[1,2,null],\"tokens\":[4,5,6]}",
        "{\"stage\":\"rank\",\"row\":1,\"nll\":[],\"tokens\":[]}",
        "{\"stage\":\"rank\",\"row\":2,\"nll\":[1,2],\"tokens\":[4,5]}",
        "{\"stage\":\"rank\",\"row\":99,\"nll\":[1,2],\"tokens\":[4,5]}",
        "{\"stage\":\"generate\",\"row\":0,\"text\":\"x\"}",
        "{\"stage\":\"generate\",\"row\":1,\"text\":5}",
        "{\"stage\":\"generate\",\"row\":99,\"text\":\"x\"}",
        "{\"stage\":\"nll\",\"row\":1,\"nll\":[1],\"tokens\":[4]}"};
    struct world w;
    begin_world(&w);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        wn_choice_scores c = {0};
        double nll[3];
        uint32_t tokens[3];
        wn_predictions p;
        wn_generate_counts counts;
        const wn_generate_rule g = {.max_new = 3};
        wn_str text = {0};
        wn_str_printf(&text, "{\"key\":1}\n%s\n", bad[i]);
        write_partial(text.p);
        wn_str_free(&text);
        wn_kept *k = opened();
        GOLDEN_OK(wn_predictions_init(&p, 3));
        wn_err err = wn_rank_rows(&c, w.m, w.rows, &w.rule, &w.counts, k);
        if (err == WN_OK)
            err = wn_generate_rows(&p, w.m, w.rows, &w.rule, &g, &counts, k);
        if (err == WN_OK)
            err = wn_nll_rows(nll, tokens, w.m, w.rows, &w.rule, &w.counts, k);
        cr_expect_eq(err, WN_EFORMAT, "%s", bad[i]);
        cr_expect(strstr(wn_error_text(), "out.partial"), "%s", wn_error_text());
        wn_choice_scores_free(&c);
        wn_predictions_free(&p);
        wn_kept_close(k);
    }
    end_world(&w);
}

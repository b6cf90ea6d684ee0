#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "eval/metric.h"
#include "eval/porter.h"
#include "io/json.h"

static json_t *goldens(void)
{
    const char *root = getenv("WN_TEST_ROOT");
    char path[4096];
    json_t *all = NULL;
    snprintf(path, sizeof path, "%s/tests/goldens/metrics.json", root ? root : ".");
    cr_assert_eq(wn_json_load(&all, path), WN_OK, "%s", wn_error_text());
    return all;
}

static wn_span span_of(const json_t *s)
{
    return (wn_span){json_string_value(s), json_string_length(s)};
}

Test(metric, stems_as_nltk_does)
{
    json_t *all = goldens(), *pair;
    size_t i;
    json_array_foreach(json_object_get(all, "stems"), i, pair)
    {
        char word[64];
        snprintf(word, sizeof word, "%s", json_string_value(json_array_get(pair, 0)));
        size_t n = strlen(word);
        word[n > 3 ? wn_porter_stem(word, n) : n] = '\0';
        cr_expect_str_eq(word, json_string_value(json_array_get(pair, 1)), "stem of %s",
                         json_string_value(json_array_get(pair, 0)));
    }
    cr_assert_geq(i, 200);
    json_decref(all);
}

static void check_rows(const json_t *all, const char *name)
{
    wn_metric_kind k;
    const json_t *c;
    size_t i;
    cr_assert_eq(wn_metric_kind_parse(&k, name), WN_OK);
    json_array_foreach(json_object_get(all, name), i, c)
    {
        const json_t *answers = json_object_get(c, "answers");
        wn_span a[4];
        for (size_t j = 0; j < json_array_size(answers); j++)
            a[j] = span_of(json_array_get(answers, j));
        double score = -1;
        cr_assert_eq(wn_metric_row(&score, k, span_of(json_object_get(c, "prediction")), a,
                                   json_array_size(answers)),
                     WN_OK);
        double right = json_number_value(json_object_get(c, "score"));
        cr_expect_float_eq(score, right, 1e-12, "%s case %zu: \"%s\" scores %.17g, expected %.17g",
                           name, i, json_string_value(json_object_get(c, "prediction")), score,
                           right);
    }
    cr_assert_gt(i, 0);
}

Test(metric, text_metrics_as_the_reference_scripts)
{
    json_t *all = goldens();
    check_rows(all, "rouge-l");
    check_rows(all, "drop-f1");
    check_rows(all, "exact");
    check_rows(all, "token-f1");
    json_decref(all);
}

static int *ints(const json_t *a)
{
    int *v = wn_malloc((json_array_size(a) + 1) * sizeof *v);
    for (size_t i = 0; i < json_array_size(a); i++)
        v[i] = (int)json_integer_value(json_array_get(a, i));
    return v;
}

/* The pseudo-values' mean is the macro-F1, and each row's differs from the others' by n - 1 times
 * the difference of the leave-one-out figures: recomputed here from scratch. */
Test(metric, macro_f1_as_scikit_learn_and_its_pseudo_values)
{
    json_t *all = goldens(), *c;
    size_t k;
    json_array_foreach(json_object_get(all, "macro-f1"), k, c)
    {
        size_t n = json_array_size(json_object_get(c, "gold"));
        int *g = ints(json_object_get(c, "gold")), *p = ints(json_object_get(c, "predicted"));
        int labels = (int)json_integer_value(json_object_get(c, "labels"));
        double right = json_number_value(json_object_get(c, "score"));
        cr_expect_float_eq(wn_macro_f1(g, p, n, labels), right, 1e-12);
        double equal = 0; /* micro-F1 of one label a row is accuracy */
        for (size_t i = 0; i < n; i++)
            equal += g[i] == p[i];
        cr_expect_float_eq(equal / (double)n, json_number_value(json_object_get(c, "micro")),
                           1e-12);
        double score[64], loo[64], mean = 0, loo_mean = 0;
        cr_assert_eq(wn_macro_f1_rows(score, g, p, n, labels), WN_OK);
        for (size_t i = 0; i < n; i++) {
            int g2[64], p2[64];
            size_t m = 0;
            for (size_t j = 0; j < n; j++)
                if (j != i)
                    g2[m] = g[j], p2[m++] = p[j];
            loo[i] = wn_macro_f1(g2, p2, m, labels);
            mean += score[i] / (double)n;
            loo_mean += loo[i] / (double)n;
        }
        cr_expect_float_eq(mean, right, 1e-12);
        for (size_t i = 0; i < n; i++)
            cr_expect_float_eq(score[i] - right, -(double)(n - 1) * (loo[i] - loo_mean), 1e-10);
        wn_free(g);
        wn_free(p);
    }
    json_decref(all);
}

Test(metric, perplexity_and_its_pseudo_values)
{
    json_t *all = goldens(), *c;
    size_t k;
    json_array_foreach(json_object_get(all, "perplexity"), k, c)
    {
        const json_t *tokens = json_object_get(c, "tokens"), *nll = json_object_get(c, "nll");
        size_t n = json_array_size(tokens);
        double loss[64], score[64], mean = 0, without[2];
        uint32_t count[64];
        for (size_t i = 0; i < n; i++) {
            loss[i] = json_number_value(json_array_get(nll, i));
            count[i] = (uint32_t)json_integer_value(json_array_get(tokens, i));
        }
        double right = json_number_value(json_object_get(c, "score"));
        cr_assert_eq(wn_perplexity_rows(score, loss, count, n), WN_OK);
        for (size_t i = 0; i < n; i++)
            mean += score[i] / (double)n;
        cr_expect_float_eq(mean, right, 1e-9 * right);
        for (size_t i = 0; n > 1 && i < 2; i++) { /* without row i, from scratch */
            double sum = 0, tok = 0;
            for (size_t j = 0; j < n; j++) {
                sum += j == i ? 0 : loss[j];
                tok += j == i ? 0 : count[j];
            }
            without[i] = exp(sum / tok);
        }
        if (n > 1)
            cr_expect_float_eq(score[0] - score[1], (double)(n - 1) * (without[1] - without[0]),
                               1e-7);
    }
    cr_expect_eq(k, 3);
    json_decref(all);
}

static double one(wn_metric_kind k, const char *p, const char *a)
{
    double s = -1;
    wn_span answer = {a, strlen(a)};
    cr_assert_eq(wn_metric_row(&s, k, (wn_span){p, strlen(p)}, &answer, 1), WN_OK);
    return s;
}

Test(metric, accuracy_is_exact_text_but_for_blanks_at_the_ends)
{
    cr_expect_eq(one(WN_SCORE_ACCURACY, " yes\n", "yes"), 1);
    cr_expect_eq(one(WN_SCORE_ACCURACY, "Yes", "yes"), 0);
    cr_expect_eq(one(WN_SCORE_ACCURACY, "", ""), 1);
    cr_expect_eq(one(WN_SCORE_ACCURACY, "y es", "yes"), 0);
}

Test(metric, no_right_answer_scores_nothing)
{
    double s = -1;
    cr_assert_eq(wn_metric_row(&s, WN_SCORE_EXACT, (wn_span){"x", 1}, NULL, 0), WN_OK);
    cr_expect_eq(s, 0);
}

Test(metric, names_are_those_of_the_contract)
{
    wn_metric_kind k;
    for (int i = WN_SCORE_ACCURACY; i <= WN_SCORE_NLL; i++) {
        cr_assert_eq(wn_metric_kind_parse(&k, wn_metric_kind_name((wn_metric_kind)i)), WN_OK);
        cr_expect_eq(k, (wn_metric_kind)i);
    }
    cr_expect_eq(wn_metric_kind_parse(&k, "bleu"), WN_EARG);
    cr_expect(strstr(wn_error_text(), "rouge-l") != NULL);
    cr_expect(wn_metric_lower_is_better(WN_SCORE_NLL));
    cr_expect_not(wn_metric_lower_is_better(WN_SCORE_EXACT));
}

/* Every allocation of a row's scoring fails once: an error each time, nothing kept. */
Test(metric, running_out_of_memory_is_an_error)
{
    static const wn_metric_kind kinds[] = {WN_SCORE_TOKEN_F1, WN_SCORE_ROUGE_L, WN_SCORE_DROP_F1};
    for (size_t k = 0; k < 3; k++) {
        size_t before = wn_mem_live();
        wn_err err = WN_ENOMEM;
        for (int n = 0; err == WN_ENOMEM && n < 100; n++) {
            wn_span a = {"the 12 answers", 14};
            double s;
            wn_mem_fail_after(n);
            err = wn_metric_row(&s, kinds[k], (wn_span){"a 12 given", 10}, &a, 1);
            wn_mem_fail_after(-1);
            cr_expect_eq(wn_mem_live(), before);
        }
        cr_expect_eq(err, WN_OK);
    }
}

/* The verdict as text and as HTML: what is said, what is escaped, and that no tree breaks them. */
#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "io/file.h"
#include "report/html.h"
#include "report/verdict.h"

static const char tree[] =
    "{\"title\": \"<b>&\", \"version\": \"1\", \"model\": \"m\", \"seconds\": {\"train\": 61, "
    "\"total\": 62},"
    "\"targets\": [{\"name\": \"wic\", \"metric\": \"accuracy\", \"n\": 200, \"queries\": 100, "
    "\"arms\": ["
    "{\"name\": \"zero-shot\", \"strategy\": \"zero-shot\", \"rows\": 0, \"tokens\": 0, \"seeds\": "
    "[{\"value\": 0.5}],"
    " \"mean\": 0.5, \"ci95\": [0.43, 0.57], \"seconds\": {\"eval\": 3}},"
    "{\"name\": \"deft\", \"strategy\": \"deft\", \"rows\": 300, \"tokens\": 21000, \"seeds\": "
    "[{\"value\": 0.6},"
    " {\"value\": 0.62}], \"mean\": 0.61, \"ci95\": [0.54, 0.68], \"seconds\": {\"train\": 61}, "
    "\"tasks\": 2,"
    " \"picked\": [{\"task\": \"gloss <x>\", \"rows\": 200}, {\"task\": \"pos\", \"rows\": 100}]}],"
    "\"compare\": [{\"arm\": \"deft\", \"against\": \"zero-shot\", \"difference\": 0.11, \"ci95\": "
    "[0.03, 0.19],"
    " \"verdict\": \"better\", \"test\": {\"p\": 0.0041}}]}]}";

static json_t *parse(const char *text)
{
    json_t *v = NULL;
    cr_assert_eq(wn_json_parse(&v, text, strlen(text), "verdict"), WN_OK, "%s", wn_error_text());
    return v;
}

static char *sentence(const char *metric, const char *compare)
{
    wn_str s = {0};
    json_t *c = parse(compare);
    wn_verdict_sentence(&s, "wic", metric, c);
    json_decref(c);
    return s.p;
}

Test(html, sentences)
{
    char *s = sentence(
        "accuracy", "{\"arm\":\"deft\",\"against\":\"random\",\"difference\":0.012,\"ci95\":[-0.03,"
                    "0.054],\"verdict\":\"cannot tell\",\"test\":{\"p\":0.58}}");
    cr_expect_str_eq(
        s, "deft vs random on wic: cannot tell (difference +1.2 points, 95 % interval -3.0 to "
           "+5.4, p = 0.58)");
    wn_free(s);
    s = sentence(
        "nll",
        "{\"arm\":\"deft\",\"against\":\"random\",\"difference\":-0.25,\"ci95\":[-0.5,-0.125],"
        "\"verdict\":\"better\",\"test\":{\"p\":0.0001}}");
    cr_expect_str_eq(
        s, "deft vs random on wic: better (difference -0.250 nats a token, 95 % interval -0.500 to "
           "-0.125, p < 0.001)");
    wn_free(s);
}

Test(html, table_for_a_terminal)
{
    wn_str s = {0};
    json_t *v = parse(tree);
    cr_assert_eq(wn_verdict_text(&s, v), WN_OK);
    cr_expect(strstr(s.p, "wic: accuracy, in percent on 200 test rows"), "%s", s.p);
    cr_expect(
        strstr(s.p, "  zero-shot               -          -     50.0     43.0 to  57.0    50.0\n"));
    cr_expect(strstr(
        s.p, "  deft                  300      21000     61.0     54.0 to  68.0    60.0 62.0\n"));
    cr_expect(strstr(s.p, "deft vs zero-shot on wic: better ("));
    cr_expect(strstr(s.p, "deft picked from 2 tasks: gloss <x> 200, pos 100\n"));
    cr_expect(strstr(s.p, "train 1 min 01 s"));
    json_decref(v);
    wn_str_free(&s);
}

Test(html, report_is_whole_escaped_and_alone)
{
    wn_str s = {0};
    json_t *v = parse(tree);
    cr_assert_eq(wn_html_report(&s, v), WN_OK);
    cr_expect_eq(strncmp(s.p, "<!doctype html>", 15), 0);
    cr_expect(strstr(s.p, "</body></html>"));
    cr_expect(strstr(s.p, "&lt;b&gt;&amp;"));
    cr_expect(strstr(s.p, "gloss &lt;x&gt;"));
    cr_expect_not(strstr(s.p, "<x>"));
    cr_expect_not(strstr(s.p, "http"), "nothing is fetched");
    cr_expect_not(strstr(s.p, "<script"));
    size_t plots = 0;
    for (const char *p = s.p; (p = strstr(p, "<svg")) != NULL; p++)
        plots++;
    cr_expect_eq(plots, 3);
    cr_expect(strstr(s.p, "<circle class=\"dot ours\""));
    cr_expect(strstr(s.p, "<li class=\"better\">"));
    json_decref(v);
    wn_str_free(&s);
}

/* A leaf of the tree turned into something else, each in turn: text and report still come, or an
 * error, never a crash or NaN in an attribute. */
static size_t spoil(json_t *v, size_t at, json_t *with)
{
    const char *key;
    json_t *child;
    void *next;
    size_t i;
    json_object_foreach_safe(v, next, key, child)
    {
        if (at-- == 0) {
            json_object_set(v, key, with);
            return SIZE_MAX;
        }
        at = spoil(child, at, with);
        if (at == SIZE_MAX)
            return at;
    }
    json_array_foreach(v, i, child)
    {
        if (at-- == 0) {
            json_array_set(v, i, with);
            return SIZE_MAX;
        }
        at = spoil(child, at, with);
        if (at == SIZE_MAX)
            return at;
    }
    return at;
}

Test(html, no_tree_breaks_it)
{
    static const char *const values[] = {
        "null", "7", "-1e300", "\"x\"", "[]", "{}", "[[[1]]]", "true", "[1, 2, {\"name\": 3}]"};
    size_t spoiled = 0;
    for (size_t k = 0; k < sizeof values / sizeof *values; k++)
        for (size_t at = 0;; at++) {
            json_t *v = parse(tree), *with = parse(values[k]);
            bool more = spoil(v, at, with) == SIZE_MAX;
            wn_str html = {0}, text = {0};
            if (wn_html_report(&html, v) == WN_OK) {
                cr_expect_not(strstr(html.p, "=\"nan"), "%s", html.p);
                cr_expect_not(strstr(html.p, "=\"inf"), "%s", html.p);
                cr_expect_not(strstr(html.p, "=\"-nan"), "%s", html.p);
            }
            cr_expect_eq(wn_verdict_text(&text, v), WN_OK);
            wn_str_free(&html);
            wn_str_free(&text);
            json_decref(with);
            json_decref(v);
            spoiled += more;
            if (!more)
                break;
        }
    cr_expect_gt(spoiled, 400);
}

Test(html, report_job_makes_it_again)
{
    char dir[] = "/tmp/wn_html_XXXXXX", path[64];
    cr_assert(mkdtemp(dir));
    cr_expect_eq(wn_report_job(dir, NULL), WN_EIO);
    snprintf(path, sizeof path, "%s/verdict.json", dir);
    cr_assert_eq(wn_file_write(path, tree, sizeof tree - 1), WN_OK);
    cr_assert_eq(wn_report_job(dir, NULL), WN_OK);
    snprintf(path, sizeof path, "%s/report.html", dir);
    cr_expect(wn_file_exists(path));
    snprintf(path, sizeof path, "%s/verdict.json", dir);
    cr_assert_eq(wn_file_write(path, "[]", 2), WN_OK);
    cr_expect_eq(wn_report_job(dir, NULL), WN_EFORMAT);
    wn_remove_tree(dir);
}

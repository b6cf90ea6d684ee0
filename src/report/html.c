/* report.html from the tree of verdict.json. Nothing in the tree is trusted: members of the wrong
 * kind count as absent, lists are capped, text is escaped. */
#include "report/html.h"

#include <math.h>
#include <string.h>

#include "report/cost.h"
#include "report/verdict.h"

enum { MOST_ROWS = 100, MOST_SEEDS = 50 };

static const char style[] =
    ":root{--ink:#1c2430;--soft:#5d6876;--line:#d9dee5;--paper:#fff;--card:#f6f8fa;--ours:#0b6bcb;"
    "--base:#7b8794;--better:#1a7f4b;--worse:#c2372e;--even:#8a6d1f}\n"
    "@media(prefers-color-scheme:dark){:root{--ink:#e6eaf0;--soft:#9aa5b1;--line:#39424e;"
    "--paper:#14181d;--card:#1c222a;--ours:#5aa9f5;--base:#8b97a5;--better:#4cc38a;--worse:#ff7b72;"
    "--even:#d4b24c}}\n"
    "body{margin:0 auto;max-width:60rem;padding:1.5rem;font:16px/1.5 system-ui,sans-serif;"
    "color:var(--ink);background:var(--paper)}\n"
    "h1{font-size:1.6rem;margin:.2rem 0}h2{margin-top:2.5rem;border-bottom:1px solid var(--line)}"
    "h3{font-size:1rem;margin:1.6rem 0 .4rem}p.soft,td.soft,footer{color:var(--soft)}\n"
    "table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}"
    "th,td{padding:.3rem .6rem;border-bottom:1px solid var(--line);text-align:right}"
    "th:first-child,td:first-child{text-align:left}th{color:var(--soft);font-weight:600}\n"
    "ul.verdicts{list-style:none;padding:0}ul.verdicts li{background:var(--card);margin:.4rem 0;"
    "padding:.5rem .8rem;border-left:4px solid var(--even)}"
    "li.better{border-color:var(--better)!important}li.worse{border-color:var(--worse)!important}\n"
    "svg{width:100%;height:auto;font:13px system-ui,sans-serif}"
    ".grid{stroke:var(--line)}.zero{stroke:var(--soft);stroke-width:1.5;stroke-dasharray:4 3}"
    ".tick{fill:var(--soft);text-anchor:middle;font-size:12px}"
    ".label{fill:var(--ink);text-anchor:end}.value{fill:var(--ink)}\n"
    ".whisker{stroke-width:3;stroke-linecap:round}.seed{opacity:.55}"
    ".ours{stroke:var(--ours);fill:var(--ours)}.base{stroke:var(--base);fill:var(--base)}"
    ".better{stroke:var(--better);fill:var(--better)}.worse{stroke:var(--worse);fill:var(--worse)}"
    ".even{stroke:var(--even);fill:var(--even)}li{stroke:none}.bar{stroke:none}\n";

void wn_html_text(wn_str *s, const char *t)
{
    for (; *t; t++) {
        const char *escaped = *t == '<'   ? "&lt;"
                              : *t == '>' ? "&gt;"
                              : *t == '&' ? "&amp;"
                              : *t == '"' ? "&quot;"
                                          : NULL;
        if (escaped)
            wn_str_puts(s, escaped);
        else
            wn_str_putc(s, *t);
    }
}

/* ---- reading ---- */

static const char *text(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

static double real(const json_t *v)
{
    return json_is_number(v) ? json_number_value(v) : NAN;
}

static double real_of(const json_t *o, const char *key)
{
    return real(json_object_get(o, key));
}

static size_t list(const json_t **o, const json_t *from, const char *key, size_t most)
{
    const json_t *v = json_object_get(from, key);
    size_t n = json_array_size(v);
    *o = v;
    return n < most ? n : most;
}

static double scale_of(const json_t *target)
{
    return strcmp(text(target, "metric"), "nll") == 0 ? 1 : 100;
}

static bool is_baseline(const json_t *arm)
{
    static const char *const names[] = {"zero-shot", "random", "balanced-random", "all"};
    const char *s = *text(arm, "strategy") ? text(arm, "strategy") : text(arm, "name");
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(s, names[i]) == 0)
            return true;
    return false;
}

static const char *shade_of(const char *verdict)
{
    return strcmp(verdict, "better") == 0 || strcmp(verdict, "worse") == 0 ? verdict : "even";
}

static wn_svg_row row_of(const json_t *o, const char *label, const char *value, const char *shade)
{
    const json_t *ci = json_object_get(o, "ci95");
    return (wn_svg_row){.label = label,
                        .value = real_of(o, value),
                        .low = real(json_array_get(ci, 0)),
                        .high = real(json_array_get(ci, 1)),
                        .shade = shade};
}

/* ---- sections ---- */

static void put_arms_plot(wn_str *s, const json_t *target)
{
    const json_t *arms, *seeds;
    wn_svg_row row[MOST_ROWS];
    double mark[MOST_ROWS][MOST_SEEDS];
    size_t n = list(&arms, target, "arms", MOST_ROWS);
    for (size_t i = 0; i < n; i++) {
        const json_t *a = json_array_get(arms, i);
        row[i] = row_of(a, text(a, "name"), "mean", is_baseline(a) ? "base" : "ours");
        row[i].n_marks = list(&seeds, a, "seeds", MOST_SEEDS);
        row[i].mark = mark[i];
        for (size_t k = 0; k < row[i].n_marks; k++)
            mark[i][k] = real_of(json_array_get(seeds, k), "value");
        if (row[i].n_marks < 2)
            row[i].n_marks = 0;
    }
    double scale = scale_of(target);
    wn_svg_intervals(s, row, n, false, scale,
                     scale == 1 ? "loss a token (less is better), 95 % interval; small dots: seeds"
                                : "percent, 95 % interval; small dots: seeds");
}

static void put_number(wn_str *s, double v, int decimals)
{
    if (isfinite(v))
        wn_str_printf(s, "<td>%.*f</td>", decimals, v);
    else
        wn_str_puts(s, "<td class=\"soft\">-</td>");
}

static void put_seconds(wn_str *s, double v)
{
    wn_str_puts(s, isfinite(v) ? "<td>" : "<td class=\"soft\">-");
    if (isfinite(v))
        wn_cost_text(s, v < 0 || v > 1e12 ? 0 : v);
    wn_str_puts(s, "</td>");
}

static void put_head(wn_str *s, const char *const *column)
{
    wn_str_puts(s, "<table><thead><tr>");
    for (; *column; column++)
        wn_str_printf(s, "<th>%s</th>", *column);
    wn_str_puts(s, "</tr></thead><tbody>\n");
}

static void put_arms_table(wn_str *s, const json_t *target)
{
    static const char *const head[] = {"arm",   "rows",   "tokens", "mean", "95 % interval",
                                       "embed", "select", "train",  "eval", NULL};
    static const char *const stage[] = {"embed", "select", "train", "eval"};
    const json_t *arms;
    double scale = scale_of(target);
    int decimals = scale == 1 ? 3 : 1;
    size_t n = list(&arms, target, "arms", MOST_ROWS);
    put_head(s, head);
    for (size_t i = 0; i < n; i++) {
        const json_t *a = json_array_get(arms, i), *ci = json_object_get(a, "ci95");
        wn_str_puts(s, "<tr><td>");
        wn_html_text(s, text(a, "name"));
        wn_str_puts(s, "</td>");
        put_number(s, real_of(a, "rows"), 0);
        put_number(s, real_of(a, "tokens"), 0);
        put_number(s, real_of(a, "mean") * scale, decimals);
        wn_str_printf(s, "<td>%.*f to %.*f</td>", decimals, real(json_array_get(ci, 0)) * scale,
                      decimals, real(json_array_get(ci, 1)) * scale);
        for (size_t k = 0; k < sizeof stage / sizeof *stage; k++)
            put_seconds(s, real_of(json_object_get(a, "seconds"), stage[k]));
        wn_str_puts(s, "</tr>\n");
    }
    wn_str_puts(s, "</tbody></table>\n");
}

static void put_compare(wn_str *s, const json_t *target)
{
    const json_t *compare;
    wn_svg_row row[MOST_ROWS];
    wn_str label[MOST_ROWS] = {0};
    double scale = scale_of(target);
    size_t n = list(&compare, target, "compare", MOST_ROWS);
    if (!n)
        return;
    wn_str_puts(s, "<h3>Differences</h3>\n<ul class=\"verdicts\">\n");
    for (size_t i = 0; i < n; i++) {
        const json_t *c = json_array_get(compare, i);
        wn_str sentence = {0};
        wn_verdict_sentence(&sentence, text(target, "name"), text(target, "metric"), c);
        wn_str_printf(s, "<li class=\"%s\">", shade_of(text(c, "verdict")));
        wn_html_text(s, sentence.p ? sentence.p : "");
        wn_str_puts(s, "</li>\n");
        wn_str_free(&sentence);
        wn_str_printf(&label[i], "%s - %s", text(c, "arm"), text(c, "against"));
        row[i] =
            row_of(c, label[i].p ? label[i].p : "", "difference", shade_of(text(c, "verdict")));
    }
    wn_str_puts(s, "</ul>\n");
    wn_svg_intervals(s, row, n, true, scale,
                     scale == 1 ? "difference in loss a token, 95 % interval"
                                : "difference in points, 95 % interval");
    for (size_t i = 0; i < n; i++)
        wn_str_free(&label[i]);
}

static void put_picked(wn_str *s, const json_t *target)
{
    const json_t *arms, *picked;
    size_t n = list(&arms, target, "arms", MOST_ROWS);
    for (size_t i = 0; i < n; i++) {
        const json_t *a = json_array_get(arms, i);
        wn_svg_row row[20];
        wn_str label[20] = {{0}};
        size_t k = list(&picked, a, "picked", 20);
        if (!k || is_baseline(a))
            continue;
        for (size_t j = 0; j < k; j++) {
            const json_t *p = json_array_get(picked, j);
            wn_str_puts(&label[j], text(p, "task"));
            if (isfinite(real_of(p, "times")))
                wn_str_printf(&label[j], ", %.1fx", real_of(p, "times"));
            row[j] = (wn_svg_row){.label = label[j].p ? label[j].p : "",
                                  .value = real_of(p, "rows"),
                                  .shade = "ours"};
        }
        wn_str_puts(s, "<h3>What ");
        wn_html_text(s, text(a, "name"));
        wn_str_puts(s, " picked, by task</h3>\n");
        double tasks = real_of(a, "tasks");
        wn_svg_bars(s, row, k,
                    tasks > (double)k
                        ? "rows (the largest tasks); 2x: twice the task's share of the pool"
                        : "rows; 2x: twice the task's share of the pool");
        for (size_t j = 0; j < k; j++)
            wn_str_free(&label[j]);
    }
}

static void put_target(wn_str *s, const json_t *t)
{
    wn_str_puts(s, "<section><h2>");
    wn_html_text(s, text(t, "name"));
    wn_str_puts(s, "</h2>\n<p class=\"soft\">");
    wn_html_text(s, text(t, "metric"));
    wn_str_printf(s, " on %.0f test rows; the selection saw %.0f queries.</p>\n",
                  isfinite(real_of(t, "n")) ? real_of(t, "n") : 0,
                  isfinite(real_of(t, "queries")) ? real_of(t, "queries") : 0);
    put_arms_plot(s, t);
    put_arms_table(s, t);
    put_compare(s, t);
    put_picked(s, t);
    wn_str_puts(s, "</section>\n");
}

static void put_cost(wn_str *s, const json_t *verdict)
{
    static const char *const head[] = {"stage", "time", NULL};
    const json_t *seconds = json_object_get(verdict, "seconds");
    const char *key;
    json_t *v;
    wn_str_puts(s, "<section><h2>Cost</h2>\n");
    put_head(s, head);
    json_object_foreach((json_t *)seconds, key, v)
    {
        wn_str_puts(s, "<tr><td>");
        wn_html_text(s, key);
        wn_str_puts(s, "</td>");
        put_seconds(s, real(v));
        wn_str_puts(s, "</tr>\n");
    }
    wn_str_puts(s, "</tbody></table></section>\n");
}

static void put_foot(wn_str *s, const json_t *verdict, size_t compared)
{
    wn_str_puts(s, "<footer><p>Model: ");
    wn_html_text(s, text(verdict, "model"));
    if (*text(verdict, "encoder"))
        wn_str_puts(s, "<br>Encoder: ");
    wn_html_text(s, text(verdict, "encoder"));
    wn_str_printf(
        s,
        "<br>Intervals: bootstrap over test rows and seeds, 10,000 resamples. p: paired "
        "permutation over test rows. \"Better\" and \"worse\" are said where the interval "
        "excludes 0 and p is below 0.05; figures are not corrected for the %zu "
        "comparisons made. Test rows chose nothing.</p><p>winnow ",
        compared);
    wn_html_text(s, text(verdict, "version"));
    wn_str_puts(s, "</p></footer>\n");
}

wn_err wn_html_report(wn_str *s, const json_t *verdict)
{
    const json_t *targets;
    size_t compared = 0, n = list(&targets, verdict, "targets", MOST_ROWS);
    const char *title = *text(verdict, "title") ? text(verdict, "title") : "winnow: the verdict";
    if (!json_is_object(verdict) || !targets)
        return wn_fail(WN_EFORMAT, "verdict: expected an object with targets");
    wn_str_puts(s, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
                   "<meta name=\"viewport\" content=\"width=device-width\">\n<title>");
    wn_html_text(s, title);
    wn_str_puts(s, "</title>\n<style>\n");
    wn_str_puts(s, style);
    wn_str_puts(s, "</style></head><body>\n<header><h1>");
    wn_html_text(s, title);
    wn_str_puts(s, "</h1></header>\n<main>\n");
    for (size_t i = 0; i < n; i++) {
        put_target(s, json_array_get(targets, i));
        compared += json_array_size(json_object_get(json_array_get(targets, i), "compare"));
    }
    put_cost(s, verdict);
    wn_str_puts(s, "</main>\n");
    put_foot(s, verdict, compared);
    wn_str_puts(s, "</body></html>\n");
    return wn_str_check(s);
}

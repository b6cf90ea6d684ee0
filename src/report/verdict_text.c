/* The verdict for a terminal. Reads the tree of verdict.json and trusts nothing in it. */
#include <math.h>
#include <string.h>

#include "report/verdict.h"

static const char *text(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

static double real(const json_t *v)
{
    return json_is_number(v) ? json_number_value(v) : NAN;
}

/* Points are hundredths of a metric in 0..1; nll stays in nats. */
static double scale_of(const char *metric)
{
    return strcmp(metric, "nll") == 0 ? 1 : 100;
}

static void put_value(wn_str *s, double v, double scale, bool sign)
{
    if (isnan(v))
        wn_str_puts(s, "?");
    else
        wn_str_printf(s, sign ? "%+.*f" : "%.*f", scale == 1 ? 3 : 1, v * scale);
}

void wn_verdict_sentence(wn_str *s, const char *target, const char *metric, const json_t *compare)
{
    double scale = scale_of(metric);
    const json_t *ci = json_object_get(compare, "ci95");
    wn_str_printf(s, "%s vs %s on %s: %s (difference ", text(compare, "arm"),
                  text(compare, "against"), target, text(compare, "verdict"));
    put_value(s, real(json_object_get(compare, "difference")), scale, true);
    wn_str_puts(s, scale == 1 ? " nats a token, 95 % interval " : " points, 95 % interval ");
    put_value(s, real(json_array_get(ci, 0)), scale, true);
    wn_str_puts(s, " to ");
    put_value(s, real(json_array_get(ci, 1)), scale, true);
    double p = real(json_object_get(json_object_get(compare, "test"), "p"));
    if (p < 0.001)
        wn_str_puts(s, ", p < 0.001)");
    else
        wn_str_printf(s, ", p = %.*f)", p < 0.1 ? 3 : 2, p);
}

static void pad_left(wn_str *s, const wn_str *cell, size_t width)
{
    for (size_t i = cell->len; i < width; i++)
        wn_str_putc(s, ' ');
    wn_str_puts(s, cell->len ? cell->p : "");
}

static void put_count(wn_str *s, const json_t *v, size_t width)
{
    wn_str cell = {0};
    if (json_is_integer(v) && json_integer_value(v) > 0)
        wn_str_printf(&cell, "%lld", (long long)json_integer_value(v));
    else
        wn_str_putc(&cell, '-');
    pad_left(s, &cell, width);
    wn_str_free(&cell);
}

static void put_cell(wn_str *s, const json_t *v, double scale, size_t width)
{
    wn_str cell = {0};
    put_value(&cell, real(v), scale, false);
    pad_left(s, &cell, width);
    wn_str_free(&cell);
}

static void put_arm(wn_str *s, const json_t *arm, double scale, int name_width)
{
    const json_t *ci = json_object_get(arm, "ci95"), *seeds = json_object_get(arm, "seeds");
    wn_str_printf(s, "  %-*.60s", name_width, text(arm, "name"));
    put_count(s, json_object_get(arm, "rows"), 9);
    put_count(s, json_object_get(arm, "tokens"), 11);
    put_cell(s, json_object_get(arm, "mean"), scale, 9);
    put_cell(s, json_array_get(ci, 0), scale, 9);
    wn_str_puts(s, " to");
    put_cell(s, json_array_get(ci, 1), scale, 6);
    wn_str_puts(s, "   ");
    for (size_t i = 0; i < json_array_size(seeds) && i < 20; i++) {
        wn_str_putc(s, ' ');
        put_value(s, real(json_object_get(json_array_get(seeds, i), "value")), scale, false);
    }
    wn_str_putc(s, '\n');
}

static void put_picked(wn_str *s, const json_t *arm)
{
    const json_t *picked = json_object_get(arm, "picked");
    size_t n = json_array_size(picked);
    if (!n)
        return;
    const json_t *tasks = json_object_get(arm, "tasks");
    long long total = json_is_integer(tasks) ? (long long)json_integer_value(tasks) : (long long)n;
    wn_str_printf(s, "  %s picked from %lld tasks:", text(arm, "name"), total);
    for (size_t i = 0; i < n && i < 6; i++) {
        const json_t *t = json_array_get(picked, i);
        wn_str_printf(s, "%s %s %lld", i ? "," : "", text(t, "task"),
                      (long long)json_integer_value(json_object_get(t, "rows")));
    }
    wn_str_puts(s, total > 6 ? ", ...\n" : "\n");
}

static void put_target(wn_str *s, const json_t *t)
{
    const json_t *arms = json_object_get(t, "arms"), *compare = json_object_get(t, "compare");
    const char *metric = text(t, "metric");
    double scale = scale_of(metric);
    int width = 16;
    for (size_t i = 0; i < json_array_size(arms); i++) {
        size_t n = strlen(text(json_array_get(arms, i), "name"));
        width = n < 60 && (int)n > width ? (int)n : width;
    }
    wn_str_printf(s, "%s: %s%s on %lld test rows\n", text(t, "name"), metric,
                  scale == 1 ? " (less is better)" : ", in percent",
                  (long long)json_integer_value(json_object_get(t, "n")));
    wn_str_printf(s, "  %-*s%9s%11s%9s%18s    %s\n", width, "arm", "rows", "tokens", "mean",
                  "95 % interval", "seeds");
    for (size_t i = 0; i < json_array_size(arms); i++)
        put_arm(s, json_array_get(arms, i), scale, width);
    wn_str_putc(s, '\n');
    for (size_t i = 0; i < json_array_size(compare); i++) {
        wn_str_puts(s, "  ");
        wn_verdict_sentence(s, text(t, "name"), metric, json_array_get(compare, i));
        wn_str_putc(s, '\n');
    }
    for (size_t i = 0; i < json_array_size(arms); i++)
        put_picked(s, json_array_get(arms, i));
    wn_str_putc(s, '\n');
}

wn_err wn_verdict_text(wn_str *s, const json_t *verdict)
{
    const json_t *targets = json_object_get(verdict, "targets"), *v;
    const json_t *seconds = json_object_get(verdict, "seconds");
    const char *key;
    size_t compared = 0;
    for (size_t i = 0; i < json_array_size(targets); i++) {
        put_target(s, json_array_get(targets, i));
        compared += json_array_size(json_object_get(json_array_get(targets, i), "compare"));
    }
    wn_str_puts(s, "time:");
    json_object_foreach((json_t *)seconds, key, v)
    {
        wn_str_printf(s, " %s ", key);
        wn_cost_text(s, json_is_number(v) ? json_number_value(v) : 0);
    }
    wn_str_printf(s,
                  "\nintervals: bootstrap over test rows and seeds; p: paired permutation over "
                  "test rows, not corrected for %zu comparison%s\n",
                  compared, compared == 1 ? "" : "s");
    return wn_str_check(s);
}

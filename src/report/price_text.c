/* The plan for a terminal. */
#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "report/cost.h"
#include "report/price.h"

static double real(const json_t *o, const char *key)
{
    return json_number_value(json_object_get(o, key));
}

/* Three digits and a letter of thousands. */
static void put_si(wn_str *s, double v, const char *unit)
{
    static const char letters[] = " kMGTPEZY";
    size_t i = 0;
    while (v >= 999.5 && letters[i + 1]) {
        v /= 1000;
        i++;
    }
    const char letter[2] = {i ? letters[i] : '\0', '\0'};
    wn_str_printf(s,
                  v < 9.995 && i   ? "%.2f%s%s%s"
                  : v < 99.95 && i ? "%.1f%s%s%s"
                                   : "%.0f%s%s%s",
                  v, *unit || i ? " " : "", letter, unit);
}

enum { COLUMNS = 8 };
static const char *const heading[COLUMNS] = {"part",  "runs", "rows", "tokens",
                                             "FLOPs", "time", "disk", "memory"};

static void cell(wn_str *s, const json_t *part, int column)
{
    static const char *const keys[COLUMNS] = {"part",  "runs",    "rows",       "tokens",
                                              "flops", "seconds", "disk_bytes", "memory_bytes"};
    const json_t *v = json_object_get(part, keys[column]);
    double x = json_number_value(v);
    wn_str_clear(s);
    if (column == 0)
        wn_str_puts(s, json_string_value(v) ? json_string_value(v) : "total");
    else if (!v || (x <= 0 && column != 5))
        wn_str_puts(s, "-");
    else if (column == 5)
        wn_cost_text(s, x);
    else
        put_si(s, x, column > 5 ? "B" : "");
}

/* Numbers to the right. */
static void put_row(wn_str *out, const json_t *part, const size_t *width, double nodes)
{
    wn_str text = {0};
    for (int c = 0; c < COLUMNS; c++) {
        if (part)
            cell(&text, part, c);
        else {
            wn_str_clear(&text);
            wn_str_puts(&text, heading[c]);
        }
        wn_str_printf(out, c ? "  %*s" : "%-*s", (int)width[c], text.len ? text.p : "");
    }
    const char *why = json_string_value(json_object_get(part, "rate"));
    if (why)
        wn_str_printf(out, "  %s", why);
    if (why && nodes > 1)
        wn_str_printf(out, "; on %.0f of %.0f machines", real(part, "machines"), nodes);
    wn_str_putc(out, '\n');
    wn_str_free(&text);
}

static void widths(size_t *width, const json_t *parts, const json_t *total)
{
    wn_str text = {0};
    for (int c = 0; c < COLUMNS; c++) {
        width[c] = strlen(heading[c]);
        for (size_t i = 0; i <= json_array_size(parts); i++) {
            cell(&text, i < json_array_size(parts) ? json_array_get(parts, i) : total, c);
            width[c] = text.len > width[c] ? text.len : width[c];
        }
    }
    wn_str_free(&text);
}

wn_err wn_price_text(wn_str *s, const json_t *doc)
{
    const json_t *m = json_object_get(doc, "machine"), *parts = json_object_get(doc, "parts");
    json_t *total = json_copy(json_object_get(doc, "total"));
    size_t width[COLUMNS], i;
    json_t *v;
    if (!total)
        return wn_fail_nomem(64, "plan");
    json_object_set_new(total, "seconds", json_real(real(total, "hours") * 3600));
    wn_str_printf(s, "%s: %.0f %s of %.0f cores, %s, %s\n",
                  json_string_value(json_object_get(doc, "recipe")), real(m, "nodes"),
                  real(m, "nodes") > 1 ? "machines" : "machine", real(m, "cores"),
                  json_string_value(json_object_get(m, "kernel")),
                  json_string_value(json_object_get(m, "precision")));
    wn_str_printf(s, "%s; measured on %.0f threads, %.0f GFLOP/s a core\n\n",
                  json_string_value(json_object_get(m, "rule")), real(m, "threads_measured"),
                  real(m, "core_gflops"));
    widths(width, parts, total);
    put_row(s, NULL, width, 1);
    json_array_foreach((json_t *)(uintptr_t)parts, i, v) put_row(s, v, width, real(m, "nodes"));
    put_row(s, total, width, 1);
    json_array_foreach(json_object_get(doc, "warnings"), i, v)
        wn_str_printf(s, "note: %s\n", json_string_value(v));
    json_decref(total);
    return wn_str_check(s);
}

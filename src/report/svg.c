/* Two plots, drawn by hand: rows of text and marks over one axis need no library, and stay sharp.
 * Colours are classes of the report's style, so that one style serves light and dark. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "report/html.h"

enum { LABEL = 240, PLOT = 420, VALUE = 160, ROW = 26, TOP = 6, AXIS = 40, LABEL_BYTES = 30 };

struct axis {
    double low, high, step;
};

static double x_of(const struct axis *a, double v)
{
    return LABEL + (v - a->low) / (a->high - a->low) * PLOT;
}

/* A step of 1, 2 or 5 times a power of ten, for about six ticks; the range widened to whole steps.
 */
static struct axis make_axis(double low, double high)
{
    if (!isfinite(low) || !isfinite(high) || fabs(low) > 1e12 || fabs(high) > 1e12)
        low = 0, high = 1;
    if (high - low < 1e-9 * (1 + fabs(high)))
        low -= 0.5, high += 0.5;
    double rough = (high - low) / 6, power = pow(10, floor(log10(rough))), m = rough / power;
    struct axis a = {.step = power * (m > 5 ? 10 : m > 2 ? 5 : m > 1 ? 2 : 1)};
    a.low = floor(low / a.step) * a.step;
    a.high = ceil(high / a.step) * a.step;
    return a;
}

static void widen(double *low, double *high, double v)
{
    if (!isfinite(v))
        return;
    *low = fmin(*low, v);
    *high = fmax(*high, v);
}

static void open_svg(wn_str *s, size_t rows, const char *axis)
{
    size_t height = TOP + rows * ROW + AXIS;
    wn_str_printf(s, "<svg viewBox=\"0 0 %d %zu\" role=\"img\" aria-label=\"", LABEL + PLOT + VALUE,
                  height);
    wn_html_text(s, axis);
    wn_str_puts(s, "\">\n");
}

static void draw_axis(wn_str *s, const struct axis *a, size_t rows, const char *title)
{
    double bottom = (double)(TOP + rows * ROW);
    int decimals = a->step >= 1 ? 0 : a->step >= 0.1 ? 1 : a->step >= 0.01 ? 2 : 3;
    for (int i = 0; i <= 20 && a->low + i * a->step <= a->high + a->step / 2; i++) {
        double v = a->low + i * a->step, x = x_of(a, v);
        wn_str_printf(s, "<line class=\"grid\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%.1f\"/>", x,
                      x, TOP, bottom);
        wn_str_printf(s, "<text class=\"tick\" x=\"%.1f\" y=\"%.1f\">%.*f</text>\n", x, bottom + 16,
                      decimals, fabs(v) < a->step / 1e6 ? 0.0 : v);
    }
    wn_str_printf(s, "<text class=\"tick\" x=\"%d\" y=\"%.1f\">", LABEL + PLOT / 2, bottom + 34);
    wn_html_text(s, title);
    wn_str_puts(s, "</text>\n");
}

static double middle(size_t row)
{
    return TOP + (double)row * ROW + ROW / 2.0;
}

/* Names beyond the margin end in an ellipsis, cut between characters. */
static void draw_label(wn_str *s, const char *label, size_t row)
{
    char cut[LABEL_BYTES + 4];
    snprintf(cut, sizeof cut - 3, "%s", label);
    size_t n = strlen(cut);
    if (label[n]) {
        while (n && ((unsigned char)label[n] & 0xc0) == 0x80)
            n--;
        memcpy(cut + n, "\xe2\x80\xa6", 4);
    }
    wn_str_printf(s, "<text class=\"label\" x=\"%d\" y=\"%.1f\">", LABEL - 10, middle(row) + 4);
    wn_html_text(s, cut);
    wn_str_puts(s, "</text>");
}

static void draw_interval(wn_str *s, const struct axis *a, const wn_svg_row *r, size_t i, bool sign,
                          double scale)
{
    double y = middle(i);
    int decimals = scale == 1 ? 3 : 1;
    draw_label(s, r->label, i);
    if (isfinite(r->low) && isfinite(r->high))
        wn_str_printf(
            s, "<line class=\"whisker %s\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%.1f\" y2=\"%.1f\"/>",
            r->shade, x_of(a, r->low * scale), x_of(a, r->high * scale), y, y);
    for (size_t k = 0; k < r->n_marks; k++)
        if (isfinite(r->mark[k]))
            wn_str_printf(s, "<circle class=\"seed %s\" cx=\"%.1f\" cy=\"%.1f\" r=\"2.5\"/>",
                          r->shade, x_of(a, r->mark[k] * scale), y + 8);
    if (!isfinite(r->value))
        return;
    wn_str_printf(s, "<circle class=\"dot %s\" cx=\"%.1f\" cy=\"%.1f\" r=\"5\"/>", r->shade,
                  x_of(a, r->value * scale), y);
    wn_str_printf(s,
                  sign ? "<text class=\"value\" x=\"%d\" y=\"%.1f\">%+.*f"
                       : "<text class=\"value\" x=\"%d\" y=\"%.1f\">%.*f",
                  LABEL + PLOT + 12, y + 4, decimals, r->value * scale);
    if (isfinite(r->low) && isfinite(r->high))
        wn_str_printf(s, sign ? " [%+.*f, %+.*f]" : " [%.*f, %.*f]", decimals, r->low * scale,
                      decimals, r->high * scale);
    wn_str_puts(s, "</text>\n");
}

void wn_svg_intervals(wn_str *s, const wn_svg_row *row, size_t n, bool zero, double scale,
                      const char *axis)
{
    double low = zero ? 0 : INFINITY, high = zero ? 0 : -INFINITY;
    for (size_t i = 0; i < n; i++) {
        widen(&low, &high, row[i].value * scale);
        widen(&low, &high, row[i].low * scale);
        widen(&low, &high, row[i].high * scale);
        for (size_t k = 0; k < row[i].n_marks; k++)
            widen(&low, &high, row[i].mark[k] * scale);
    }
    struct axis a = make_axis(low, high);
    open_svg(s, n, axis);
    draw_axis(s, &a, n, axis);
    if (zero)
        wn_str_printf(s, "<line class=\"zero\" x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\"/>\n",
                      x_of(&a, 0), x_of(&a, 0), TOP, (int)(TOP + n * ROW));
    for (size_t i = 0; i < n; i++)
        draw_interval(s, &a, &row[i], i, zero, scale);
    wn_str_puts(s, "</svg>\n");
}

void wn_svg_bars(wn_str *s, const wn_svg_row *row, size_t n, const char *axis)
{
    double low = 0, high = 0;
    for (size_t i = 0; i < n; i++)
        widen(&low, &high, row[i].value);
    struct axis a = make_axis(low, high);
    open_svg(s, n, axis);
    draw_axis(s, &a, n, axis);
    for (size_t i = 0; i < n; i++) {
        double v = isfinite(row[i].value) && row[i].value > 0 ? row[i].value : 0;
        draw_label(s, row[i].label, i);
        wn_str_printf(s,
                      "<rect class=\"bar %s\" x=\"%d\" y=\"%.1f\" width=\"%.1f\" height=\"%d\"/>",
                      row[i].shade, LABEL, middle(i) - 8, x_of(&a, v) - x_of(&a, 0), 16);
        wn_str_printf(s, "<text class=\"value\" x=\"%.1f\" y=\"%.1f\">%.0f</text>\n",
                      x_of(&a, v) + 8, middle(i) + 4, v);
    }
    wn_str_puts(s, "</svg>\n");
}

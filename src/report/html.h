/* report.html: one file with tables and SVG plots inside, no script, nothing fetched. */
#ifndef WN_REPORT_HTML_H
#define WN_REPORT_HTML_H

#include "io/json.h"

/* Made of verdict.json alone. Takes any JSON, as wn_verdict_text does; all text is escaped. */
wn_err wn_html_report(wn_str *s, const json_t *verdict);

void wn_html_text(wn_str *s, const char *text); /* escaped for content and quoted attributes */

/* One line of a plot: a value with its interval, and small marks (seeds). NaN: not drawn. */
typedef struct wn_svg_row {
    const char *label;
    double value, low, high;
    const double *mark;
    size_t n_marks;
    const char
        *shade; /* a class of the report's style: "base", "ours", "better", "worse", "even" */
} wn_svg_row;
/* Rows as dots with whiskers over one axis. zero: draw a line at 0. scale multiplies for display.
 */
void wn_svg_intervals(wn_str *s, const wn_svg_row *row, size_t n, bool zero, double scale,
                      const char *axis);
/* Rows as bars from 0, value alone. */
void wn_svg_bars(wn_str *s, const wn_svg_row *row, size_t n, const char *axis);

#endif

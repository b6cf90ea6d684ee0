/* Progress and notes on standard error. On a terminal one line that is written over, with rate and
 * time left; elsewhere a line every ten seconds, so that a log shows life without drowning. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/report.h"
#include "cli/cli.h"

#define LOG_EVERY_SEC 10.0

static struct {
    bool terminal, open; /* open: the terminal's line holds an unfinished progress line */
    char stage[96];
    double began, shown;
    uint64_t from; /* count at which this stage began: a resumed one starts high */
} now;

static void group(char out[32], uint64_t v)
{
    char digits[24];
    int n = snprintf(digits, sizeof digits, "%" PRIu64, v);
    size_t k = 0;
    for (int i = 0; i < n; i++) {
        if (i > 0 && (n - i) % 3 == 0)
            out[k++] = ',';
        out[k++] = digits[i];
    }
    out[k] = '\0';
}

static void clock_text(char out[32], double sec)
{
    unsigned long s = sec < 0 ? 0 : sec > 3e6 ? 3000000ul : (unsigned long)(sec + 0.5);
    if (s >= 3600)
        snprintf(out, 32, "%lu:%02lu:%02lu", s / 3600, s / 60 % 60, s % 60);
    else
        snprintf(out, 32, "%lu:%02lu", s / 60, s % 60);
}

/* stage  12,800 / 20,000 rows  64%  1,234.5 rows/s  0:06 left  note */
static void line_text(char *line, size_t size, const char *unit, uint64_t done, uint64_t total,
                      const char *note)
{
    char a[32], b[32], left[32];
    double t = wn_seconds() - now.began;
    double rate = t > 0.2 ? (double)(done - now.from) / t : 0;
    group(a, done);
    group(b, total);
    size_t n = (size_t)snprintf(line, size, "%s  %s%s%s %s", now.stage, a, total ? " / " : "",
                                total ? b : "", unit);
    if (total > 0 && n < size)
        n += (size_t)snprintf(
            line + n, size - n, "  %u%%",
            (unsigned)(done >= total ? 100 : 100.0 * (double)done / (double)total));
    if (rate > 0 && n < size)
        n += (size_t)snprintf(line + n, size - n, rate < 100 ? "  %.2f %s/s" : "  %.0f %s/s", rate,
                              unit);
    if (rate > 0 && total > done && n < size) {
        clock_text(left, (double)(total - done) / rate);
        n += (size_t)snprintf(line + n, size - n, "  %s left", left);
    } else if (total > 0 && done >= total && n < size) {
        clock_text(left, t);
        n += (size_t)snprintf(line + n, size - n, "  in %s", left);
    }
    if (note != NULL && n < size)
        snprintf(line + n, size - n, "  %s", note);
}

static bool show(void *ctx, const char *stage, const char *unit, uint64_t done, uint64_t total,
                 const char *note)
{
    (void)ctx;
    double t = wn_seconds();
    if (strncmp(stage, now.stage, sizeof now.stage - 1) != 0 || done < now.from) {
        if (now.open)
            fputc('\n', stderr);
        now.open = false;
        snprintf(now.stage, sizeof now.stage, "%s", stage);
        now.began = t;
        now.shown = t;
        now.from = done;
    }
    bool complete = total > 0 && done >= total;
    if (!now.terminal && t - now.shown < LOG_EVERY_SEC &&
        !(complete && t - now.began > LOG_EVERY_SEC))
        return true;
    char line[256];
    line_text(line, sizeof line, unit, done, total, note);
    if (now.terminal)
        fprintf(stderr, "\r%.200s\033[K", line);
    else
        fprintf(stderr, "winnow: %s\n", line);
    fflush(stderr);
    now.open = now.terminal;
    now.shown = t;
    return true;
}

static void note_line(void *ctx, const char *line)
{
    (void)ctx;
    if (wn_rank() > 0)
        fprintf(stderr, "winnow: rank %d: %s\n", wn_rank(), line);
    else
        fprintf(stderr, "%swinnow: %s\n", now.open ? "\r\033[K" : "", line);
    now.open = false;
}

void wn_progress_start(bool quiet)
{
    if (quiet)
        return;
    now.terminal = isatty(STDERR_FILENO) == 1;
    if (wn_rank() == 0)
        wn_set_progress(show, NULL);
    wn_set_message(note_line, NULL);
}

void wn_progress_end(void)
{
    if (now.open)
        fputc('\n', stderr);
    now.open = false;
}

#include "report/cost.h"

#include <string.h>

#include "base/mem.h"
#include "io/json.h"

struct entry {
    char *part, *stage;
    double seconds;
    uint64_t work;
    bool done;
};

struct wn_cost {
    wn_append log;
    struct entry *e;
    size_t n, cap;
};

static struct entry *find(const wn_cost *c, const char *part)
{
    for (size_t i = 0; i < c->n; i++)
        if (strcmp(c->e[i].part, part) == 0)
            return &c->e[i];
    return NULL;
}

static wn_err note(wn_cost *c, const char *part, const char *stage, double seconds, uint64_t work,
                   bool done)
{
    struct entry *e = find(c, part);
    if (!e) {
        if (!WN_GROW(c->e, c->n, c->cap))
            return WN_ENOMEM;
        struct entry fresh = {.part = wn_strdup(part), .stage = wn_strdup(stage)};
        if (!fresh.part || !fresh.stage) {
            wn_free(fresh.part);
            wn_free(fresh.stage);
            return WN_ENOMEM;
        }
        e = &c->e[c->n++];
        *e = fresh;
    }
    e->seconds += seconds;
    e->work = work ? work : e->work;
    e->done = done;
    return WN_OK;
}

/* A line of a log someone else wrote or cut is passed over: costs inform, nothing depends on them.
 */
static wn_err take_line(wn_cost *c, const char *line, size_t len, const char *path)
{
    json_t *v = NULL;
    if (wn_json_parse(&v, line, len, path) != WN_OK)
        return WN_OK;
    const char *part = json_string_value(json_object_get(v, "part"));
    const char *stage = json_string_value(json_object_get(v, "stage"));
    const json_t *seconds = json_object_get(v, "seconds"), *work = json_object_get(v, "work");
    wn_err err = WN_OK;
    if (part && json_is_true(json_object_get(v, "anew")) && find(c, part))
        find(c, part)->seconds = 0;
    else if (part && stage && json_is_number(seconds) && json_number_value(seconds) >= 0)
        err = note(c, part, stage, json_number_value(seconds),
                   json_is_integer(work) ? (uint64_t)json_integer_value(work) : 0,
                   json_is_true(json_object_get(v, "done")));
    json_decref(v);
    return err;
}

static wn_err read_log(wn_cost *c, const char *path, uint64_t *keep)
{
    char *text;
    size_t len, at = 0;
    *keep = 0;
    if (!wn_file_exists(path))
        return WN_OK;
    WN_TRY(wn_file_read(&text, &len, path, (size_t)1 << 28));
    wn_err err = WN_OK;
    for (const char *end; err == WN_OK && (end = memchr(text + at, '\n', len - at)) != NULL;) {
        size_t n = (size_t)(end - (text + at));
        err = take_line(c, text + at, n, path);
        at += n + 1;
    }
    *keep = at;
    wn_free(text);
    return err;
}

wn_err wn_cost_open(wn_cost **out, const char *dir)
{
    wn_cost *c;
    char *path;
    uint64_t keep;
    *out = NULL;
    WN_TRY(wn_path_join(&path, dir, "log.jsonl"));
    c = wn_calloc(1, sizeof *c);
    wn_err err = c ? read_log(c, path, &keep) : WN_ENOMEM;
    if (err == WN_OK)
        err = wn_append_open(&c->log, path, keep);
    wn_free(path);
    if (err) {
        if (c)
            c->log.fd = -1;
        wn_cost_close(c);
        return err;
    }
    *out = c;
    return WN_OK;
}

void wn_cost_close(wn_cost *c)
{
    if (!c)
        return;
    if (c->log.path)
        wn_append_close(&c->log);
    for (size_t i = 0; i < c->n; i++) {
        wn_free(c->e[i].part);
        wn_free(c->e[i].stage);
    }
    wn_free(c->e);
    wn_free(c);
}

static wn_err append(wn_cost *c, wn_str *line)
{
    wn_err err = wn_str_check(line);
    if (err == WN_OK)
        err = wn_append_write(&c->log, line->p, line->len);
    if (err == WN_OK)
        err = wn_append_sync(&c->log);
    wn_str_free(line);
    return err;
}

wn_err wn_cost_add(wn_cost *c, const char *part, const char *stage, double seconds, uint64_t work,
                   bool done)
{
    wn_str line = {0};
    WN_TRY(note(c, part, stage, seconds, work, done));
    wn_str_puts(&line, "{\"part\": ");
    wn_json_cstring(&line, part);
    wn_str_puts(&line, ", \"stage\": ");
    wn_json_cstring(&line, stage);
    wn_str_printf(&line, ", \"seconds\": %.3f, \"work\": %llu, \"done\": %s}\n", seconds,
                  (unsigned long long)work, done ? "true" : "false");
    return append(c, &line);
}

wn_err wn_cost_anew(wn_cost *c, const char *part)
{
    wn_str line = {0};
    struct entry *e = find(c, part);
    if (!e || e->seconds == 0)
        return WN_OK;
    e->seconds = 0;
    e->done = false;
    wn_str_puts(&line, "{\"part\": ");
    wn_json_cstring(&line, part);
    wn_str_puts(&line, ", \"anew\": true}\n");
    return append(c, &line);
}

double wn_cost_of(const wn_cost *c, const char *part)
{
    const struct entry *e = find(c, part);
    return e ? e->seconds : 0;
}

bool wn_cost_guess(double *seconds, const wn_cost *c, const char *stage, uint64_t work)
{
    double sum = 0, done = 0;
    size_t n = 0;
    for (size_t i = 0; i < c->n; i++)
        if (c->e[i].done && strcmp(c->e[i].stage, stage) == 0) {
            sum += c->e[i].seconds;
            done += (double)c->e[i].work;
            n++;
        }
    if (n == 0)
        return false;
    *seconds = work && done > 0 ? sum * (double)work / done : sum / (double)n;
    return true;
}

void wn_cost_text(wn_str *s, double seconds)
{
    uint64_t t = (uint64_t)(seconds + 0.5);
    if (seconds < 9.95)
        wn_str_printf(s, "%.1f s", seconds);
    else if (t < 60)
        wn_str_printf(s, "%llu s", (unsigned long long)t);
    else if (t < 3600)
        wn_str_printf(s, "%llu min %02llu s", (unsigned long long)t / 60,
                      (unsigned long long)t % 60);
    else if (t >= 48 * 3600)
        wn_str_printf(s, "%llu d %02llu h", (unsigned long long)t / 86400,
                      (unsigned long long)t / 3600 % 24);
    else
        wn_str_printf(s, "%llu h %02llu min", (unsigned long long)t / 3600,
                      (unsigned long long)t / 60 % 60);
}

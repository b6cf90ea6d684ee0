/* `winnow diff`: what two selections share, by rows and by task, and in what they were made
 * differently. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "report/chosen.h"

struct side {
    char **id; /* sorted */
    size_t n, cap;
    json_t *manifest, *tasks;
};

static wn_err nomem(void)
{
    return wn_fail(WN_ENOMEM, "out of memory: comparing two selections");
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static wn_err add_row(void *ctx, const json_t *line, bool *stop)
{
    (void)stop;
    struct side *s = ctx;
    const char *task = json_string_value(json_object_get(line, "task"));
    task = task ? task : "";
    if (!WN_GROW(s->id, s->n, s->cap))
        return WN_ENOMEM;
    WN_TRY(wn_chosen_id(&s->id[s->n], line));
    s->n++;
    json_int_t n = json_integer_value(json_object_get(s->tasks, task));
    return json_object_set_new(s->tasks, task, json_integer(n + 1)) == 0 ? WN_OK : nomem();
}

static wn_err read_side(struct side *s, const char *path)
{
    s->tasks = json_object();
    if (!s->tasks)
        return nomem();
    WN_TRY(wn_chosen_manifest(&s->manifest, path));
    WN_TRY(wn_chosen_lines(path, add_row, s));
    if (s->n)
        qsort(s->id, s->n, sizeof *s->id, by_text);
    return WN_OK;
}

static void free_side(struct side *s)
{
    for (size_t i = 0; i < s->n; i++)
        wn_free(s->id[i]);
    wn_free(s->id);
    json_decref(s->manifest);
    json_decref(s->tasks);
}

static size_t shared_ids(const struct side *a, const struct side *b)
{
    size_t n = 0;
    for (size_t i = 0, j = 0; i < a->n && j < b->n;) {
        int c = strcmp(a->id[i], b->id[j]);
        n += c == 0;
        i += c <= 0;
        j += c >= 0;
    }
    return n;
}

/* ---- what differs ---- */

struct task {
    const char *name;
    json_int_t a, b;
};

static json_int_t gap(const struct task *t)
{
    return t->a > t->b ? t->a - t->b : t->b - t->a;
}

static int by_gap(const void *x, const void *y)
{
    json_int_t a = gap(x), b = gap(y);
    if (a != b)
        return a > b ? -1 : 1;
    return strcmp(((const struct task *)x)->name, ((const struct task *)y)->name);
}

/* Tasks of either side, the most different first. */
static wn_err tasks_of(json_t *list, const struct side *a, const struct side *b)
{
    struct task *t =
        wn_calloc(json_object_size(a->tasks) + json_object_size(b->tasks) + 1, sizeof *t);
    size_t n = 0;
    const char *name;
    json_t *v;
    if (!t)
        return WN_ENOMEM;
    json_object_foreach(a->tasks, name, v)
    {
        t[n++] = (struct task){name, json_integer_value(v),
                               json_integer_value(json_object_get(b->tasks, name))};
    }
    json_object_foreach(b->tasks, name, v)
    {
        if (!json_object_get(a->tasks, name))
            t[n++] = (struct task){name, 0, json_integer_value(v)};
    }
    qsort(t, n, sizeof *t, by_gap);
    int bad = 0;
    for (size_t i = 0; i < n; i++)
        bad |= json_array_append_new(
            list, json_pack("{s:s, s:I, s:I}", "task", t[i].name, "a", t[i].a, "b", t[i].b));
    wn_free(t);
    return bad ? nomem() : WN_OK;
}

/* Members of the manifests, and of `options` and `inputs` in them, that differ: [field, a, b]. */
static int differences(json_t *list, const json_t *a, const json_t *b, const char *prefix)
{
    static const char *const result[] = {"counts", "tasks",  "shares", "by_k",
                                         "vetoed", "sha256", "lists"};
    const json_t *sides[] = {a, b};
    int bad = 0;
    for (int side = 0; side < 2; side++) {
        const char *name;
        json_t *v;
        json_object_foreach((json_t *)sides[side], name, v)
        {
            json_t *x = json_object_get(a, name), *y = json_object_get(b, name);
            bool skip = json_equal(x, y) || (side == 1 && x);
            for (size_t i = 0; i < sizeof result / sizeof *result && !*prefix; i++)
                skip = skip || strcmp(name, result[i]) == 0;
            if (skip)
                continue;
            if (!*prefix && (strcmp(name, "options") == 0 || strcmp(name, "inputs") == 0)) {
                bad |= differences(list, x, y, strcmp(name, "options") == 0 ? "--" : "input ");
                continue;
            }
            bad |= json_array_append_new(list, json_pack("{s:o, s:O?, s:O?}", "field",
                                                         json_sprintf("%s%s", prefix, name), "a", x,
                                                         "b", y));
        }
    }
    return bad;
}

static wn_err compare(json_t **out, const struct side *a, const struct side *b)
{
    size_t shared = shared_ids(a, b), all = a->n + b->n - shared;
    json_t *tasks = json_array(), *made = json_array();
    *out = NULL;
    wn_err err = tasks && made ? tasks_of(tasks, a, b) : nomem();
    if (err == WN_OK && differences(made, a->manifest, b->manifest, "") != 0)
        err = nomem();
    if (err == WN_OK) {
        *out = json_pack("{s:I, s:I, s:I, s:f, s:O, s:O}", "rows_a", (json_int_t)a->n, "rows_b",
                         (json_int_t)b->n, "shared", (json_int_t)shared, "jaccard",
                         all ? (double)shared / (double)all : 1.0, "tasks", tasks,
                         "made_differently", made);
        err = *out ? WN_OK : nomem();
    }
    json_decref(tasks);
    json_decref(made);
    return err;
}

/* ---- for people ---- */

static void value(wn_str *s, const json_t *v)
{
    if (json_is_null(v) || !v)
        wn_str_puts(s, "not given");
    else
        wn_json_dump(s, v, 0, true);
}

static void table(wn_str *s, const json_t *d, const char *a, const char *b)
{
    enum { SHOWN = 20 };
    const json_t *tasks = json_object_get(d, "tasks"),
                 *made = json_object_get(d, "made_differently");
    wn_str_printf(s, "A %s: %lld rows\nB %s: %lld rows\nshared: %lld rows, Jaccard %.3f\n", a,
                  (long long)json_integer_value(json_object_get(d, "rows_a")), b,
                  (long long)json_integer_value(json_object_get(d, "rows_b")),
                  (long long)json_integer_value(json_object_get(d, "shared")),
                  json_real_value(json_object_get(d, "jaccard")));
    for (size_t i = 0; i < json_array_size(made); i++) {
        const json_t *m = json_array_get(made, i);
        wn_str_printf(s, "%s: ", json_string_value(json_object_get(m, "field")));
        value(s, json_object_get(m, "a"));
        wn_str_puts(s, " in A, ");
        value(s, json_object_get(m, "b"));
        wn_str_puts(s, " in B\n");
    }
    wn_str_printf(s, "%8s %8s  task\n", "A", "B");
    for (size_t i = 0; i < json_array_size(tasks) && i < SHOWN; i++) {
        const json_t *t = json_array_get(tasks, i);
        wn_str_printf(s, "%8lld %8lld  %s\n",
                      (long long)json_integer_value(json_object_get(t, "a")),
                      (long long)json_integer_value(json_object_get(t, "b")),
                      json_string_value(json_object_get(t, "task")));
    }
    if (json_array_size(tasks) > SHOWN)
        wn_str_printf(s, "and %zu more tasks\n", json_array_size(tasks) - SHOWN);
}

wn_err wn_diff_job(const char *a, const char *b, bool json, char **text)
{
    struct side x = {0}, y = {0};
    json_t *d = NULL;
    wn_str s = {0};
    *text = NULL;
    wn_err err = read_side(&x, a);
    if (err == WN_OK)
        err = read_side(&y, b);
    if (err == WN_OK)
        err = compare(&d, &x, &y);
    if (err == WN_OK && json) {
        err = wn_json_dump(&s, d, 2, false);
        wn_str_putc(&s, '\n');
    } else if (err == WN_OK) {
        table(&s, d, a, b);
    }
    if (err == WN_OK)
        err = wn_str_check(&s);
    if (err == WN_OK) {
        *text = wn_strndup(s.p, s.len);
        err = *text ? WN_OK : WN_ENOMEM;
    }
    json_decref(d);
    wn_str_free(&s);
    free_side(&x);
    free_side(&y);
    return err;
}

/* Shapes that a template cannot say: conversations, and files that are one document with many rows.
 * Documents: the rows' unknown members are written again from the tree, since a document may be
 * laid out over many lines. */
#include "pool/rowmap.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static wn_err misshaped(wn_reject *why, const wn_place *at, const char *detail)
{
    *why = WN_REJECT_SHAPE;
    return wn_place_fail(at, (wn_span){"", 0}, wn_reject_text(*why), detail);
}

/* ---- messages: {"messages": [{"role", "content"}]}, {"conversations": [{"from", "value"}]} ----
 */

typedef struct turn {
    enum { SYSTEM, USER, ASSISTANT, OTHER } role;
    const json_t *name, *text;
} turn;

static turn read_turn(const json_t *v)
{
    static const struct {
        const char *name;
        int role;
    } roles[] = {{"system", SYSTEM},       {"user", USER},     {"human", USER},
                 {"assistant", ASSISTANT}, {"gpt", ASSISTANT}, {"model", ASSISTANT}};
    turn t = {OTHER, json_object_get(v, "role"), json_object_get(v, "content")};
    if (!t.name)
        t.name = json_object_get(v, "from");
    if (!t.text)
        t.text = json_object_get(v, "value");
    for (size_t i = 0; json_is_string(t.name) && i < sizeof roles / sizeof *roles; i++)
        if (strcmp(json_string_value(t.name), roles[i].name) == 0)
            t.role = roles[i].role;
    return t;
}

static void add_turn(wn_str *s, const turn *t)
{
    static const char *const label[] = {"System", "User", "Assistant"};
    wn_str_puts(s, t->role == OTHER ? json_string_value(t->name) : label[t->role]);
    wn_str_puts(s, ": ");
    wn_str_add(s, json_string_value(t->text), json_string_length(t->text));
    wn_str_puts(s, "\n\n");
}

static wn_err messages_line(wn_str *out, wn_reject *why, const json_t *root, wn_span raw,
                            const wn_place *at)
{
    static const char *const used[] = {"messages", "conversations", NULL};
    const json_t *list = json_object_get(root, "messages");
    if (!list)
        list = json_object_get(root, "conversations");
    if (!json_is_array(list))
        return misshaped(why, at, "expected an array messages or conversations");
    size_t n = json_array_size(list), last = SIZE_MAX;
    for (size_t i = 0; i < n; i++) {
        turn t = read_turn(json_array_get(list, i));
        if (!json_is_string(t.name) || !json_is_string(t.text))
            return misshaped(why, at, "expected a role and a text in every message");
        if (t.role == ASSISTANT)
            last = i;
    }
    size_t end = last == SIZE_MAX ? n : last;
    wn_str prompt = {0};
    turn first = read_turn(json_array_get(list, 0));
    if (end == 1 && first.role == USER)
        wn_str_add(&prompt, json_string_value(first.text), json_string_length(first.text));
    for (size_t i = 0; i < end && !(end == 1 && first.role == USER); i++) {
        turn t = read_turn(json_array_get(list, i));
        add_turn(&prompt, &t);
    }
    if (end > 1 || (end == 1 && first.role != USER))
        wn_str_puts(&prompt, "Assistant:");
    wn_str_putc(out, '{');
    if (end)
        wn_member_text(out, "prompt", &prompt);
    if (last != SIZE_MAX) {
        turn t = read_turn(json_array_get(list, last));
        wn_member_string(out, "target", json_string_value(t.text), json_string_length(t.text));
    }
    wn_member_rest(out, raw, used);
    wn_str_putc(out, '}');
    wn_str_free(&prompt);
    return WN_OK;
}

/* ---- rendered pairs: P3, and the files of DEFT's authors ---- */

/* A text as it is, or trimmed; anything else stays as it is, and is refused by the reader. */
static wn_err add_pair_text(wn_str *out, const char *key, const json_t *v, bool strip)
{
    if (!v || json_is_null(v))
        return WN_OK;
    if (!json_is_string(v)) {
        wn_member_key(out, key);
        return wn_json_dump(out, json_is_object(v) || json_is_array(v) ? json_null() : v, 0, false);
    }
    wn_span t = {json_string_value(v), json_string_length(v)};
    if (strip)
        t = wn_span_trim(t);
    wn_member_string(out, key, t.p, t.len);
    return WN_OK;
}

static wn_err add_options(wn_str *out, const json_t *v)
{
    if (!v || json_is_null(v) || (json_is_array(v) && json_array_size(v) == 0))
        return WN_OK;
    wn_member_key(out, "choices");
    if (!json_is_array(v))
        return wn_json_dump(out, json_false(), 0, false);
    for (size_t i = 0; i < json_array_size(v); i++) {
        const json_t *c = json_array_get(v, i);
        wn_span t = {json_string_value(c), json_string_length(c)};
        wn_str_puts(out, i ? ", " : "[");
        if (json_is_string(c)) {
            t = wn_span_trim(t);
            wn_json_string(out, t.p, t.len);
        } else {
            wn_str_puts(out, "null");
        }
    }
    wn_str_putc(out, ']');
    return WN_OK;
}

static wn_err pair_line(wn_str *out, const json_t *root, wn_span raw, const char *prompt,
                        const char *target, const char *const *used)
{
    wn_str_putc(out, '{');
    WN_TRY(add_pair_text(out, "prompt", json_object_get(root, prompt), false));
    WN_TRY(add_pair_text(out, "target", json_object_get(root, target), true));
    WN_TRY(add_options(out, json_object_get(root, "answer_choices")));
    wn_member_rest(out, raw, used);
    wn_str_putc(out, '}');
    return WN_OK;
}

static wn_err p3_line(wn_str *out, wn_reject *why, const json_t *root, wn_span raw,
                      const wn_place *at)
{
    static const char *const used[] = {"inputs_pretokenized", "targets_pretokenized",
                                       "answer_choices", NULL};
    (void)why;
    (void)at;
    return pair_line(out, root, raw, "inputs_pretokenized", "targets_pretokenized", used);
}

static wn_err deft_line(wn_str *out, wn_reject *why, const json_t *root, wn_span raw,
                        const wn_place *at)
{
    static const char *const used[] = {"input", "target", "answer_choices", NULL};
    (void)why;
    (void)at;
    return pair_line(out, root, raw, "input", "target", used);
}

/* ---- documents ---- */

/* What the rows of a document are written with. */
typedef struct writer {
    wn_str line, rest;
    wn_rowmap_emit emit;
    void *ctx;
} writer;

static void free_writer(writer *w)
{
    wn_str_free(&w->line);
    wn_str_free(&w->rest);
}

static wn_err finish_row(writer *w, const json_t *instance, const char *const *used,
                         uint64_t number)
{
    wn_str_clear(&w->rest);
    WN_TRY(wn_json_dump(&w->rest, instance, 0, false));
    wn_member_rest(&w->line, (wn_span){w->rest.p, w->rest.len}, used);
    wn_str_putc(&w->line, '}');
    WN_TRY(wn_str_check(&w->line));
    return w->emit(w->ctx, (wn_span){w->line.p, w->line.len}, number);
}

/* A string, or the first string of an array. */
static const char *first_string(const json_t *v)
{
    if (json_is_array(v))
        v = json_array_get(v, 0);
    return json_string_value(v);
}

/* Target and references from a string or an array of right answers. */
static wn_err add_answers(wn_str *line, const json_t *v)
{
    const json_t *first = json_is_array(v) ? json_array_get(v, 0) : v;
    if (json_is_string(first))
        wn_member_string(line, "target", json_string_value(first), json_string_length(first));
    if (json_is_array(v) && json_array_size(v)) {
        wn_member_key(line, "references");
        WN_TRY(wn_json_dump(line, v, 0, false));
    }
    return WN_OK;
}

/* Tk-Instruct's rendering ends a stretch with a full stop unless its last character is one of
 * Python's string.punctuation, which is every ASCII mark. */
static void end_sentence(wn_str *s)
{
    char c = s->len ? s->p[s->len - 1] : ' ';
    if (!(c > ' ' && c < 0x7f) || (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z') ||
        (c >= 'a' && c <= 'z'))
        wn_str_putc(s, '.');
}

static void add_trimmed(wn_str *s, const char *text)
{
    wn_span t = wn_span_trim((wn_span){text, strlen(text)});
    wn_str_add(s, t.p, t.len);
}

static wn_err superni_row(writer *w, const json_t *root, const json_t *instance, uint64_t number,
                          bool raw)
{
    static const char *const used[] = {"input", "output", NULL};
    const char *definition = first_string(json_object_get(root, "Definition"));
    const char *input = json_string_value(json_object_get(instance, "input"));
    const char *source = first_string(json_object_get(root, "Source"));
    const char *category = first_string(json_object_get(root, "Categories"));
    wn_str_clear(&w->line);
    wn_str_putc(&w->line, '{');
    if (input) {
        wn_str prompt = {0};
        if (!raw) {
            wn_str_puts(&prompt, "Definition: ");
            add_trimmed(&prompt, definition);
            end_sentence(&prompt);
            wn_str_puts(&prompt, "\n\n");
        }
        wn_str_puts(&prompt, "Now complete the following example -\nInput: ");
        add_trimmed(&prompt, input);
        end_sentence(&prompt);
        wn_str_puts(&prompt, "\nOutput: ");
        wn_member_text(&w->line, "prompt", &prompt);
        wn_str_free(&prompt);
    }
    WN_TRY(add_answers(&w->line, json_object_get(instance, "output")));
    if (source)
        wn_member_string(&w->line, "source", source, strlen(source));
    if (category)
        wn_member_string(&w->line, "category", category, strlen(category));
    return finish_row(w, instance, used, number);
}

static wn_err task_rows(wn_reject *why, const json_t *root, const wn_place *at, wn_rowmap_emit emit,
                        void *ctx, bool raw)
{
    const json_t *list = json_object_get(root, "Instances");
    if (!first_string(json_object_get(root, "Definition")) || !json_is_array(list))
        return misshaped(why, at, "expected Definition and an array Instances");
    writer w = {.emit = emit, .ctx = ctx};
    wn_err e = WN_OK;
    for (size_t i = 0; i < json_array_size(list) && !e; i++) {
        const json_t *v = json_array_get(list, i);
        e = json_is_object(v) ? superni_row(&w, root, v, i + 1, raw)
                              : misshaped(why, at, "expected objects in Instances");
    }
    free_writer(&w);
    return e;
}

static wn_err superni_rows(wn_reject *why, const json_t *root, const wn_place *at,
                           wn_rowmap_emit emit, void *ctx)
{
    return task_rows(why, root, at, emit, ctx, false);
}

static wn_err superni_raw_rows(wn_reject *why, const json_t *root, const wn_place *at,
                               wn_rowmap_emit emit, void *ctx)
{
    return task_rows(why, root, at, emit, ctx, true);
}

/* Choices in the file's order; the target is the best-scored, of equal ones the first. */
static void add_scored(wn_str *line, const json_t *scores)
{
    const char *key, *best = NULL;
    json_t *v;
    double top = 0;
    json_object_foreach((json_t *)scores, key, v)
    {
        if (!best || json_number_value(v) > top) {
            best = key;
            top = json_number_value(v);
        }
    }
    wn_member_string(line, "target", best, strlen(best));
    wn_member_key(line, "choices");
    const char *before = "[";
    json_object_foreach((json_t *)scores, key, v)
    {
        wn_str_puts(line, before);
        wn_json_cstring(line, key);
        before = ", ";
    }
    wn_str_putc(line, ']');
}

static wn_err bigbench_row(writer *w, const json_t *root, const json_t *example, uint64_t number)
{
    static const char *const used[] = {"input", "target", "target_scores", NULL};
    const char *prefix = json_string_value(json_object_get(root, "task_prefix"));
    const char *input = json_string_value(json_object_get(example, "input"));
    const json_t *scores = json_object_get(example, "target_scores");
    wn_str_clear(&w->line);
    wn_str_putc(&w->line, '{');
    if (input) {
        wn_str prompt = {0};
        wn_str_puts(&prompt, prefix ? prefix : "");
        wn_str_puts(&prompt, input);
        wn_member_text(&w->line, "prompt", &prompt);
        wn_str_free(&prompt);
    }
    if (json_is_object(scores) && json_object_size(scores))
        add_scored(&w->line, scores);
    else
        WN_TRY(add_answers(&w->line, json_object_get(example, "target")));
    return finish_row(w, example, used, number);
}

static wn_err bigbench_rows(wn_reject *why, const json_t *root, const wn_place *at,
                            wn_rowmap_emit emit, void *ctx)
{
    const json_t *list = json_object_get(root, "examples");
    if (!json_is_array(list))
        return misshaped(why, at, "expected an array examples");
    writer w = {.emit = emit, .ctx = ctx};
    wn_err e = WN_OK;
    for (size_t i = 0; i < json_array_size(list) && !e; i++) {
        const json_t *v = json_array_get(list, i);
        e = json_is_object(v) ? bigbench_row(&w, root, v, i + 1)
                              : misshaped(why, at, "expected objects in examples");
    }
    free_writer(&w);
    return e;
}

const wn_shape *wn_shape_find(const char *name)
{
    static const wn_shape shapes[] = {
        {"messages", false, messages_line, NULL},
        {"p3", false, p3_line, NULL},
        {"deft", false, deft_line, NULL},
        {"superni", true, NULL, superni_rows},
        {"superni-raw", true, NULL, superni_raw_rows},
        {"bigbench", true, NULL, bigbench_rows},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        if (strcmp(shapes[i].name, name) == 0)
            return &shapes[i];
    return NULL;
}

/* How: lines are gathered into blocks; the lines of a block are mapped and checked in parallel, a
 * fixed stretch of lines a piece; then one thread walks the results in order, looks up ids and
 * texts in tables of 8 bytes a slot, numbers tasks and writes. What a row becomes depends on the
 * rows before it alone, so the thread count never shows. A hit in a table is only a hash: both rows
 * are read again and their bytes compared. Nothing grows with the pool but the tables (some 16
 * bytes a row each at worst) and the list of tasks. */
#include "pool/ingest.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/par.h"
#include "base/report.h"
#include "io/file.h"
#include "pool/rowmap.h"

enum { BLOCK_BYTES = 4 << 20, BLOCK_LINES = 4096, PIECE_LINES = 64 };
enum { PIECES = BLOCK_LINES / PIECE_LINES };

typedef struct line {
    size_t off, len;
    uint64_t number;
} line;

/* What became of a line; offsets into its piece's text. */
typedef struct result {
    wn_reject why;
    size_t off, len; /* the row's line, or the error line */
    size_t task_off;
    uint64_t text_hash, id_hash, text_bytes;
} result;

typedef struct scratch {
    wn_row row;
    wn_str mapped;
} scratch;

typedef struct reader {
    wn_ingest *g;
    const wn_ingest_opts *o;
    wn_rowmap *map;
    wn_source *source;
    const char *base; /* FILE of ids */
    char *task;       /* of rows that name none */
    json_t *listed;   /* names of tasks that are read, true once seen; NULL: all */
    wn_str text;      /* the block */
    line *lines;
    size_t n_lines;
    result *results;
    wn_str piece[PIECES];
    scratch *scratch; /* one a thread */
    int threads;
    wn_row a, b; /* two rows that may be equal */
    char *other; /* the line of b */
    size_t other_bytes;
} reader;

/* ---- in parallel: a line to a result ---- */

static void record_error(result *res, wn_str *text, wn_reject why)
{
    res->why = why;
    res->off = text->len;
    wn_str_puts(text, wn_error_text());
    res->len = text->len - res->off;
    wn_str_putc(text, '\0');
}

static wn_err read_line(const reader *r, const line *l, result *res, wn_str *text, scratch *s)
{
    wn_place at = {r->source->path, r->base, l->number};
    wn_span raw = {r->text.p + l->off, l->len};
    bool complete = false;
    *res = (result){.why = WN_ROW_GOOD};
    wn_reject why = WN_ROW_GOOD;
    wn_err e = WN_OK;
    if (r->map && !wn_rowmap_is_document(r->map)) {
        e = wn_rowmap_line(r->map, &s->mapped, &why, raw, &at);
        raw = (wn_span){s->mapped.p, s->mapped.len};
    }
    if (!e)
        e = wn_row_read(&s->row, &why, &complete, raw.p, raw.len, &at, r->task, r->o->need_target);
    if (e == WN_EFORMAT && why != WN_ROW_GOOD) {
        record_error(res, text, why);
        return WN_OK;
    }
    WN_TRY(e);
    res->off = text->len;
    wn_row_write(text, &s->row, complete);
    res->len = text->len - res->off;
    wn_str_putc(text, '\n');
    res->task_off = text->len;
    wn_str_add(text, s->row.task.p, s->row.task.len);
    wn_str_putc(text, '\0');
    res->text_hash = wn_row_text_hash(&s->row);
    res->id_hash = wn_id_hash(s->row.id.p, s->row.id.len);
    res->text_bytes = s->row.prompt.len + s->row.target.len;
    return wn_str_check(text);
}

static wn_err read_piece(void *ctx, size_t i, int thread)
{
    const reader *r = ctx;
    wn_str *text = (wn_str *)&r->piece[i];
    wn_str_clear(text);
    size_t end = (i + 1) * PIECE_LINES < r->n_lines ? (i + 1) * PIECE_LINES : r->n_lines;
    for (size_t k = i * PIECE_LINES; k < end; k++)
        WN_TRY(read_line(r, &r->lines[k], &r->results[k], text, &r->scratch[thread]));
    return wn_str_check(text);
}

/* ---- in order: results to the pool ---- */

static wn_err count_reject(reader *r, wn_reject why, const char *text)
{
    if (r->o->strict)
        return wn_fail(WN_EFORMAT, "%s", text);
    wn_reject_list *list = &r->g->reject[why];
    if (list->lines < WN_PLACES_KEPT && !(list->place[list->lines] = wn_strdup(text)))
        return WN_ENOMEM;
    list->lines++;
    r->g->rejected++;
    return WN_OK;
}

/* Row `number` of the pool, read back into r->b. */
static wn_err read_back(reader *r, uint32_t number)
{
    wn_record rec;
    WN_TRY(wn_spool_read(&r->g->index, sizeof(wn_index_header) + (uint64_t)number * sizeof rec,
                         &rec, sizeof rec));
    if (rec.length > r->other_bytes) {
        wn_free(r->other);
        r->other_bytes = 0;
        r->other = wn_malloc((size_t)rec.length * 2);
        if (!r->other)
            return WN_ENOMEM;
        r->other_bytes = (size_t)rec.length * 2;
    }
    WN_TRY(wn_spool_read(&r->g->rows, rec.offset, r->other, rec.length));
    return wn_row_parse(&r->b, r->other, rec.length, r->g->rows.path, "");
}

static bool same(wn_span a, wn_span b)
{
    return a.len == b.len && memcmp(a.p, b.p, a.len) == 0;
}

typedef enum { SAME_ID, SAME_TEXT } sameness;

/* Whether an accepted row has the id (or the texts) of the row in `res`. */
static wn_err find_same(bool *found, reader *r, const result *res, const wn_str *text,
                        sameness what)
{
    const wn_seen *t = what == SAME_ID ? &r->g->ids : &r->g->texts;
    uint64_t hash = what == SAME_ID ? res->id_hash : res->text_hash;
    size_t at = SIZE_MAX;
    bool parsed = false;
    *found = false;
    uint32_t number;
    while ((number = wn_seen_next(t, hash, &at)) != WN_SEEN_NONE) {
        if (!parsed)
            WN_TRY(wn_row_parse(&r->a, text->p + res->off, res->len, r->source->path, ""));
        parsed = true;
        WN_TRY(read_back(r, number));
        *found = what == SAME_ID ? same(r->a.id, r->b.id)
                                 : same(r->a.prompt, r->b.prompt) && same(r->a.target, r->b.target);
        if (*found)
            return WN_OK;
    }
    return WN_OK;
}

static bool find_task(uint32_t *number, wn_ingest *g, const char *name)
{
    size_t at = SIZE_MAX;
    while ((*number = wn_seen_next(&g->tasks, wn_id_hash(name, strlen(name)), &at)) != WN_SEEN_NONE)
        if (strcmp(g->task[*number], name) == 0)
            return true;
    return false;
}

static wn_err task_number(uint32_t *number, wn_ingest *g, const char *name)
{
    if (find_task(number, g, name))
        return WN_OK;
    if (!WN_GROW(g->task, g->n_tasks, g->cap_tasks) ||
        !WN_GROW(g->task_rows, g->n_tasks, g->cap_task_rows))
        return WN_ENOMEM;
    char *copy = wn_strdup(name);
    if (!copy)
        return WN_ENOMEM;
    *number = (uint32_t)g->n_tasks;
    g->task[g->n_tasks] = copy;
    g->task_rows[g->n_tasks++] = 0;
    return wn_seen_add(&g->tasks, wn_id_hash(name, strlen(name)), *number);
}

static wn_err accept(reader *r, const result *res, const wn_str *text)
{
    wn_ingest *g = r->g;
    if (res->len > UINT32_MAX || g->n_rows >= INT32_MAX)
        return wn_fail(WN_EFORMAT, "%s: expected at most 2^31 rows of under 4 GiB",
                       r->source->path);
    wn_record rec = {.offset = wn_spool_size(&g->rows),
                     .length = (uint32_t)res->len,
                     .text = res->text_hash,
                     .id = res->id_hash};
    uint32_t number = (uint32_t)g->n_rows;
    WN_TRY(task_number(&rec.task, g, text->p + res->task_off));
    WN_TRY(wn_spool_add(&g->rows, text->p + res->off, res->len + 1));
    WN_TRY(wn_spool_add(&g->index, &rec, sizeof rec));
    WN_TRY(wn_seen_add(&g->ids, res->id_hash, number));
    if (r->o->duplicates != WN_DUPLICATES_IGNORE)
        WN_TRY(wn_seen_add(&g->texts, res->text_hash, number));
    g->task_rows[rec.task]++;
    g->text_bytes += res->text_bytes;
    g->n_rows++;
    r->source->rows++;
    return WN_OK;
}

/* Whether the row's task is not listed, or has its rows already. */
static bool beyond(reader *r, const char *task)
{
    if (r->listed && !json_object_get(r->listed, task))
        return true;
    if (r->listed)
        json_object_set(r->listed, task, json_true());
    uint32_t number;
    return r->o->per_task && find_task(&number, r->g, task) &&
           r->g->task_rows[number] >= r->o->per_task;
}

static wn_err take(reader *r, const line *l, const result *res, const wn_str *text)
{
    if (res->why != WN_ROW_GOOD)
        return count_reject(r, res->why, text->p + res->off);
    if (beyond(r, text->p + res->task_off)) {
        r->g->left_out++;
        return WN_OK;
    }
    bool found;
    WN_TRY(find_same(&found, r, res, text, SAME_ID));
    if (found) {
        wn_place at = {r->source->path, r->base, l->number};
        wn_place_fail(&at, r->a.id, wn_reject_text(WN_REJECT_SAME_ID), "");
        char copy[WN_ERROR_TEXT_BYTES];
        snprintf(copy, sizeof copy, "%s", wn_error_text());
        return count_reject(r, WN_REJECT_SAME_ID, copy);
    }
    if (r->o->duplicates != WN_DUPLICATES_IGNORE) {
        WN_TRY(find_same(&found, r, res, text, SAME_TEXT));
        r->g->duplicates += found;
        if (found && r->o->duplicates == WN_DUPLICATES_DROP)
            return WN_OK;
    }
    return accept(r, res, text);
}

/* ---- blocks ---- */

static wn_err finish_block(reader *r)
{
    size_t pieces = (r->n_lines + PIECE_LINES - 1) / PIECE_LINES;
    WN_TRY(wn_str_check(&r->text));
    WN_TRY(wn_par_for(pieces, read_piece, r));
    for (size_t i = 0; i < r->n_lines; i++)
        WN_TRY(take(r, &r->lines[i], &r->results[i], &r->piece[i / PIECE_LINES]));
    r->source->lines += r->n_lines;
    r->n_lines = 0;
    wn_str_clear(&r->text);
    return r->o->dir ? wn_progress("pool", "rows", r->g->n_rows, 0, NULL) : WN_OK;
}

static wn_err add_line(void *ctx, wn_span text, uint64_t number)
{
    reader *r = ctx;
    if (!wn_span_trim(text).len)
        return WN_OK;
    r->lines[r->n_lines++] = (line){r->text.len, text.len, number};
    wn_str_add(&r->text, text.p, text.len);
    if (r->n_lines == BLOCK_LINES || r->text.len >= BLOCK_BYTES || r->text.failed)
        return finish_block(r);
    return WN_OK;
}

static wn_err read_lines(reader *r, wn_lines *in)
{
    wn_span text;
    wn_err e = WN_OK;
    wn_lines_drop_mark(in);
    while (wn_lines_next(in, &text, &e)) {
        uint64_t number = wn_lines_number(in);
        WN_TRY(add_line(r, text, number));
    }
    WN_TRY(e);
    return finish_block(r);
}

/* A document that is no JSON, or of another shape, counts as one bad line. */
static wn_err read_document(reader *r, wn_lines *in)
{
    wn_str whole = {0};
    wn_span text;
    wn_err e = WN_OK;
    while (!whole.failed && wn_lines_next(in, &text, &e)) {
        wn_str_add(&whole, text.p, text.len);
        wn_str_putc(&whole, '\n');
    }
    if (!e)
        e = wn_str_check(&whole);
    wn_reject why = WN_ROW_GOOD;
    wn_place at = {r->source->path, r->base, 0};
    if (!e && whole.len)
        e = wn_rowmap_document(r->map, &why, (wn_span){whole.p, whole.len}, &at, add_line, r);
    wn_str_free(&whole);
    if (e == WN_EFORMAT && why != WN_ROW_GOOD) {
        char copy[WN_ERROR_TEXT_BYTES];
        snprintf(copy, sizeof copy, "%s", wn_error_text());
        e = count_reject(r, why, copy);
        r->source->lines++;
    }
    WN_TRY(e);
    return finish_block(r);
}

/* FILE of an id is the file's base name, or its path where an earlier source has that base name;
 * of a file in a sub-folder, both names. */
static const char *id_base(const wn_ingest *g, size_t source)
{
    const char *path = g->source[source].path, *base = wn_path_base(path);
    if (g->source[source].task)
        return base - strlen(g->source[source].task) - 1;
    if (strcmp(path, "-") == 0)
        return "stdin";
    for (size_t i = 0; i < source; i++)
        if (strcmp(wn_path_base(g->source[i].path), base) == 0)
            return path;
    return base;
}

static wn_err read_source(reader *r, size_t i)
{
    r->source = &r->g->source[i];
    r->base = id_base(r->g, i);
    wn_free(r->task);
    r->task = r->source->task ? wn_strdup(r->source->task) : wn_source_task(r->source->path);
    if (!r->task)
        return WN_ENOMEM;
    bool document = r->map && wn_rowmap_is_document(r->map);
    if (document && r->listed && !json_object_get(r->listed, r->task))
        return WN_OK; /* all its rows are of that task */
    wn_lines *in;
    WN_TRY(wn_lines_open(&in, r->source->path));
    wn_err e = document ? read_document(r, in) : read_lines(r, in);
    wn_lines_close(in);
    return e;
}

static wn_err fail_empty(const wn_ingest *g)
{
    const char *first = NULL;
    for (int i = 0; i < WN_REJECT_COUNT && !first; i++)
        first = g->reject[i].place[0];
    if (!first)
        return wn_fail(WN_EFORMAT, "%s%s: expected at least one row, found none", g->source[0].path,
                       g->n_sources > 1 ? " and the other sources" : "");
    char copy[WN_ERROR_TEXT_BYTES / 2];
    snprintf(copy, sizeof copy, "%s", first);
    return wn_fail(WN_EFORMAT, "%s: expected at least one row, found %" PRIu64 " bad lines: %s",
                   g->source[0].path, g->rejected, copy);
}

static wn_err finish(wn_ingest *g)
{
    if (!g->n_rows)
        return fail_empty(g);
    wn_index_header h = {.magic = WN_POOL_MAGIC,
                         .rows = g->n_rows,
                         .bytes = wn_spool_size(&g->rows),
                         .tasks = (uint32_t)g->n_tasks,
                         .record_bytes = sizeof(wn_record)};
    WN_TRY(wn_spool_flush(&g->rows));
    WN_TRY(wn_spool_flush(&g->index));
    return wn_spool_patch(&g->index, 0, &h, sizeof h);
}

static wn_err open_spools(wn_ingest *g, const char *dir)
{
    char *rows = NULL, *index = NULL;
    wn_err e = WN_OK;
    if (dir)
        e = wn_path_join(&rows, dir, "rows.jsonl");
    if (dir && !e)
        e = wn_path_join(&index, dir, "rows.idx");
    if (!e)
        e = wn_spool_open(&g->rows, rows);
    if (!e)
        e = wn_spool_open(&g->index, index);
    wn_free(rows);
    wn_free(index);
    WN_TRY(e);
    static const wn_index_header empty;
    return wn_spool_add(&g->index, &empty, sizeof empty);
}

/* Names of tasks, a line each. */
static wn_err read_names(json_t **set, const char *path)
{
    wn_lines *in;
    wn_span text;
    wn_err e = WN_OK;
    WN_TRY(wn_lines_open(&in, path));
    wn_lines_drop_mark(in);
    *set = json_object();
    while (*set && !e && wn_lines_next(in, &text, &e)) {
        wn_span name = wn_span_trim(text);
        if (name.len && json_object_setn_new(*set, name.p, name.len, json_false()) != 0)
            e = wn_fail(WN_EFORMAT, "%s:%llu: expected a task's name in UTF-8", path,
                        (unsigned long long)wn_lines_number(in));
    }
    wn_lines_close(in);
    if (!e && json_object_size(*set) == 0)
        e = wn_fail(WN_EFORMAT, "%s: expected names of tasks, a line each, found none", path);
    return e;
}

/* A name that no row had is a mistake in the list, or a file that is missing. */
static wn_err check_names(const reader *r)
{
    const char *name, *first = NULL;
    json_t *seen;
    size_t n = 0;
    json_object_foreach(r->listed, name, seen)
    {
        if (json_is_true(seen))
            continue;
        first = first ? first : name;
        n++;
    }
    return n ? wn_fail(WN_EARG, "%s: task \"%s\": no row is of it%s", r->o->tasks, first,
                       n > 1 ? ", nor of others that are listed" : "")
             : WN_OK;
}

static wn_err open_reader(reader *r, const wn_ingest_opts *o)
{
    if (o->map)
        WN_TRY(wn_rowmap_open(&r->map, o->map));
    if (o->tasks)
        WN_TRY(read_names(&r->listed, o->tasks));
    r->threads = wn_par_threads();
    WN_NEW(r->scratch, (size_t)r->threads);
    WN_NEW(r->lines, BLOCK_LINES);
    WN_NEW(r->results, BLOCK_LINES);
    return WN_OK;
}

static void close_reader(reader *r)
{
    for (int i = 0; r->scratch && i < r->threads; i++) {
        wn_row_free(&r->scratch[i].row);
        wn_str_free(&r->scratch[i].mapped);
    }
    for (size_t i = 0; i < PIECES; i++)
        wn_str_free(&r->piece[i]);
    wn_rowmap_close(r->map);
    json_decref(r->listed);
    wn_free(r->scratch);
    wn_free(r->lines);
    wn_free(r->results);
    wn_free(r->task);
    wn_str_free(&r->text);
    wn_free(r->other);
    wn_row_free(&r->a);
    wn_row_free(&r->b);
}

wn_err wn_ingest_run(wn_ingest *g, const wn_ingest_opts *o)
{
    reader r = {.g = g, .o = o};
    g->rows.fd = g->index.fd = -1;
    wn_err e = wn_sources_list(g, o);
    if (!e)
        e = open_reader(&r, o);
    if (!e)
        e = open_spools(g, o->dir);
    for (size_t i = 0; i < g->n_sources && !e; i++)
        e = read_source(&r, i);
    if (!e)
        e = check_names(&r);
    close_reader(&r);
    wn_seen_free(&g->ids);
    wn_seen_free(&g->texts);
    return e ? e : finish(g);
}

void wn_ingest_close(wn_ingest *g)
{
    wn_spool_close(&g->rows);
    wn_spool_close(&g->index);
    for (int i = 0; i < WN_REJECT_COUNT; i++)
        for (int k = 0; k < WN_PLACES_KEPT; k++)
            wn_free(g->reject[i].place[k]);
    for (size_t i = 0; i < g->n_tasks; i++)
        wn_free(g->task[i]);
    for (size_t i = 0; i < g->n_sources; i++) {
        wn_free(g->source[i].path);
        wn_free(g->source[i].task);
    }
    wn_free(g->task);
    wn_free(g->task_rows);
    wn_free(g->source);
    wn_seen_free(&g->ids);
    wn_seen_free(&g->texts);
    wn_seen_free(&g->tasks);
    *g = (wn_ingest){.rows.fd = -1, .index.fd = -1};
}

static wn_err set(json_t *into, const char *key, json_t *value)
{
    return json_object_set_new(into, key, value) ? wn_fail_nomem(0, "a manifest") : WN_OK;
}

/* An error line may quote bytes that are no UTF-8, or be cut inside of a character. */
static json_t *clean_string(char *text)
{
    json_t *s = json_string(text);
    if (s)
        return s;
    for (char *p = text; *p; p++)
        if ((unsigned char)*p >= 0x80)
            *p = '?';
    return json_string(text);
}

static wn_err set_reason(json_t *reasons, wn_reject why, const wn_reject_list *list)
{
    json_t *places = json_array();
    for (int k = 0; k < WN_PLACES_KEPT && list->place[k]; k++)
        json_array_append_new(places, clean_string(list->place[k]));
    return set(reasons, wn_reject_text(why),
               json_pack("{s:I, s:o}", "lines", (json_int_t)list->lines, "places", places));
}

wn_err wn_ingest_facts(json_t *into, const wn_ingest *g)
{
    json_t *reasons = json_object(), *tasks = json_object();
    wn_err e = set(into, "rows", json_integer((json_int_t)g->n_rows));
    if (!e)
        e = set(into, "text_bytes", json_integer((json_int_t)g->text_bytes));
    if (!e)
        e = set(into, "duplicates", json_integer((json_int_t)g->duplicates));
    for (int i = 0; i < WN_REJECT_COUNT && !e; i++)
        if (g->reject[i].lines)
            e = set_reason(reasons, (wn_reject)i, &g->reject[i]);
    for (size_t i = 0; i < g->n_tasks && !e; i++)
        e = set(tasks, g->task[i], json_integer((json_int_t)g->task_rows[i]));
    if (!e)
        e = set(into, "rejected",
                json_pack("{s:I, s:O}", "lines", (json_int_t)g->rejected, "reasons", reasons));
    if (!e)
        e = set(into, "tasks", json_incref(tasks));
    json_decref(reasons);
    json_decref(tasks);
    return e;
}

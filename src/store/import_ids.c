/* Lines about rows become records in a temporary; places and hashes of ids stay in memory. Hashes
 * find an id that stands twice, the texts decide. */
#include "store/import_ids.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/keyed.h"
#include "base/mem.h"
#include "io/file.h"
#include "io/json.h"
#include "pool/spool.h"
#include "store/format.h"

struct wn_import_ids {
    const char *path, *array;
    wn_span task;
    wn_spool spool;
    uint64_t *at; /* [rows] */
    uint64_t rows;
    char *text; /* of the record read last */
    size_t cap;
};

/* A record: this head, then the id's and the task's bytes. */
struct head {
    uint64_t line;
    float loss, margin;
    uint32_t id_len, task_len;
};

/* ---- a line ---- */

/* What a line says; texts live in `json`, in `text` or in the line. */
struct about {
    json_t *json;
    char *text;
    wn_span id, task;
    float loss, margin;
};

static void forget(struct about *a)
{
    json_decref(a->json);
    wn_free(a->text);
    *a = (struct about){0};
}

static wn_err read_number(float *out, const json_t *o, const char *key, const char *where)
{
    double v = NAN;
    const json_t *m = json_object_get(o, key);
    if (m && !json_is_null(m))
        WN_TRY(wn_json_get_number(&v, o, key, true, where));
    *out = (float)v;
    return WN_OK;
}

/* A number's id is its text, as it is of a pool's row. */
static wn_span number_text(wn_span line)
{
    size_t pos = 0;
    wn_span key, value;
    while (wn_json_member(line.p, line.len, &pos, &key, &value))
        if (wn_span_is(key, "id"))
            return value;
    return (wn_span){"", 0};
}

static wn_err read_object(struct about *a, wn_span line, const char *where)
{
    WN_TRY(wn_json_parse(&a->json, line.p, line.len, where));
    const json_t *id = json_object_get(a->json, "id"), *task = json_object_get(a->json, "task");
    if (json_is_number(id))
        a->id = number_text(line);
    else if (json_is_string(id))
        a->id = (wn_span){json_string_value(id), json_string_length(id)};
    if (!a->id.len)
        return wn_fail(WN_EFORMAT, "%s: id: expected a number or a string that is not empty, %s",
                       where, id ? "found something else" : "found none");
    if (task && !json_is_null(task)) {
        if (!json_is_string(task))
            return wn_fail(WN_EFORMAT, "%s: task: expected a string", where);
        a->task = (wn_span){json_string_value(task), json_string_length(task)};
    }
    WN_TRY(read_number(&a->loss, a->json, "loss", where));
    return read_number(&a->margin, a->json, "margin", where);
}

static wn_err read_about(struct about *a, wn_span line, const char *where, wn_span task)
{
    *a = (struct about){.task = task, .loss = NAN, .margin = NAN};
    if (line.len && line.p[0] == '{')
        return read_object(a, line, where);
    WN_TRY(wn_store_line_read(&a->text, &a->id.len, line.p, line.len, where));
    a->id.p = a->text;
    return a->id.len ? WN_OK
                     : wn_fail(WN_EFORMAT, "%s: expected an id, found an empty line", where);
}

static wn_err keep(wn_import_ids *ids, wn_keyed *p, uint64_t r, wn_span line, uint64_t number)
{
    char where[512];
    struct about a;
    snprintf(where, sizeof where, "%s:%" PRIu64, ids->path, number);
    wn_err err = read_about(&a, line, where, ids->task);
    if (err == WN_OK) {
        struct head h = {number, a.loss, a.margin, (uint32_t)a.id.len, (uint32_t)a.task.len};
        ids->at[r] = wn_spool_size(&ids->spool);
        p[r] = (wn_keyed){wn_hash64(a.id.p, a.id.len, 0), r};
        err = wn_spool_add(&ids->spool, &h, sizeof h);
        if (err == WN_OK)
            err = wn_spool_add(&ids->spool, a.id.p, a.id.len);
        if (err == WN_OK)
            err = wn_spool_add(&ids->spool, a.task.p, a.task.len);
    }
    forget(&a);
    return err;
}

/* ---- all lines ---- */

static wn_err fail_count(const wn_import_ids *ids, uint64_t found)
{
    char n[32] = "more";
    if (found <= ids->rows)
        snprintf(n, sizeof n, "%" PRIu64, found);
    return wn_fail(WN_EARG, "%s: expected %" PRIu64 " ids, one for each row of %s, found %s",
                   ids->path, ids->rows, ids->array, n);
}

static wn_err read_lines(wn_import_ids *ids, wn_keyed *p, wn_lines *l, wn_sha *sha)
{
    uint64_t r = 0;
    wn_span line;
    wn_err err = WN_OK;
    wn_lines_drop_mark(l);
    while (wn_lines_next(l, &line, &err)) {
        if (r >= ids->rows)
            return fail_count(ids, r + 1);
        wn_sha_add(sha, line.p, line.len);
        wn_sha_add(sha, "\n", 1);
        WN_TRY(keep(ids, p, r++, line, wn_lines_number(l)));
    }
    WN_TRY(err);
    return r == ids->rows ? WN_OK : fail_count(ids, r);
}

static wn_err read_head(struct head *h, const wn_import_ids *ids, uint64_t r)
{
    return wn_spool_read(&ids->spool, ids->at[r], h, sizeof *h);
}

/* The id of row r as an owned copy. */
static wn_err copy_id(char **id, struct head *h, const wn_import_ids *ids, uint64_t r)
{
    WN_TRY(read_head(h, ids, r));
    *id = wn_calloc(h->id_len + (size_t)1, 1);
    return *id ? wn_spool_read(&ids->spool, ids->at[r] + sizeof *h, *id, h->id_len) : WN_ENOMEM;
}

static wn_err refuse_equal(const wn_import_ids *ids, uint64_t first, uint64_t second)
{
    struct head a, b;
    char *x = NULL, *y = NULL;
    wn_err err = copy_id(&x, &a, ids, first);
    if (err == WN_OK)
        err = copy_id(&y, &b, ids, second);
    if (err == WN_OK && a.id_len == b.id_len && memcmp(x, y, a.id_len) == 0)
        err = wn_fail(WN_EARG,
                      "%s:%" PRIu64 ": expected each id once, found \"%.200s\" of line %" PRIu64
                      " again",
                      ids->path, b.line, x, a.line);
    wn_free(x);
    wn_free(y);
    return err;
}

static wn_err refuse_repeated(const wn_import_ids *ids, wn_keyed *p)
{
    wn_keyed_sort(p, ids->rows);
    for (uint64_t i = 0; i < ids->rows; i++)
        for (uint64_t j = i + 1; j < ids->rows && p[j].key == p[i].key; j++)
            WN_TRY(refuse_equal(ids, p[i].row, p[j].row));
    return WN_OK;
}

static wn_err read_all(wn_import_ids *ids, char sha[WN_SHA_HEX])
{
    wn_lines *l = NULL;
    wn_sha *hash = NULL;
    wn_keyed *p;
    WN_NEW(p, ids->rows);
    wn_err err = wn_lines_open(&l, ids->path);
    if (err == WN_OK)
        err = wn_sha_new(&hash);
    if (err == WN_OK) {
        err = read_lines(ids, p, l, hash);
        wn_sha_hex(hash, sha);
    }
    if (err == WN_OK)
        err = wn_spool_flush(&ids->spool);
    if (err == WN_OK)
        err = refuse_repeated(ids, p);
    wn_lines_close(l);
    wn_free(p);
    return err;
}

wn_err wn_import_ids_open(wn_import_ids **out, char sha[WN_SHA_HEX], const char *path,
                          const char *task, uint64_t rows, const char *array)
{
    wn_import_ids *ids;
    *out = NULL;
    WN_NEW(ids, 1);
    *ids = (wn_import_ids){.path = path,
                           .array = array,
                           .task = {task, strlen(task)},
                           .rows = rows,
                           .spool = {.fd = -1},
                           .at = wn_calloc(rows, sizeof *ids->at)};
    wn_err err = ids->at ? wn_spool_open(&ids->spool, NULL) : WN_ENOMEM;
    if (err == WN_OK)
        err = read_all(ids, sha);
    if (err == WN_OK)
        *out = ids;
    else
        wn_import_ids_close(ids);
    return err;
}

wn_err wn_import_ids_row(wn_store_row *out, wn_import_ids *ids, uint64_t r)
{
    struct head h;
    WN_TRY(read_head(&h, ids, r));
    size_t n = (size_t)h.id_len + h.task_len;
    if (n > ids->cap) {
        char *text = wn_realloc(ids->text, 2 * n);
        if (!text)
            return WN_ENOMEM;
        ids->text = text;
        ids->cap = 2 * n;
    }
    WN_TRY(wn_spool_read(&ids->spool, ids->at[r] + sizeof h, ids->text, n));
    out->id = (wn_span){ids->text, h.id_len};
    out->task = (wn_span){ids->text + h.id_len, h.task_len};
    out->loss = h.loss;
    out->margin = h.margin;
    return WN_OK;
}

void wn_import_ids_close(wn_import_ids *ids)
{
    if (!ids)
        return;
    wn_spool_close(&ids->spool);
    wn_free(ids->at);
    wn_free(ids->text);
    wn_free(ids);
}

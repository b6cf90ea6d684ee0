/* pool info, show and check. */
#include "pool/pool_info.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/par.h"
#include "base/report.h"
#include "pool/handle.h"

enum { PIECE_ROWS = 256 };

/* ---- info ---- */

typedef struct count {
    const wn_pool *p;
    wn_pool_count_fn fn;
    void *ctx;
    uint64_t *tokens; /* one a piece */
} count;

static wn_err count_piece(void *ctx, size_t i, int thread)
{
    (void)thread;
    const count *c = ctx;
    uint64_t end = (i + 1) * (uint64_t)PIECE_ROWS;
    wn_row row = {0};
    wn_err e = WN_OK;
    for (uint64_t k = i * (uint64_t)PIECE_ROWS; k < end && k < c->p->rows && !e; k++) {
        e = wn_pool_row(c->p, k, &row);
        if (!e)
            e = c->fn(c->ctx, &row, &c->tokens[i]);
    }
    wn_row_free(&row);
    return e;
}

static wn_err count_tokens(uint64_t *sum, const wn_pool *p, wn_pool_count_fn fn, void *ctx)
{
    size_t pieces = (size_t)((p->rows + PIECE_ROWS - 1) / PIECE_ROWS);
    count c = {.p = p, .fn = fn, .ctx = ctx};
    WN_NEW(c.tokens, pieces);
    wn_err e = wn_par_for(pieces, count_piece, &c);
    *sum = 0;
    for (size_t i = 0; i < pieces; i++)
        *sum += c.tokens[i];
    wn_free(c.tokens);
    return e;
}

static int by_value(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Of a source that was not built: rows whose text hash an earlier row has too. */
static wn_err count_duplicates(uint64_t *n, const wn_pool *p)
{
    uint64_t *hash;
    WN_NEW(hash, (size_t)p->rows);
    for (uint64_t i = 0; i < p->rows; i++)
        hash[i] = p->record[i].text;
    qsort(hash, (size_t)p->rows, sizeof *hash, by_value);
    *n = 0;
    for (uint64_t i = 1; i < p->rows; i++)
        *n += hash[i] == hash[i - 1];
    wn_free(hash);
    return WN_OK;
}

static json_t *fact(const wn_pool *p, const char *key)
{
    json_t *v = json_object_get(p->facts, key);
    return v ? json_incref(v) : json_null();
}

static wn_err describe(json_t *j, wn_pool *p, wn_pool_count_fn fn, void *ctx)
{
    uint64_t tokens = 0, duplicates = 0;
    char sha[WN_SHA_HEX];
    WN_TRY(wn_pool_sha(p, sha));
    if (fn)
        WN_TRY(count_tokens(&tokens, p, fn, ctx));
    if (!p->built)
        WN_TRY(count_duplicates(&duplicates, p));
    int bad = 0;
    bad |= json_object_set_new(j, "pool", json_string(p->path));
    bad |= json_object_set_new(j, "built", json_boolean(p->built));
    bad |= json_object_set_new(j, "rows", json_integer((json_int_t)p->rows));
    bad |= json_object_set_new(j, "text_bytes", fact(p, "text_bytes"));
    bad |= json_object_set_new(j, "tokens", fn ? json_integer((json_int_t)tokens) : json_null());
    bad |= json_object_set_new(
        j, "duplicates", p->built ? fact(p, "duplicates") : json_integer((json_int_t)duplicates));
    bad |= json_object_set_new(j, "near_duplicates",
                               p->built ? fact(p, "near_duplicates") : json_null());
    bad |= json_object_set_new(j, "rejected", fact(p, "rejected"));
    bad |= json_object_set_new(j, "tasks", fact(p, "tasks"));
    bad |= json_object_set_new(j, "sha256", json_string(sha));
    return bad ? wn_fail_nomem(0, "facts of a pool") : WN_OK;
}

/* Takes `j`. */
static wn_err hand_out(char **json, wn_err e, json_t *j)
{
    wn_str s = {0};
    if (!e)
        e = wn_json_dump(&s, j, 2, false);
    json_decref(j);
    if (e)
        wn_str_free(&s);
    *json = s.p;
    return e;
}

wn_err wn_pool_info(char **json, const char *pool, const char *map, wn_pool_count_fn fn, void *ctx)
{
    *json = NULL;
    wn_pool *p;
    WN_TRY(wn_pool_open(&p, pool, map, false));
    json_t *j = json_object();
    wn_err e = j ? describe(j, p, fn, ctx) : wn_fail_nomem(0, "facts of a pool");
    wn_pool_close(p);
    return hand_out(json, e, j);
}

/* ---- show ---- */

wn_err wn_pool_show_job(const char *pool, const char *map, const char *id, char **json)
{
    *json = NULL;
    wn_pool *p;
    WN_TRY(wn_pool_open(&p, pool, map, false));
    uint64_t row = wn_pool_find(p, id, strlen(id));
    wn_err e = WN_OK;
    if (row == UINT64_MAX) {
        e = wn_fail(WN_EARG, "%s: no row with the id \"%.200s\" among %" PRIu64, pool, id, p->rows);
    } else {
        wn_span raw = wn_pool_raw(p, row);
        *json = wn_strndup(raw.p, raw.len);
        if (!*json)
            e = WN_ENOMEM;
    }
    wn_pool_close(p);
    return e;
}

/* ---- check ---- */

static wn_err check_row(const wn_pool *p, uint64_t i, wn_row *row)
{
    WN_TRY(wn_pool_row(p, i, row));
    const wn_record *r = &p->record[i];
    if (wn_row_text_hash(row) != r->text || wn_id_hash(row->id.p, row->id.len) != r->id)
        return wn_fail(WN_EFORMAT,
                       "%s/rows.jsonl:%" PRIu64 ": the row's text is not what was indexed", p->path,
                       i + 1);
    if (!wn_span_is(row->task, p->task[r->task]))
        return wn_fail(WN_EFORMAT, "%s/rows.jsonl:%" PRIu64 ": expected task %s, found %.*s",
                       p->path, i + 1, p->task[r->task], (int)(row->task.len & 0xFF), row->task.p);
    return WN_OK;
}

static wn_err check_piece(void *ctx, size_t i, int thread)
{
    (void)thread;
    const wn_pool *p = ctx;
    uint64_t end = (i + 1) * (uint64_t)PIECE_ROWS;
    wn_row row = {0};
    wn_err e = WN_OK;
    for (uint64_t k = i * (uint64_t)PIECE_ROWS; k < end && k < p->rows && !e; k++)
        e = check_row(p, k, &row);
    wn_row_free(&row);
    return e;
}

static wn_err check_file(const wn_pool *p, const wn_map *m, const char *name)
{
    const json_t *file = json_object_get(json_object_get(p->facts, "files"), name);
    const char *then = json_string_value(json_object_get(file, "sha256"));
    char now[WN_SHA_HEX];
    WN_TRY(wn_sha_bytes(now, m->data, (size_t)m->size));
    if (!then || strcmp(then, now) != 0)
        return wn_fail(WN_EFORMAT, "%s/%s: expected SHA-256 %.64s, found %s", p->path, name,
                       then ? then : "(none)", now);
    return WN_OK;
}

/* pool.json itself has no hash; its counts must be those of the index. */
static wn_err check_counts(const wn_pool *p)
{
    uint64_t *rows;
    WN_NEW(rows, p->n_tasks);
    for (uint64_t i = 0; i < p->rows; i++)
        rows[p->record[i].task]++;
    wn_err e = WN_OK;
    const json_t *tasks = json_object_get(p->facts, "tasks");
    for (uint32_t t = 0; t < p->n_tasks && !e; t++) {
        json_int_t said = json_integer_value(json_object_get(tasks, p->task[t]));
        if (said != (json_int_t)rows[t])
            e = wn_fail(WN_EFORMAT, "%s/pool.json: task %s: expected %" PRIu64 " rows, found %lld",
                        p->path, p->task[t], rows[t], (long long)said);
    }
    wn_free(rows);
    json_int_t said = json_integer_value(json_object_get(p->facts, "rows"));
    if (!e && said != (json_int_t)p->rows)
        e = wn_fail(WN_EFORMAT, "%s/pool.json: expected %" PRIu64 " rows, found %lld", p->path,
                    p->rows, (long long)said);
    return e;
}

static wn_err check_pool(const wn_pool *p)
{
    /* Rows first: they can say where the damage is. */
    size_t pieces = (size_t)((p->rows + PIECE_ROWS - 1) / PIECE_ROWS);
    WN_TRY(wn_par_for(pieces, check_piece, (void *)p));
    WN_TRY(check_file(p, &p->text, "rows.jsonl"));
    WN_TRY(check_file(p, &p->index, "rows.idx"));
    return check_counts(p);
}

wn_err wn_pool_check_job(const char *pool, char **json)
{
    *json = NULL;
    if (!wn_pool_is_built(pool))
        return wn_fail(WN_EARG, "%s: expected a built pool (a folder with pool.json and rows.idx)",
                       pool);
    wn_pool *p;
    WN_TRY(wn_pool_open(&p, pool, NULL, false));
    wn_err e = check_pool(p);
    json_t *j = NULL;
    if (!e &&
        !(j = json_pack("{s:s, s:b, s:I, s:I}", "pool", pool, "ok", 1, "rows", (json_int_t)p->rows,
                        "bytes", (json_int_t)(p->text.size + p->index.size))))
        e = wn_fail_nomem(0, "facts of a pool");
    wn_pool_close(p);
    return hand_out(json, e, j);
}

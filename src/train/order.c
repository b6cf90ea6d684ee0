#include "train/order.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "io/file.h"
#include "io/json.h"

void wn_epoch_order(uint64_t *order, uint64_t n, uint64_t seed, uint64_t epoch, int shuffle)
{
    for (uint64_t i = 0; i < n; i++)
        order[i] = i;
    if (shuffle)
        wn_rng_shuffle(&(wn_rng){.seed = seed, .stream = (uint64_t)WN_STREAM_SHUFFLE | epoch << 8},
                       order, (size_t)n);
}

/* ---- a file of ids -------------------------------------------------------------------------
 */

/* The row of one line; JSON objects give their "id", a string or a whole number. */
static wn_err find_row(uint64_t *row, wn_pool *pool, wn_span line, const char *where)
{
    json_t *j = NULL;
    char number[32];
    const char *id = line.p;
    size_t len = line.len;
    if (len && line.p[0] == '{') {
        WN_TRY(wn_json_parse(&j, line.p, line.len, where));
        const json_t *v = json_object_get(j, "id");
        if (json_is_integer(v)) {
            len = (size_t)snprintf(number, sizeof number, "%lld", (long long)json_integer_value(v));
            id = number;
        } else if (json_is_string(v)) {
            id = json_string_value(v);
            len = json_string_length(v);
        } else {
            json_decref(j);
            return wn_fail(WN_EFORMAT, "%s: expected an \"id\"", where);
        }
    }
    *row = wn_pool_find(pool, id, len);
    wn_err e = *row == UINT64_MAX ? wn_fail(WN_EARG, "%s: id \"%.*s\": %s has no such row", where,
                                            (int)(len < 200 ? len : 200), id, wn_pool_path(pool))
                                  : WN_OK;
    json_decref(j);
    return e;
}

static wn_err read_ids(wn_order *o, wn_pool *pool, const char *file)
{
    wn_lines *lines;
    wn_span line;
    wn_err e = WN_OK;
    size_t cap = 0, number = 0;
    wn_str where = {0};
    WN_TRY(wn_lines_open(&lines, file));
    wn_lines_drop_mark(lines);
    while (!e && wn_lines_next(lines, &line, &e)) {
        number++;
        if (line.len == 0)
            continue;
        where.len = 0;
        wn_str_printf(&where, "%s:%zu", file, number);
        if (!WN_GROW(o->given, (size_t)o->n, cap) || wn_str_check(&where))
            e = WN_ENOMEM;
        else
            e = find_row(&o->given[o->n], pool, line, where.p);
        o->n += !e;
    }
    if (!e && o->n == 0)
        e = wn_fail(WN_EARG, "%s: expected ids of rows, a line each: the file has none", file);
    wn_str_free(&where);
    wn_lines_close(lines);
    return e;
}

wn_err wn_order_open(wn_order *o, const wn_data *data, wn_pool *pool, const char *file,
                     uint64_t seed, bool shuffle, uint64_t examples, uint64_t tokens)
{
    *o = (wn_order){.data = data,
                    .seed = seed,
                    .epoch = UINT64_MAX,
                    .shuffle = shuffle,
                    .examples = tokens ? 0 : examples,
                    .tokens = tokens};
    if (file)
        WN_TRY(read_ids(o, pool, file));
    else
        o->n = data->rows;
    WN_NEW(o->row, o->n);
    return WN_OK;
}

void wn_order_close(wn_order *o)
{
    wn_free(o->row);
    wn_free(o->given);
    *o = (wn_order){0};
}

/* ---- updates -------------------------------------------------------------------------------
 */

static void load(wn_order *o, uint64_t epoch)
{
    if (o->epoch == epoch)
        return;
    o->epoch = epoch;
    if (o->given)
        memcpy(o->row, o->given, (size_t)o->n * sizeof *o->row);
    else
        wn_epoch_order(o->row, o->n, o->seed, epoch, o->shuffle);
}

uint64_t wn_order_take(wn_order *o, uint64_t epoch, uint64_t at)
{
    load(o, epoch);
    uint64_t left = o->n - at, sum = 0, k = 0;
    if (o->examples)
        return left < o->examples ? left : o->examples;
    for (; k < left; k++) {
        const wn_data_size *s = &o->data->row[o->row[at + k]].size;
        sum += s->tokens + s->source;
        if (k && sum > o->tokens)
            break;
    }
    return k;
}

static uint64_t of_epoch(wn_order *o, uint64_t epoch)
{
    uint64_t updates = 0;
    if (o->examples)
        return (o->n + o->examples - 1) / o->examples;
    for (uint64_t at = 0; at < o->n; updates++)
        at += wn_order_take(o, epoch, at);
    return updates;
}

uint64_t wn_order_updates(wn_order *o, double epochs)
{
    if (o->examples)
        return (uint64_t)ceil(epochs * (double)of_epoch(o, 0) - 1e-9);
    double whole = floor(epochs), share = epochs - whole;
    uint64_t updates = 0, e = 0;
    for (; (double)e < whole; e++)
        updates += of_epoch(o, e);
    return updates + (share > 0 ? (uint64_t)ceil(share * (double)of_epoch(o, e) - 1e-9) : 0);
}

uint64_t wn_order_most(const wn_order *o)
{
    return o->examples ? (o->n < o->examples ? o->n : o->examples) : o->n;
}

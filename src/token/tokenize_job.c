/* `winnow tokenize`: texts to lines of ids, and back. Texts are taken a block at a time; a block's
 * texts are done in parallel in fixed pieces and written in their order. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/par.h"
#include "io/file.h"
#include "io/json.h"
#include "pool/pool.h"
#include "token/parts.h"

enum { BLOCK = 8192, BLOCK_BYTES = 8 << 20, PIECE = 64 };

typedef struct text {
    size_t start, end; /* in block.bytes */
    uint64_t line;
} text;

typedef struct scratch {
    wn_token_work work;
    wn_ids ids;
} scratch;

typedef struct block {
    const wn_tokenize_opts *o;
    const wn_tokenizer *t;
    wn_str bytes;
    text *text;
    size_t n, cap;
    wn_str out[BLOCK / PIECE];
    scratch *scratch;
} block;

/* ---- one text
 * ------------------------------------------------------------------------------------- */

static void put_id(wn_str *out, int32_t id)
{
    char digits[12], *p = digits + sizeof digits;
    do
        *--p = (char)('0' + id % 10);
    while (id /= 10);
    wn_str_add(out, p, (size_t)(digits + sizeof digits - p));
}

static wn_err encode_one(const block *b, scratch *s, const char *p, size_t len, wn_str *out)
{
    const wn_token_facts *f = wn_tokenizer_facts(b->t);
    size_t n_prefix = b->o->no_special ? 0 : f->n_prefix;
    size_t n_suffix = b->o->no_special ? 0 : f->n_suffix;
    wn_ids_clear(&s->ids);
    for (size_t i = 0; i < n_prefix; i++)
        WN_TRY(wn_ids_push(&s->ids, f->prefix[i]));
    WN_TRY(wn_tokenizer_append(b->t, &s->work, p, len, &s->ids));
    for (size_t i = 0; i < n_suffix; i++)
        WN_TRY(wn_ids_push(&s->ids, f->suffix[i]));
    wn_str_putc(out, '[');
    for (size_t i = 0; i < s->ids.n; i++) {
        if (i)
            wn_str_add(out, ", ", 2);
        put_id(out, s->ids.id[i]);
    }
    wn_str_puts(out, "]\n");
    return wn_str_check(out);
}

static bool at(const wn_ids *ids, size_t from, const int32_t *what, size_t n)
{
    return n && ids->n >= n && !memcmp(ids->id + from, what, n * sizeof *what);
}

/* The exact way back: what the post-processor puts around a text goes, special tokens that were
 * spelled out in it stay. */
static wn_err decode_ids(const block *b, wn_ids *ids, wn_str *out)
{
    const wn_token_facts *f = wn_tokenizer_facts(b->t);
    size_t from = 0, n = ids->n;
    char *back;
    if (!b->o->no_special) {
        if (at(ids, 0, f->prefix, f->n_prefix))
            from = f->n_prefix;
        if (n - from >= f->n_suffix && at(ids, n - f->n_suffix, f->suffix, f->n_suffix))
            n -= f->n_suffix;
    }
    WN_TRY(wn_tokenizer_decode(b->t, ids->id + from, n - from, false, &back));
    wn_str_puts(out, back);
    wn_str_putc(out, '\n');
    wn_free(back);
    return wn_str_check(out);
}

static wn_err decode_one(const block *b, scratch *s, const char *p, size_t len, uint64_t line,
                         wn_str *out)
{
    char where[512];
    json_t *list;
    snprintf(where, sizeof where, "%.480s:%llu", b->o->file, (unsigned long long)line);
    WN_TRY(wn_json_parse(&list, p, len, where));
    wn_err err = WN_OK;
    wn_ids_clear(&s->ids);
    if (!json_is_array(list))
        err = wn_fail(WN_EFORMAT, "%s: expected a list of token ids", where);
    for (size_t i = 0; i < json_array_size(list) && !err; i++) {
        const json_t *v = json_array_get(list, i);
        if (!json_is_integer(v) || json_integer_value(v) < 0 || json_integer_value(v) > INT32_MAX)
            err = wn_fail(WN_EFORMAT, "%s: expected token ids, element %zu is none", where, i + 1);
        else
            err = wn_ids_push(&s->ids, (int32_t)json_integer_value(v));
    }
    json_decref(list);
    return err ? err : wn_context(decode_ids(b, &s->ids, out), "%s", where);
}

static wn_err do_piece(void *ctx, size_t i, int thread)
{
    block *b = ctx;
    scratch *s = &b->scratch[thread];
    wn_str_clear(&b->out[i]);
    for (size_t k = i * PIECE; k < b->n && k < (i + 1) * PIECE; k++) {
        const char *p = b->bytes.p + b->text[k].start;
        size_t len = b->text[k].end - b->text[k].start;
        WN_TRY(b->o->decode ? decode_one(b, s, p, len, b->text[k].line, &b->out[i])
                            : encode_one(b, s, p, len, &b->out[i]));
    }
    return WN_OK;
}

/* ---- all texts
 * ------------------------------------------------------------------------------------ */

static wn_err flush(block *b, wn_out *out)
{
    size_t pieces = (b->n + PIECE - 1) / PIECE;
    WN_TRY(wn_par_for(pieces, do_piece, b));
    for (size_t i = 0; i < pieces; i++)
        WN_TRY(wn_out_write(out, b->out[i].p, b->out[i].len));
    b->n = 0;
    wn_str_clear(&b->bytes);
    return WN_OK;
}

static wn_err add(block *b, wn_out *out, wn_span s, uint64_t line)
{
    if (!WN_GROW(b->text, b->n, b->cap))
        return WN_ENOMEM;
    size_t start = b->bytes.len;
    wn_str_add(&b->bytes, s.p, s.len);
    WN_TRY(wn_str_check(&b->bytes));
    b->text[b->n++] = (text){start, b->bytes.len, line};
    return b->n == BLOCK || b->bytes.len >= BLOCK_BYTES ? flush(b, out) : WN_OK;
}

static wn_err all_lines(block *b, wn_out *out)
{
    wn_lines *l;
    wn_span line;
    wn_err err = WN_OK;
    WN_TRY(wn_lines_open(&l, b->o->file));
    while (!err && wn_lines_next(l, &line, &err))
        err = add(b, out, line, wn_lines_number(l));
    wn_lines_close(l);
    return err;
}

/* A field that winnow's rows do not know, out of the row's own JSON; *held keeps its text. */
static wn_err raw_field(const wn_tokenize_opts *o, const wn_row *row, wn_span *s, json_t **held)
{
    WN_TRY(wn_json_parse(held, row->raw.p, row->raw.len, o->file));
    const json_t *v = json_object_get(*held, o->field);
    if (!json_is_string(v))
        return wn_fail(WN_EFORMAT, "%s: row '%.*s': expected a text in the field '%.64s'", o->file,
                       (int)row->id.len, row->id.p, o->field);
    *s = (wn_span){json_string_value(v), json_string_length(v)};
    return WN_OK;
}

static wn_err field_of(const wn_tokenize_opts *o, const wn_row *row, wn_span *s, json_t **held)
{
    const struct {
        const char *name;
        wn_span value;
        bool there;
    } fields[] = {
        {"prompt", row->prompt, true},
        {"target", row->target, row->has_target},
        {"id", row->id, true},
        {"task", row->task, true},
        {"source", row->source, row->source.len > 0},
        {"category", row->category, row->category.len > 0},
    };
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        if (strcmp(o->field, fields[i].name))
            continue;
        *s = fields[i].value;
        return fields[i].there ? WN_OK
                               : wn_fail(WN_EFORMAT, "%s: row '%.*s' has no %s", o->file,
                                         (int)row->id.len, row->id.p, o->field);
    }
    return raw_field(o, row, s, held);
}

static wn_err all_rows(block *b, wn_out *out)
{
    wn_pool *pool;
    wn_row row = {0};
    wn_err err = WN_OK;
    WN_TRY(wn_pool_open(&pool, b->o->file, b->o->map, true));
    for (uint64_t i = 0; i < wn_pool_rows(pool) && !err; i++) {
        wn_span s;
        json_t *held = NULL;
        err = wn_pool_row(pool, i, &row);
        if (!err)
            err = field_of(b->o, &row, &s, &held);
        if (!err)
            err = add(b, out, s, i + 1);
        json_decref(held);
    }
    wn_row_free(&row);
    wn_pool_close(pool);
    return err;
}

static wn_err run(block *b)
{
    const char *path = b->o->common.out;
    wn_out out;
    WN_TRY(wn_out_refuse(path, b->o->common.overwrite));
    WN_NEW(b->scratch, (size_t)wn_par_threads());
    WN_TRY(wn_out_open(&out, path));
    wn_err err = b->o->field ? all_rows(b, &out) : all_lines(b, &out);
    if (!err)
        err = flush(b, &out);
    if (!err)
        return wn_out_commit(&out);
    wn_out_abort(&out);
    return err;
}

wn_err wn_tokenize_job(const wn_tokenize_opts *o)
{
    wn_tokenizer *t;
    block *b;
    if (!o->model || !o->file)
        return wn_fail(WN_EARG, "tokenize: expected a model and a file");
    if (o->decode && o->field)
        return wn_fail(WN_EUSE, "tokenize: decode reads lines of ids, not a field of rows");
    WN_TRY(wn_tokenizer_open(&t, o->model));
    b = wn_calloc(1, sizeof *b);
    wn_err err = b ? WN_OK : WN_ENOMEM;
    if (b) {
        b->o = o;
        b->t = t;
        err = run(b);
        for (int i = 0; b->scratch && i < wn_par_threads(); i++) {
            wn_token_work_free(&b->scratch[i].work);
            wn_ids_release(&b->scratch[i].ids);
        }
        for (size_t i = 0; i < BLOCK / PIECE; i++)
            wn_str_free(&b->out[i]);
        wn_free(b->scratch);
        wn_free(b->text);
        wn_str_free(&b->bytes);
        wn_free(b);
    }
    wn_tokenizer_close(t);
    return err;
}

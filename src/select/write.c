/* A selection on disk: the rows, how they were found, and the manifest. The rows come last, so that
 * a selection that is there has the other two beside it. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/file.h"
#include "io/json.h"
#include "io/manifest.h"
#include "select/select.h"

#define FORMAT "winnow-selection-1"

wn_err wn_picks_add(wn_picks *p, wn_pick pick)
{
    if (!WN_GROW(p->pick, p->n, p->cap))
        return WN_ENOMEM;
    p->pick[p->n++] = pick;
    return WN_OK;
}

void wn_picks_free(wn_picks *p)
{
    wn_free(p->pick);
    wn_free(p->list_row);
    wn_free(p->list_score);
    json_decref(p->about);
    *p = (wn_picks){0};
}

/* ---- rows ---- */

/* The members that a row of this selection gets: what it had of that name gives way. */
static bool ours(wn_span key, const wn_picks *all)
{
    bool score = wn_span_is(key, "score");
    return (score && (all->scored || all->Q)) ||
           (all->Q &&
            (wn_span_is(key, "hits") || wn_span_is(key, "query") || wn_span_is(key, "rank")));
}

/* The pool's line without its end. */
static void add_members(wn_str *line, wn_span raw, const wn_picks *all)
{
    wn_span key, value;
    size_t pos = 0;
    bool first = true;
    wn_str_putc(line, '{');
    while (wn_json_member(raw.p, raw.len, &pos, &key, &value)) {
        if (ours(key, all))
            continue;
        wn_str_puts(line, first ? "\"" : ", \"");
        wn_str_add(line, key.p, key.len);
        wn_str_puts(line, "\": ");
        wn_str_add(line, value.p, value.len);
        first = false;
    }
}

static void add_about(wn_str *line, const wn_candidates *c, uint64_t i)
{
    wn_span id = wn_store_id(c->store, i);
    wn_str_puts(line, "{\"id\": ");
    wn_json_string(line, id.p, id.len);
    wn_str_puts(line, ", \"task\": ");
    wn_json_cstring(line, wn_store_task(c->store, i));
}

/* Ids of candidate and query by where they are known from. */
static void add_id(wn_str *line, const wn_candidates *c, uint64_t i, bool query)
{
    wn_row work = {0};
    wn_span id = query ? wn_candidate_query(c, i, &work) : wn_candidate_id(c, i, &work);
    wn_json_string(line, id.p, id.len);
    wn_row_free(&work);
}

static void row_line(wn_str *line, const wn_candidates *c, const wn_picks *all, const wn_pick *p)
{
    if (c->pool)
        add_members(line, wn_pool_raw(c->pool, wn_candidate_pool_row(c, p->row)), all);
    else
        add_about(line, c, p->row);
    if (all->scored) {
        wn_str_puts(line, ", \"score\": ");
        wn_json_f64(line, p->score);
    }
    if (p->hits) {
        wn_str_printf(line, ", \"hits\": %" PRIu32 ", \"score\": ", p->hits);
        wn_json_f64(line, p->score);
        wn_str_puts(line, ", \"query\": ");
        add_id(line, c, p->query, true);
        wn_str_printf(line, ", \"rank\": %" PRIu32, p->rank);
    }
    wn_str_puts(line, "}\n");
}

static wn_err write_rows(wn_out *out, wn_sha *sha, const wn_picks *p, const wn_candidates *c)
{
    wn_str line = {0};
    wn_err err = WN_OK;
    for (size_t i = 0; i < p->n && err == WN_OK; i++) {
        wn_str_clear(&line);
        row_line(&line, c, p, &p->pick[i]);
        err = wn_str_check(&line);
        if (err == WN_OK) {
            wn_sha_add(sha, line.p, line.len);
            err = wn_out_write(out, line.p, line.len);
        }
    }
    wn_str_free(&line);
    return err;
}

/* ---- hits ---- */

static void add_hits(wn_str *line, const wn_picks *p, const wn_candidates *c, size_t q, size_t from,
                     size_t to)
{
    wn_str_putc(line, '[');
    for (size_t i = from; i < to; i++) {
        int64_t row = p->list_row[q * p->width + i];
        if (row == WN_NO_ROW)
            break;
        wn_str_puts(line, i > from ? ", {\"id\": " : "{\"id\": ");
        add_id(line, c, (uint64_t)row, false);
        wn_str_puts(line, ", \"score\": ");
        wn_json_f64(line, p->list_score[q * p->width + i]);
        wn_str_putc(line, '}');
    }
    wn_str_putc(line, ']');
}

/* A line a query, as `winnow search` writes it, cut where the union was, and what would have been
 * next. */
static wn_err write_hits(const char *path, const wn_picks *p, const wn_candidates *c)
{
    wn_out out;
    wn_str line = {0};
    WN_TRY(wn_out_open(&out, path));
    wn_err err = WN_OK;
    size_t next = p->used + 3 < p->width ? p->used + 3 : p->width;
    for (size_t q = 0; q < p->Q && err == WN_OK; q++) {
        wn_str_clear(&line);
        wn_str_puts(&line, "{\"query\": ");
        add_id(&line, c, q, true);
        wn_str_puts(&line, ", \"hits\": ");
        add_hits(&line, p, c, q, 0, p->used);
        wn_str_puts(&line, ", \"next\": ");
        add_hits(&line, p, c, q, p->used, next);
        wn_str_puts(&line, "}\n");
        err = wn_str_check(&line);
        if (err == WN_OK)
            err = wn_out_write(&out, line.p, line.len);
    }
    wn_str_free(&line);
    if (err == WN_OK)
        return wn_out_commit(&out);
    wn_out_abort(&out);
    return err;
}

/* ---- manifest; a failed json_pack or set shows as NULL at the end of its chain ---- */

static json_t *number(uint64_t n)
{
    return json_integer((json_int_t)n);
}

static json_t *options(const wn_select_opts *o, bool lists)
{
    json_t *m = json_pack("{s:s}", "dedup", o->dedup ? o->dedup : "exact");
    if (o->budget)
        json_object_set_new(m, "budget", number(o->budget));
    if (o->budget_tokens)
        json_object_set_new(m, "budget_tokens", number(o->budget_tokens));
    if (o->per_task)
        json_object_set_new(m, "per_task", number(o->per_task));
    if (o->near_cosine != 0)
        json_object_set_new(m, "near_cosine", json_real(o->near_cosine));
    if (o->n_avoid_store)
        json_object_set_new(m, "avoid_cosine",
                            json_real(o->avoid_cosine != 0 ? o->avoid_cosine : WN_AVOID_COSINE));
    if (lists)
        json_object_set_new(m, "k", number(o->k ? o->k : WN_HITS));
    if (lists && o->store)
        json_object_set_new(m, "metric", json_string(o->metric ? o->metric : "l2"));
    return m;
}

static json_t *input(uint64_t rows, const char *sha)
{
    return json_pack("{s:I, s:s}", "rows", (json_int_t)rows, "sha256", sha);
}

/* A store by its hash, as wn_store_sha gives it. */
static wn_err store_input(json_t **out, const char *store)
{
    char hex[WN_SHA_HEX], *path;
    WN_TRY(wn_path_join(&path, store, "store.json"));
    wn_err err = wn_sha_file(hex, path);
    wn_free(path);
    WN_TRY(err);
    *out = json_pack("{s:s, s:s}", "name", wn_path_base(store), "sha256", hex);
    return *out ? WN_OK : wn_fail(WN_ENOMEM, "out of memory: the selection's manifest");
}

static wn_err vector_inputs(json_t *m, const wn_select_opts *o)
{
    json_t *one, *list = json_array();
    if (o->n_avoid_store)
        json_object_set(m, "avoid_store", list);
    wn_err err = WN_OK;
    for (size_t i = 0; i < o->n_avoid_store && err == WN_OK; i++) {
        err = store_input(&one, o->avoid_store[i]);
        if (err == WN_OK)
            json_array_append_new(list, one);
    }
    json_decref(list);
    if (err != WN_OK || !o->vectors)
        return err;
    WN_TRY(store_input(&one, o->vectors));
    json_object_set_new(m, "vectors", one);
    return WN_OK;
}

static wn_err inputs(json_t *m, const wn_candidates *c, const wn_select_inputs *in,
                     const wn_select_opts *o)
{
    char hex[WN_SHA_HEX];
    if (c->pool) {
        WN_TRY(wn_pool_sha(c->pool, hex));
        json_object_set_new(m, "pool", input(wn_pool_rows(c->pool), hex));
    }
    if (c->store)
        json_object_set_new(m, "store", input(wn_store_rows(c->store), wn_store_sha(c->store)));
    if (c->queries)
        json_object_set_new(m, "queries",
                            input(wn_store_rows(c->queries), wn_store_sha(c->queries)));
    if (c->query_rows) {
        WN_TRY(wn_pool_sha(c->query_rows, hex));
        json_object_set_new(m, "queries", input(wn_pool_rows(c->query_rows), hex));
    }
    if (c->tokenizer_sha[0])
        json_object_set_new(
            m, "tokens_of",
            json_pack("{s:s, s:s}", "name", wn_path_base(o->model), "sha256", c->tokenizer_sha));
    json_t *avoid = json_array();
    json_object_set_new(m, "avoid", avoid);
    for (size_t i = 0; i < in->n_avoid; i++) {
        WN_TRY(wn_pool_sha(in->avoid[i], hex));
        json_t *one = input(wn_pool_rows(in->avoid[i]), hex);
        json_object_set_new(one, "name", json_string(wn_path_base(wn_pool_path(in->avoid[i]))));
        json_array_append_new(avoid, one);
    }
    return vector_inputs(m, o);
}

static json_t *counts_of(const wn_picks *p, const wn_candidates *c, const wn_constraint_counts *n)
{
    json_t *m = json_pack("{s:I, s:I, s:I, s:I, s:I}", "candidates", (json_int_t)n->candidates,
                          "duplicates", (json_int_t)n->duplicates, "vetoed", (json_int_t)n->vetoed,
                          "eligible", (json_int_t)c->left, "rows", (json_int_t)p->n);
    if (c->tokens)
        json_object_set_new(m, "tokens", number(p->tokens));
    return m;
}

static json_t *tasks_of(const wn_picks *p, const wn_candidates *c)
{
    json_t *m = json_object();
    for (size_t i = 0; i < p->n; i++) {
        const char *task = wn_candidate_task(c, p->pick[i].row);
        json_int_t n = json_integer_value(json_object_get(m, task));
        json_object_set_new(m, task, json_integer(n + 1));
    }
    return m;
}

static json_t *veto(const wn_veto *v)
{
    json_t *m =
        json_pack("{s:s, s:s, s:s}", "id", v->id, "by", v->by, "kind", wn_veto_kind_name(v->kind));
    if (v->words)
        json_object_set_new(m, "words", json_string(v->words));
    else
        json_object_set_new(m, "score", json_real(v->score));
    return m;
}

static json_t *vetoes(const wn_constraint_counts *n)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n->veto.n && i < WN_VETO_SHOWN; i++)
        json_array_append_new(list, veto(&n->veto.v[i]));
    return list;
}

static json_t *compared(const wn_constraint_counts *n)
{
    const wn_compared *c = &n->compared;
    json_t *kinds = json_object();
    for (int k = 0; k < WN_VETO_KINDS; k++)
        json_object_set_new(kinds, wn_veto_kind_name((wn_veto_kind)k), number(n->by_kind[k]));
    json_t *m =
        json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o}", "target_rows", (json_int_t)c->rows,
                  "wordless", (json_int_t)c->wordless, "runs", (json_int_t)c->runs, "stretches",
                  (json_int_t)c->stretches, "wholes", (json_int_t)c->wholes, "sets",
                  (json_int_t)c->sets, "vectors", (json_int_t)c->vectors, "found", kinds);
    if (c->rows)
        json_object_set_new(m, "run_words", number(c->run_words));
    return m;
}

/* Every struck-out row with its counterpart, a line each. */
static wn_err write_avoided(const char *path, const wn_vetoes *all)
{
    wn_out out;
    wn_str line = {0};
    WN_TRY(wn_out_open(&out, path));
    wn_err err = WN_OK;
    for (size_t i = 0; i < all->n && err == WN_OK; i++) {
        json_t *m = veto(&all->v[i]);
        wn_str_clear(&line);
        err = wn_json_dump(&line, m, 0, false);
        json_decref(m);
        wn_str_putc(&line, '\n');
        if (err == WN_OK)
            err = wn_str_check(&line);
        if (err == WN_OK)
            err = wn_out_write(&out, line.p, line.len);
    }
    wn_str_free(&line);
    if (err == WN_OK)
        return wn_out_commit(&out);
    wn_out_abort(&out);
    return err;
}

static wn_err manifest(json_t **out, const wn_picks *p, const wn_candidates *c,
                       const wn_constraint_counts *counts, const wn_select_inputs *in,
                       const wn_select_opts *o, const char *sha)
{
    json_t *m, *from = json_object();
    WN_TRY(wn_manifest_new(&m, FORMAT, &o->common, NULL));
    json_object_set_new(m, "strategy", json_string(o->strategy));
    json_object_set_new(m, "options", options(o, p->Q > 0));
    json_object_set_new(m, "inputs", from);
    json_object_set_new(m, "counts", counts_of(p, c, counts));
    json_object_set_new(m, "tasks", tasks_of(p, c));
    json_object_set_new(m, "compared", compared(counts));
    json_object_set_new(m, "vetoed", vetoes(counts));
    json_object_set_new(m, "sha256", json_string(sha));
    if (p->about)
        json_object_set(m, "about", p->about);
    if (p->Q)
        json_object_set_new(m, "lists",
                            json_pack("{s:I, s:I, s:b}", "queries", (json_int_t)p->Q,
                                      "hits_a_query", (json_int_t)p->used, "best_only",
                                      p->best_only));
    wn_err err = wn_selection_shares(m, p, c, o->k ? o->k : WN_HITS);
    if (err == WN_OK)
        err = inputs(from, c, in, o);
    if (err != WN_OK)
        json_decref(m);
    else
        *out = m;
    return err;
}

/* ---- all of it ---- */

static int by_place(const void *a, const void *b)
{
    uint64_t x = ((const wn_pick *)a)->place, y = ((const wn_pick *)b)->place;
    return x < y ? -1 : x > y;
}

static wn_err write_beside(const wn_picks *p, const wn_candidates *c,
                           const wn_constraint_counts *counts, const wn_select_inputs *in,
                           const wn_select_opts *o, const char *sha)
{
    wn_str path = {0};
    json_t *m = NULL;
    wn_str_printf(&path, "%s.hits.jsonl", o->common.out);
    wn_err err = wn_str_check(&path);
    if (err == WN_OK)
        err = p->Q ? write_hits(path.p, p, c) : wn_remove_tree(path.p);
    wn_str_clear(&path);
    wn_str_printf(&path, "%s.avoided.jsonl", o->common.out);
    if (err == WN_OK)
        err = wn_str_check(&path);
    if (err == WN_OK)
        err = in->n_avoid || o->n_avoid_store ? write_avoided(path.p, &counts->veto)
                                              : wn_remove_tree(path.p);
    if (err == WN_OK)
        err = manifest(&m, p, c, counts, in, o, sha);
    wn_str_clear(&path);
    wn_str_printf(&path, "%s.manifest.json", o->common.out);
    if (err == WN_OK)
        err = wn_str_check(&path);
    if (err == WN_OK)
        err = wn_manifest_write(path.p, m);
    json_decref(m);
    wn_str_free(&path);
    return err;
}

wn_err wn_selection_write(wn_picks *p, const wn_candidates *c, const wn_constraint_counts *counts,
                          const wn_select_inputs *in, const wn_select_opts *o)
{
    for (size_t i = 0; i < p->n; i++) {
        p->pick[i].place = wn_candidate_pool_row(c, p->pick[i].row);
        p->tokens += c->tokens ? c->tokens[p->pick[i].row] : 0;
    }
    qsort(p->pick, p->n, sizeof *p->pick, by_place);
    wn_out out;
    wn_sha *sha;
    char hex[WN_SHA_HEX];
    WN_TRY(wn_out_open(&out, o->common.out));
    wn_err err = wn_sha_new(&sha);
    if (err == WN_OK) {
        err = write_rows(&out, sha, p, c);
        wn_sha_hex(sha, hex);
    }
    if (err == WN_OK && out.path)
        err = write_beside(p, c, counts, in, o, hex);
    if (err == WN_OK)
        return wn_out_commit(&out);
    wn_out_abort(&out);
    return err;
}

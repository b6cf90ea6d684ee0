/* `winnow explain`: why a row was chosen, or why it was not; and, without a row, `winnow tasks`:
 * which tasks the selection comes from. The answer is put together as JSON
 * from the selection, its manifest and its hits; the text for people is printed from that. */
#include <string.h>

#include "base/mem.h"
#include "io/file.h"
#include "report/chosen.h"
#include "select/select.h"

struct explain {
    const char *id;
    json_t *manifest, *row, *veto, *queries, *displaced, *missed;
};

static wn_err nomem(void)
{
    return wn_fail(WN_ENOMEM, "out of memory: an explanation");
}

/* ---- the row ---- */

static wn_err find_row(void *ctx, const json_t *line, bool *stop)
{
    struct explain *e = ctx;
    char *id;
    WN_TRY(wn_chosen_id(&id, line));
    *stop = strcmp(id, e->id) == 0;
    wn_free(id);
    if (*stop)
        e->row = json_incref((json_t *)line);
    return WN_OK;
}

/* ---- the queries' lists ---- */

static size_t place_in(const json_t *hits, const char *id)
{
    for (size_t i = 0; i < json_array_size(hits); i++) {
        const char *there = json_string_value(json_object_get(json_array_get(hits, i), "id"));
        if (there && strcmp(there, id) == 0)
            return i;
    }
    return SIZE_MAX;
}

/* What the query would have taken next, had this row not been there. */
static int add_displaced(struct explain *e, const json_t *line)
{
    const json_t *next = json_array_get(json_object_get(line, "next"), 0);
    if (!next)
        return 0;
    const char *id = json_string_value(json_object_get(next, "id"));
    if (!id)
        return 0;
    for (size_t i = 0; i < json_array_size(e->displaced); i++)
        if (strcmp(json_string_value(json_object_get(json_array_get(e->displaced, i), "id")), id) ==
            0)
            return 0;
    return json_array_append_new(e->displaced, json_pack("{s:s, s:O, s:O}", "id", id, "score",
                                                         json_object_get(next, "score"), "query",
                                                         json_object_get(line, "query")));
}

static wn_err look_in_list(void *ctx, const json_t *line, bool *stop)
{
    (void)stop;
    struct explain *e = ctx;
    const json_t *hits = json_object_get(line, "hits"), *next = json_object_get(line, "next");
    bool missed = false;
    size_t at = place_in(hits, e->id), rank = at + 1;
    if (at == SIZE_MAX) {
        missed = true;
        hits = next;
        at = place_in(next, e->id);
        rank = json_array_size(json_object_get(line, "hits")) + at + 1;
    }
    if (at == SIZE_MAX)
        return WN_OK;
    json_t *entry =
        json_pack("{s:O, s:I, s:O}", "query", json_object_get(line, "query"), "rank",
                  (json_int_t)rank, "score", json_object_get(json_array_get(hits, at), "score"));
    if (json_array_append_new(missed ? e->missed : e->queries, entry) != 0)
        return nomem();
    return !missed && add_displaced(e, line) != 0 ? nomem() : WN_OK;
}

/* A candidate that would have been next is displaced only if no other query brought it in. */
static wn_err drop_chosen(void *ctx, const json_t *line, bool *stop)
{
    (void)stop;
    struct explain *e = ctx;
    char *id;
    WN_TRY(wn_chosen_id(&id, line));
    size_t at = place_in(e->displaced, id);
    if (at != SIZE_MAX)
        json_array_remove(e->displaced, at);
    wn_free(id);
    return WN_OK;
}

/* ---- the answer ---- */

static wn_err find_veto(void *ctx, const json_t *line, bool *stop)
{
    struct explain *e = ctx;
    char *id;
    WN_TRY(wn_chosen_id(&id, line));
    *stop = strcmp(id, e->id) == 0;
    wn_free(id);
    if (*stop)
        e->veto = json_incref((json_t *)line);
    return WN_OK;
}

/* The manifest shows the first of the struck-out rows, a file beside the selection all. */
static wn_err look_for_veto(struct explain *e, const char *selection)
{
    const json_t *list = json_object_get(e->manifest, "vetoed");
    size_t at = place_in(list, e->id);
    char *avoided;
    if (at != SIZE_MAX)
        e->veto = json_incref(json_array_get(list, at));
    if (e->veto || e->row)
        return WN_OK;
    WN_TRY(wn_chosen_path(&avoided, selection, ".avoided.jsonl"));
    wn_err err = wn_file_exists(avoided) ? wn_chosen_lines(avoided, find_veto, e) : WN_OK;
    wn_free(avoided);
    return err;
}

static wn_err gather(struct explain *e, const char *selection)
{
    e->queries = json_array();
    e->displaced = json_array();
    e->missed = json_array();
    if (!e->queries || !e->displaced || !e->missed)
        return nomem();
    WN_TRY(wn_chosen_manifest(&e->manifest, selection));
    WN_TRY(wn_chosen_lines(selection, find_row, e));
    WN_TRY(look_for_veto(e, selection));
    if (!json_object_get(e->manifest, "lists"))
        return WN_OK;
    char *hits;
    WN_TRY(wn_chosen_path(&hits, selection, ".hits.jsonl"));
    wn_err err = wn_chosen_lines(hits, look_in_list, e);
    wn_free(hits);
    return err == WN_OK && json_array_size(e->displaced)
               ? wn_chosen_lines(selection, drop_chosen, e)
               : err;
}

/* Strategies that look at nothing give no scores. */
static bool scored(const json_t *manifest)
{
    const char *name = json_string_value(json_object_get(manifest, "strategy"));
    const wn_strategy *s;
    return name && (wn_strategy_find(&s, name) != WN_OK || s->feature != WN_FEATURE_NONE);
}

static json_t *answer(const struct explain *e)
{
    const json_t *counts = json_object_get(e->manifest, "counts");
    json_t *m = json_pack("{s:s, s:b, s:O}", "id", e->id, "chosen", e->row != NULL, "strategy",
                          json_object_get(e->manifest, "strategy"));
    if (!m)
        return NULL;
    /* Without lists and scores of the strategy's own, members of these names are the pool's. */
    static const char *const of_row[] = {"task", "score", "hits", "query", "rank"};
    size_t known = json_object_get(e->manifest, "lists") ? 5 : scored(e->manifest) ? 2 : 1;
    for (size_t i = 0; i < known && e->row; i++)
        if (json_object_get(e->row, of_row[i]))
            json_object_set(m, of_row[i], json_object_get(e->row, of_row[i]));
    json_object_set(m, "rows", json_object_get(counts, "rows"));
    json_object_set(m, "eligible", json_object_get(counts, "eligible"));
    json_object_set(m, "seed", json_object_get(e->manifest, "seed"));
    if (e->veto)
        json_object_set(m, "vetoed", e->veto);
    const json_t *lists = json_object_get(e->manifest, "lists");
    if (lists) {
        json_object_set(m, "hits_a_query", json_object_get(lists, "hits_a_query"));
        json_object_set(m, "queries", e->queries);
        json_object_set(m, "displaced", e->displaced);
        json_object_set(m, "next_for", e->missed);
    }
    return m;
}

/* ---- for people ---- */

static const char *string(const json_t *o, const char *key)
{
    const char *s = json_string_value(json_object_get(o, key));
    return s ? s : "";
}

static long long number(const json_t *o, const char *key)
{
    return (long long)json_integer_value(json_object_get(o, key));
}

static void list_hits(wn_str *s, const json_t *list, const char *what, bool ranked)
{
    enum { SHOWN = 20 };
    size_t n = json_array_size(list);
    for (size_t i = 0; i < n && i < SHOWN; i++) {
        const json_t *h = json_array_get(list, i);
        wn_str_printf(s, "  %s ", what);
        if (ranked)
            wn_str_printf(s, "%s at rank %lld, score ", string(h, "query"), number(h, "rank"));
        else
            wn_str_printf(s, "%s (query %s), score ", string(h, "id"), string(h, "query"));
        wn_json_f64(s, json_number_value(json_object_get(h, "score")));
        wn_str_putc(s, '\n');
    }
    if (n > SHOWN)
        wn_str_printf(s, "  and %zu more\n", n - SHOWN);
}

static void chosen_text(wn_str *s, const json_t *a)
{
    wn_str_printf(s, "%s was chosen by %s", string(a, "id"), string(a, "strategy"));
    if (*string(a, "task"))
        wn_str_printf(s, " from task %s", string(a, "task"));
    wn_str_putc(s, '\n');
    if (!json_object_get(a, "queries")) {
        wn_str_printf(
            s,
            "  one of %lld rows out of %lld that could be chosen, seed %lld; no row was compared\n",
            number(a, "rows"), number(a, "eligible"), number(a, "seed"));
        return;
    }
    size_t n = json_array_size(json_object_get(a, "queries"));
    wn_str_printf(s, "  %zu %s it among the %lld nearest rows:\n", n,
                  n == 1 ? "query has" : "queries have", number(a, "hits_a_query"));
    list_hits(s, json_object_get(a, "queries"), "query", true);
    if (json_array_size(json_object_get(a, "displaced")))
        wn_str_puts(s, "  without it these would have been next:\n");
    list_hits(s, json_object_get(a, "displaced"), "row", false);
}

static void other_text(wn_str *s, const json_t *a)
{
    const json_t *veto = json_object_get(a, "vetoed");
    wn_str_printf(s, "%s was not chosen by %s\n", string(a, "id"), string(a, "strategy"));
    if (veto) {
        const json_t *score = json_object_get(veto, "score");
        if (score)
            wn_str_printf(s, "  its %s is like that of the target row %s: %.3f\n",
                          strcmp(string(veto, "kind"), "near") == 0 ? "prompt" : "vector",
                          string(veto, "by"), json_number_value(score));
        else
            wn_str_printf(s, "  it shares text with the target row %s: \"%s\"\n",
                          string(veto, "by"), string(veto, "words"));
        return;
    }
    if (!json_object_get(a, "queries")) {
        wn_str_printf(s, "  %lld rows out of %lld were; no row was compared\n", number(a, "rows"),
                      number(a, "eligible"));
        return;
    }
    list_hits(s, json_object_get(a, "queries"), "among the hits, but over a cap or budget: query",
              true);
    list_hits(s, json_object_get(a, "next_for"), "just behind the last hit of query", true);
    if (!json_array_size(json_object_get(a, "queries")) &&
        !json_array_size(json_object_get(a, "next_for")))
        wn_str_printf(s, "  no query has it among its %lld nearest rows or just behind\n",
                      number(a, "hits_a_query"));
}

static wn_err print(char **text, const json_t *a, bool json)
{
    wn_str s = {0};
    if (json)
        WN_TRY(wn_json_dump(&s, a, 2, false));
    else if (json_is_true(json_object_get(a, "chosen")))
        chosen_text(&s, a);
    else
        other_text(&s, a);
    if (json)
        wn_str_putc(&s, '\n');
    wn_err err = wn_str_check(&s);
    *text = err == WN_OK ? wn_strndup(s.p, s.len) : NULL;
    wn_str_free(&s);
    return *text ? WN_OK : WN_ENOMEM;
}

/* ---- the whole selection ---- */

static double share(const json_t *o, const char *key)
{
    return 100 * json_number_value(json_object_get(o, key));
}

static void tasks_text(wn_str *s, const json_t *shares)
{
    enum { SHOWN = 20 };
    size_t n = json_array_size(shares);
    wn_str_puts(s, "      rows   share  of the pool   times  task\n");
    for (size_t i = 0; i < n && i < SHOWN; i++) {
        const json_t *t = json_array_get(shares, i);
        wn_str_printf(s, "%10lld  %5.1f%%       %5.1f%%  %6.1f  %s\n", number(t, "rows"),
                      share(t, "share"), share(t, "pool_share"), share(t, "times") / 100,
                      string(t, "task"));
    }
    if (n > SHOWN)
        wn_str_printf(s, "and %zu tasks more\n", n - SHOWN);
}

static void by_k_text(wn_str *s, const json_t *by_k)
{
    size_t i, j;
    json_t *at, *v;
    wn_str_puts(s,
                "with the first k hits of each query, the shares of these tasks, in their order:\n"
                "         k      rows  %\n");
    json_array_foreach((json_t *)by_k, i, at)
    {
        wn_str_printf(s, "%10lld%10lld ", number(at, "k"), number(at, "rows"));
        json_array_foreach(json_object_get(at, "shares"), j, v)
            wn_str_printf(s, " %5.1f", share(v, "share"));
        wn_str_putc(s, '\n');
    }
}

static wn_err explain_all(char **text, const wn_explain_opts *o)
{
    json_t *m;
    wn_str s = {0};
    WN_TRY(wn_chosen_manifest(&m, o->selection));
    const json_t *shares = json_object_get(m, "shares"), *by_k = json_object_get(m, "by_k");
    json_t *a = json_pack("{s:O*, s:O*, s:O*, s:O*}", "strategy", json_object_get(m, "strategy"),
                          "counts", json_object_get(m, "counts"), "shares", shares, "by_k", by_k);
    wn_err err = a ? WN_OK : nomem();
    if (!err && !json_is_array(shares))
        err =
            wn_fail(WN_EFORMAT, "%s.manifest.json: expected shares of tasks; select the rows again",
                    o->selection);
    if (!err && o->json)
        err = print(text, a, true);
    if (!err && !o->json) {
        wn_str_printf(&s, "%lld rows of %zu tasks, chosen by %s\n",
                      number(json_object_get(m, "counts"), "rows"), json_array_size(shares),
                      string(m, "strategy"));
        tasks_text(&s, shares);
        if (json_is_array(by_k))
            by_k_text(&s, by_k);
        err = wn_str_check(&s);
        if (!err && !(*text = wn_strndup(s.p, s.len)))
            err = WN_ENOMEM;
    }
    wn_str_free(&s);
    json_decref(a);
    json_decref(m);
    return err;
}

wn_err wn_explain_job(const wn_explain_opts *o, char **text)
{
    *text = NULL;
    if (!o->selection)
        return wn_fail(WN_EARG, "explain: a selection is required");
    if (!o->id)
        return explain_all(text, o);
    struct explain e = {.id = o->id};
    wn_err err = gather(&e, o->selection);
    if (err == WN_OK) {
        json_t *a = answer(&e);
        err = a ? print(text, a, o->json) : nomem();
        json_decref(a);
    }
    json_decref(e.manifest);
    json_decref(e.row);
    json_decref(e.veto);
    json_decref(e.queries);
    json_decref(e.displaced);
    json_decref(e.missed);
    return err;
}

#include "store/queries.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/file.h"

static wn_err make_scratch(wn_queries *q)
{
    const char *tmp = getenv("TMPDIR");
    wn_str s = {0};
    wn_str_printf(&s, "%s/winnow-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    wn_err err = wn_str_check(&s);
    if (err == WN_OK && !mkdtemp(s.p))
        err = wn_fail(WN_EIO, "%s: cannot make a temporary folder: %s", s.p, strerror(errno));
    if (err == WN_OK)
        q->scratch = s.p;
    else
        wn_str_free(&s);
    return err;
}

static wn_err embed(wn_queries *q, const wn_store *s, const wn_queries_from *from)
{
    const json_t *m = wn_store_manifest(s), *normalize = json_object_get(m, "normalize");
    if (!from->model)
        return wn_fail(
            WN_EARG,
            "%s: expected a store (a folder with store.json), or rows and --model to embed them",
            from->path);
    WN_TRY(make_scratch(q));
    wn_embed_opts e = {.common = *from->common,
                       .model = from->model,
                       .pool = from->path,
                       .map = from->map,
                       .pooling = json_string_value(json_object_get(m, "pooling")),
                       .normalize = normalize ? (json_is_true(normalize) ? "yes" : "no") : NULL,
                       .text = json_string_value(json_object_get(m, "text")),
                       .tmpl = json_string_value(json_object_get(m, "template")),
                       .system = json_string_value(json_object_get(m, "system")),
                       .prompt = json_string_value(json_object_get(m, "prompt")),
                       .layer = (int)json_integer_value(json_object_get(m, "layer")),
                       .max_tokens = (size_t)json_integer_value(json_object_get(m, "max_tokens"))};
    e.common.out = q->scratch;
    WN_TRY(wn_embed_job(&e));
    return wn_store_open(&q->store, q->scratch);
}

wn_err wn_queries_open(wn_queries *q, const wn_store *s, const wn_queries_from *from)
{
    *q = (wn_queries){0};
    bool rows = from->model || strcmp(from->path, "-") == 0 || wn_file_exists(from->path);
    if (wn_is_store(from->path) || !rows)
        WN_TRY(wn_store_open(&q->store, from->path));
    else
        WN_TRY(embed(q, s, from));
    if (wn_store_rows(q->store) == 0)
        return wn_fail(WN_EARG, "%s: no query", from->path);
    wn_err err = from->steps ? wn_store_match_steps(s, q->store) : wn_store_match(s, q->store);
    if (err != WN_OK)
        return q->scratch ? wn_context(err, "%s, embedded by %s", from->path, from->model) : err;
    return wn_store_verify_all(q->store);
}

void wn_queries_close(wn_queries *q)
{
    wn_store_close(q->store);
    if (q->scratch)
        wn_remove_tree(q->scratch);
    wn_free(q->scratch);
    *q = (wn_queries){0};
}

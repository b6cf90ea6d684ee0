#include <stdio.h>
#include <string.h>

#include "io/manifest.h"
#include "store/reader.h"

/* What gives a number its meaning. Everything else in a manifest (the rows, their source, the
 * tool's version, threads) may differ between a pool's store and its queries'. */
static const char *const meaning[] = {
    "kind", "dim",         "model",  "adapter",  "pooling", "normalize",  "layer",
    "text", "template",    "params", "quantity", "project", "projection", "projection_seed",
    "adam", "new_adapter", "system"};

/* A file stands for its bytes: of {"path", "sha256", ...} only the hash counts. */
static const json_t *essence(const json_t *v)
{
    const json_t *sha = json_object_get(v, "sha256");
    return sha ? sha : v;
}

static const json_t *member(const wn_store *s, const char *name)
{
    const json_t *v = json_object_get(s->manifest, name);
    return v ? v : json_object_get(json_object_get(s->manifest, "options"), name);
}

static bool imported(const wn_store *s)
{
    const char *kind = json_string_value(json_object_get(s->manifest, "kind"));
    return kind && strcmp(kind, "imported") == 0;
}

static wn_err match(const wn_store *a, const wn_store *b, bool steps)
{
    if (a->shape.dim != b->shape.dim)
        return wn_fail(WN_EARG, "%s and %s cannot be compared: dim is %u there, but %u here",
                       a->path, b->path, a->shape.dim, b->shape.dim);
    if (imported(a) || imported(b)) /* nothing is known of the vectors but their length */
        return WN_OK;
    for (size_t i = 0; i < sizeof meaning / sizeof *meaning; i++) {
        const json_t *x = member(a, meaning[i]), *y = member(b, meaning[i]);
        if ((!x && !y) || (steps && x && !y && strcmp(meaning[i], "adam") == 0))
            continue;
        json_t *one = json_object(), *two = json_object();
        if (x)
            json_object_set(one, meaning[i], (json_t *)essence(x));
        if (y)
            json_object_set(two, meaning[i], (json_t *)essence(y));
        char pair[512];
        snprintf(pair, sizeof pair, "%s and %s cannot be compared", a->path, b->path);
        wn_err err = wn_manifest_match(one, two, pair, NULL);
        json_decref(one);
        json_decref(two);
        WN_TRY(err);
    }
    return WN_OK;
}

wn_err wn_store_match(const wn_store *a, const wn_store *b)
{
    return match(a, b, false);
}

wn_err wn_store_match_steps(const wn_store *rows, const wn_store *queries)
{
    return match(rows, queries, true);
}

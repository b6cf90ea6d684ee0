/* `winnow store merge`: stores of the same making, one after the other. */
#include <inttypes.h>
#include <string.h>

#include "base/keyed.h"
#include "base/mem.h"
#include "base/report.h"
#include "io/file.h"
#include "io/folder.h"
#include "io/manifest.h"
#include "store/format.h"
#include "store/store.h"

enum { CHUNK_BYTES = 1 << 20 };

struct merge {
    const wn_store_merge_opts *o;
    wn_store **store;
    uint64_t rows;
    const char *dtype;
    json_t *manifest;
    wn_store_writer *writer;
};

/* ---- do they belong together ---- */

static const char *kind_of(const wn_store *s)
{
    const char *kind = json_string_value(json_object_get(wn_store_manifest(s), "kind"));
    return kind ? kind : "";
}

static wn_err check(struct merge *m)
{
    const wn_store *first = m->store[0];
    for (size_t i = 0; i < m->o->n_stores; i++) {
        const wn_store *s = m->store[i];
        m->rows += wn_store_rows(s);
        WN_TRY(wn_store_match(first, s));
        if (strcmp(kind_of(first), kind_of(s)) != 0)
            return wn_fail(WN_EARG, "%s: kind is %s there, but %s in %s", wn_store_path(first),
                           kind_of(first), kind_of(s), wn_store_path(s));
        if (!m->o->store_dtype && strcmp(wn_store_dtype(first), wn_store_dtype(s)) != 0)
            return wn_fail(WN_EARG,
                           "%s: dtype is %s there, but %s in %s; --store-dtype says which it is to "
                           "be",
                           wn_store_path(first), wn_store_dtype(first), wn_store_dtype(s),
                           wn_store_path(s));
    }
    m->dtype = m->o->store_dtype ? m->o->store_dtype : wn_store_dtype(first);
    return WN_OK;
}

static wn_span id_at(const struct merge *m, uint64_t row, const wn_store **s)
{
    size_t i = 0;
    while (row >= wn_store_rows(m->store[i]))
        row -= wn_store_rows(m->store[i++]);
    *s = m->store[i];
    return wn_store_id(*s, row);
}

/* An id stands for one row; 16 bytes a row to find out. */
static wn_err check_ids(const struct merge *m)
{
    wn_keyed *id;
    uint64_t n = 0;
    const wn_store *a, *b;
    wn_err err = WN_OK;
    WN_NEW(id, m->rows + 1);
    for (size_t i = 0; i < m->o->n_stores; i++)
        for (uint64_t r = 0; r < wn_store_rows(m->store[i]); r++, n++) {
            wn_span text = wn_store_id(m->store[i], r);
            id[n] = (wn_keyed){wn_hash64(text.p, text.len, 0), n};
        }
    wn_keyed_sort(id, n);
    for (uint64_t i = 1; i < n && err == WN_OK; i++)
        for (uint64_t j = i; j > 0 && id[j - 1].key == id[i].key && err == WN_OK; j--) {
            wn_span x = id_at(m, id[j - 1].row, &a), y = id_at(m, id[i].row, &b);
            if (wn_span_same(x, y))
                err = wn_fail(WN_EARG, "%s: row %.*s: %s has a row of that id too",
                              wn_store_path(b), (int)y.len, y.p, wn_store_path(a));
        }
    wn_free(id);
    return err;
}

/* ---- the manifest: what all have in common, and each one's own ---- */

static bool of_the_files(const char *key)
{
    static const char *const keys[] = {"format", "dim",         "dtype", "shard_rows",
                                       "rows",   "sums_sha256", "files"};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (strcmp(key, keys[i]) == 0)
            return true;
    return false;
}

static bool common(const struct merge *m, const char *key, const json_t *value)
{
    for (size_t i = 1; i < m->o->n_stores; i++)
        if (!json_equal(value, json_object_get(wn_store_manifest(m->store[i]), key)))
            return false;
    return true;
}

static wn_err make_manifest(struct merge *m)
{
    json_t *all = json_object(), *list = json_array();
    const char *key;
    json_t *value;
    int bad = !all || !list;
    m->manifest = all;
    for (size_t i = 0; i < m->o->n_stores && !bad; i++) {
        const wn_store *s = m->store[i];
        json_t *own = json_pack("{s:I, s:s, s:s}", "rows", (json_int_t)wn_store_rows(s), "dtype",
                                wn_store_dtype(s), "sha256", wn_store_sha(s));
        json_object_foreach((json_t *)wn_store_manifest(s), key, value)
        {
            bool shared = common(m, key, json_object_get(wn_store_manifest(m->store[0]), key));
            if (!of_the_files(key))
                bad |= json_object_set(shared ? all : own, key, value);
        }
        bad |= json_array_append_new(list, own);
    }
    bad |= json_object_set_new(all, "merged", list);
    return bad ? wn_fail(WN_ENOMEM, "out of memory: the manifest of %s", m->o->common.out) : WN_OK;
}

/* ---- rows ---- */

static wn_err add_rows(struct merge *m, const wn_store *s, uint64_t first, size_t n, float *v)
{
    bool as_is = strcmp(m->dtype, wn_store_dtype(s)) == 0;
    WN_TRY(as_is ? wn_store_verify(s, first, n) : wn_store_read(v, s, first, n));
    for (uint64_t r = first; r < first + n; r++) {
        const char *task = wn_store_task(s, r);
        wn_store_row row = {.vector = as_is ? NULL : v + (r - first) * wn_store_dim(s),
                            .packed = as_is ? wn_store_packed(s, r) : NULL,
                            .id = wn_store_id(s, r),
                            .task = {task, strlen(task)},
                            .tokens = wn_store_tokens(s, r),
                            .loss = wn_store_loss(s, r),
                            .margin = wn_store_margin(s, r),
                            .text_hash = wn_store_text_hash(s, r)};
        WN_TRY(wn_store_writer_add(m->writer, &row));
    }
    return WN_OK;
}

static wn_err write_rows(struct merge *m, uint64_t done)
{
    size_t dim = wn_store_dim(m->store[0]), most = CHUNK_BYTES / (dim * sizeof(float)) + 1;
    uint64_t before = 0;
    float *v = wn_malloc(most * dim * sizeof *v);
    wn_err err = v ? WN_OK : WN_ENOMEM;
    for (size_t i = 0; i < m->o->n_stores && err == WN_OK; i++) {
        const wn_store *s = m->store[i];
        uint64_t rows = wn_store_rows(s), r = done > before ? done - before : 0;
        for (; r < rows && err == WN_OK;) {
            size_t n = rows - r < most ? (size_t)(rows - r) : most;
            wn_store_ahead(s, r + n, 4 * n);
            err = add_rows(m, s, r, n, v);
            wn_store_behind(s, r, n);
            r += n;
            if (err == WN_OK)
                err = wn_progress("merge", "rows", before + r, m->rows, NULL);
        }
        before += rows;
    }
    wn_free(v);
    return err;
}

static wn_err merge(struct merge *m)
{
    const wn_store_merge_opts *o = m->o;
    uint64_t done = 0;
    WN_NEW(m->store, o->n_stores + 1);
    for (size_t i = 0; i < o->n_stores; i++)
        WN_TRY(wn_store_open_packed(&m->store[i], o->stores[i]));
    WN_TRY(check(m));
    WN_TRY(check_ids(m));
    WN_TRY(make_manifest(m));
    WN_TRY(wn_store_writer_open(&m->writer, o->common.out, m->manifest, wn_store_dim(m->store[0]),
                                &(wn_store_layout){m->dtype, o->shard_bytes}, o->common.overwrite,
                                &done));
    wn_err err = write_rows(m, done);
    if (err == WN_OK) {
        err = wn_store_writer_finish(m->writer, NULL);
        m->writer = NULL;
    }
    return err;
}

wn_err wn_store_merge_job(const wn_store_merge_opts *o)
{
    struct merge m = {.o = o};
    if (o->n_stores == 0 || !o->common.out)
        return wn_fail(WN_EARG, "store merge: %s",
                       o->n_stores ? "--out is missing" : "a store is required");
    for (size_t i = 0; i < o->n_stores; i++)
        if (wn_same_place(o->stores[i], o->common.out))
            return wn_fail(WN_EARG, "%s: a store cannot be merged into itself", o->stores[i]);
    wn_err err = merge(&m);
    wn_store_writer_close(m.writer);
    for (size_t i = 0; m.store && i < o->n_stores; i++)
        wn_store_close(m.store[i]);
    wn_free(m.store);
    json_decref(m.manifest);
    return err;
}

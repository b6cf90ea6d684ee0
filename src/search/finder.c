#include "search/finder.h"

#include <string.h>

#include "base/mem.h"
#include "base/report.h"
#include "search/code_file.h"

enum { WORTH_FLOATS = 16 << 20 }; /* below, codes are made in the time a file takes to be opened */

struct wn_finder {
    const wn_store *store;
    wn_metric metric;
    wn_coded_rows rows;
    bool part; /* of the store's */
    char *path;
    wn_code_use use;
};

static wn_err path_of(char **path, const wn_store *s, bool cosine)
{
    wn_str text = {0};
    size_t len = strlen(wn_store_path(s));
    while (len > 1 && wn_store_path(s)[len - 1] == '/')
        len--;
    wn_str_add(&text, wn_store_path(s), len);
    wn_str_puts(&text, cosine ? ".codes-cosine" : ".codes-l2");
    WN_TRY(wn_str_check(&text));
    *path = text.p;
    return WN_OK;
}

bool wn_codes_worth(uint64_t rows, size_t dim)
{
    return rows * dim >= WORTH_FLOATS;
}

/* The file that is there, or that one is to be made. */
static wn_err take(wn_finder *f, bool prepare)
{
    const char *why;
    bool worth = prepare || wn_codes_worth(f->rows.N, f->rows.D);
    WN_TRY(path_of(&f->path, f->store, f->rows.cosine));
    WN_TRY(wn_code_file_open(&f->use.file, &why, f->path, &f->rows));
    if (why)
        wn_message("%s: %s%s", f->path, why, worth ? "; it is made again" : "");
    f->use.keep = worth ? f->path : NULL;
    f->use.must = prepare;
    return WN_OK;
}

static bool large(const wn_coded_rows *r)
{
    return r->N * r->D * sizeof(float) > wn_machine_memory() / 2;
}

wn_err wn_finder_open(wn_finder **out, const wn_store *s, wn_metric metric, bool prepare)
{
    wn_finder *f;
    WN_NEW(f, 1);
    f->store = s;
    f->metric = metric;
    f->rows = (wn_coded_rows){.sha = wn_store_sha(s),
                              .rows = wn_store_rows(s) ? wn_store_vector(s, 0) : NULL,
                              .N = wn_store_rows(s),
                              .D = wn_store_dim(s),
                              .cosine = metric == WN_METRIC_COSINE,
                              .store = s};
    f->rows.large = large(&f->rows);
    wn_err e = take(f, prepare);
    if (e) {
        wn_finder_close(f);
        return e;
    }
    *out = f;
    return WN_OK;
}

void wn_finder_close(wn_finder *f)
{
    if (!f)
        return;
    wn_code_file_close(f->use.file);
    wn_free(f->path);
    wn_free(f);
}

void wn_finder_part(wn_finder *f, uint64_t first, uint64_t n)
{
    WN_ASSERT(WN_FINDER_STEP % WN_CODE_ROWS == 0 && n > 0 && first + n <= wn_store_rows(f->store));
    f->rows.rows = wn_store_vector(f->store, first);
    f->rows.first = first;
    f->rows.N = n;
    f->rows.large = large(&f->rows);
    f->part = true;
    f->use.keep = NULL;
}

wn_err wn_finder_find(wn_finder *f, const wn_asked *ask, size_t n)
{
    wn_err e = wn_search_coded(&f->rows, &f->use, ask, n, f->metric);
    if (!f->use.damaged)
        return e;
    wn_message("%s: it is damaged%s", f->path, f->part ? "" : "; it is made again");
    wn_code_file_close(f->use.file);
    f->use.file = NULL;
    f->use.keep = f->part ? NULL : f->path;
    return wn_search_coded(&f->rows, &f->use, ask, n, f->metric);
}

wn_err wn_finder_prepare(wn_finder *f)
{
    wn_code_use *u = &f->use;
    return u->file ? WN_OK : wn_search_coded(&f->rows, u, NULL, 0, f->metric);
}

wn_err wn_finder_context(wn_err e, const wn_finder *f, const wn_store *queries)
{
    const char *path = wn_store_path(f->store);
    if (e == WN_OK || strncmp(wn_error_text(), path, strlen(path)) == 0)
        return e;
    return queries ? wn_context(e, "%s, %s", path, wn_store_path(queries))
                   : wn_context(e, "%s", path);
}

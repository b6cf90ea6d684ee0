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
    char *path;
    wn_code_file *file; /* NULL: none */
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

/* Makes the file and opens it. */
static wn_err make(wn_finder *f, bool needed)
{
    const char *why;
    wn_err e = wn_code_file_write(f->path, &f->rows);
    if ((e == WN_EIO || e == WN_EARG) && !needed) {
        wn_message("%s; every search makes the codes anew", wn_error_text());
        return WN_OK;
    }
    WN_TRY(wn_context(e, "%s", wn_store_path(f->store)));
    return wn_code_file_open(&f->file, &why, f->path, &f->rows);
}

static wn_err take(wn_finder *f, bool prepare)
{
    const char *why;
    bool worth = f->rows.N * f->rows.D >= WORTH_FLOATS;
    WN_TRY(path_of(&f->path, f->store, f->rows.cosine));
    WN_TRY(wn_code_file_open(&f->file, &why, f->path, &f->rows));
    if (why)
        wn_message("%s: %s%s", f->path, why, worth || prepare ? "; it is made again" : "");
    return f->file || !(worth || prepare) ? WN_OK : make(f, prepare);
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
                              .cosine = metric == WN_METRIC_COSINE};
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
    wn_code_file_close(f->file);
    wn_free(f->path);
    wn_free(f);
}

wn_err wn_finder_find(int64_t *row, double *score, wn_finder *f, const uint64_t *skip,
                      const float *query, size_t Q, size_t k)
{
    const wn_coded_rows *r = &f->rows;
    bool damaged;
    wn_err e = wn_search_coded(row, score, r->rows, r->N, skip, f->file, &damaged, query, Q, r->D,
                               k, f->metric);
    if (!damaged)
        return e;
    wn_message("%s: it is damaged; it is made again", f->path);
    wn_code_file_close(f->file);
    f->file = NULL;
    WN_TRY(make(f, false));
    return wn_search_coded(row, score, r->rows, r->N, skip, f->file, &damaged, query, Q, r->D, k,
                           f->metric);
}

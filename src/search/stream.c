/* The rows as one stream of windows. Where rows are read to be coded, a window of them is compared
 * with the store's checksums before anything is made of them, while the next is on its way from the
 * disk; codes that are to be kept are written a window at a time, so the first search of a store
 * and the making of its codes read the rows once, together. Kept codes of a store that memory
 * cannot hold are read in windows too; those of any other in one, which costs no thread a wait. */
#include "base/par.h"
#include "base/report.h"
#include "search/exact.h"

static const wn_store *store_of(const struct scan *s)
{
    return s->of->store;
}

/* Every thread has some pieces of each. */
static uint64_t window_pieces(const struct scan *s, size_t piece_rows)
{
    uint64_t least = 4 * (uint64_t)wn_par_threads(), all = (s->N + piece_rows - 1) / piece_rows;
    uint64_t pieces = WN_WINDOW_BYTES / (s->D * sizeof(float)) / piece_rows;
    pieces = pieces > least ? pieces : least;
    return pieces < all ? pieces : all;
}

static uint64_t window_rows(const struct scan *s)
{
    bool as_one = s->file ? !s->of->large : !store_of(s);
    return as_one && !s->writer ? s->N : window_pieces(s, s->piece_rows) * s->piece_rows;
}

static void ahead(const struct scan *s, uint64_t first, uint64_t n)
{
    if (s->file && s->of->large)
        wn_code_file_ahead(s->file, first / WN_CODE_ROWS, n / WN_CODE_ROWS);
    else if (!s->file && store_of(s))
        wn_store_ahead(s->of->store, first, n);
}

static void behind(const struct scan *s, uint64_t first, uint64_t n)
{
    if (!s->of->large)
        return;
    if (s->file)
        wn_code_file_behind(s->file, first / WN_CODE_ROWS, n / WN_CODE_ROWS);
    if (store_of(s))
        wn_store_behind(s->of->store, first, n);
}

/* ---- codes that are kept ---- */

/* What cannot be kept is an error only where it must be. */
static wn_err unkept(struct scan *s, wn_err e)
{
    if (!e || s->use->must || (e != WN_EIO && e != WN_EARG))
        return e;
    wn_message("%s; every search makes the codes anew", wn_error_text());
    wn_code_writer_abort(s->writer);
    s->writer = NULL;
    return WN_OK;
}

wn_err wn_scan_keep(struct scan *s, const wn_basis *b)
{
    size_t most = (size_t)window_pieces(s, WN_CODE_ROWS);
    return unkept(s, wn_code_writer_open(&s->writer, s->use->keep, s->of, b, most));
}

static wn_err kept(struct scan *s)
{
    const char *why;
    wn_err e = wn_code_writer_commit(s->writer);
    s->writer = NULL;
    if (e)
        return unkept(s, e);
    return wn_code_file_open(&s->file, &why, s->use->keep, s->of);
}

/* ---- all ---- */

/* n rows from s->from on. */
static wn_err scan_window(struct scan *s, uint64_t n)
{
    size_t pieces = (size_t)((n + s->piece_rows - 1) / s->piece_rows);
    if (store_of(s) && !s->file)
        WN_TRY(wn_store_verify(s->of->store, s->from, n));
    WN_TRY(wn_par_for(pieces, wn_scan_piece, s));
    WN_TRY(wn_scan_flush(s));
    return s->writer ? unkept(s, wn_code_writer_next(s->writer, pieces)) : WN_OK;
}

wn_err wn_scan_all(struct scan *s)
{
    uint64_t window = window_rows(s);
    wn_err e = WN_OK;
    s->done = 0;
    ahead(s, 0, window);
    for (s->from = 0; s->from < s->N && !e; s->from += window) {
        uint64_t left = s->N - s->from, n = left < window ? left : window;
        if (left > n)
            ahead(s, s->from + n, window);
        e = scan_window(s, n);
        behind(s, s->from, n);
    }
    for (size_t i = 0; i < (size_t)wn_par_threads(); i++)
        wn_scan_hand_over(s, &s->thread[i]);
    return !e && s->writer ? kept(s) : e;
}

/* The rows as one stream of windows, and each window as pieces that threads take in turn. Where
 * rows are read to be coded, a window of them is compared with the store's checksums before
 * anything is made of them, while the next is on its way from the disk; codes that are to be kept
 * are written a window at a time, so the first search of a store and the making of its codes read
 * the rows once, together. Kept codes of a store that memory cannot hold are read in windows too;
 * those of any other in one, which costs no thread a wait, and its pieces in an order of which any
 * run is spread evenly over the rows (near the golden section), so that what has been found tells
 * more and more of what there is to find (tighten.c). */
#include <math.h>

#include "base/par.h"
#include "base/report.h"
#include "search/exact.h"

static const wn_store *store_of(const struct scan *s)
{
    return s->of->store;
}

enum { SPREAD_PIECES = 64, MARKS = 10 };
/* Shares of the rows after which thresholds are raised. */
static const double mark[MARKS] = {1.0 / 256, 1.0 / 64, 1.0 / 32, 1.0 / 16, 1.0 / 8,
                                   1.0 / 4,   3.0 / 8,  1.0 / 2,  5.0 / 8,  3.0 / 4};

/* Every thread has some pieces of each. */
static uint64_t window_pieces(const struct scan *s)
{
    uint64_t least = 4 * (uint64_t)wn_par_threads(), all = (s->N + WN_CODE_ROWS - 1) / WN_CODE_ROWS;
    uint64_t pieces = WN_WINDOW_BYTES / (s->D * sizeof(float)) / WN_CODE_ROWS;
    pieces = pieces > least ? pieces : least;
    return pieces < all ? pieces : all;
}

static bool as_one(const struct scan *s)
{
    return !s->writer && (s->file ? !s->of->large : !store_of(s));
}

static uint64_t window_rows(const struct scan *s)
{
    return as_one(s) ? s->N : window_pieces(s) * WN_CODE_ROWS;
}

bool wn_scan_spread(const struct scan *s)
{
    return as_one(s) && s->N >= (uint64_t)SPREAD_PIECES * WN_CODE_ROWS;
}

static void ahead(const struct scan *s, uint64_t first, uint64_t n)
{
    if (s->file)
        wn_code_file_ahead(s->file, wn_scan_row(s, first) / WN_CODE_ROWS, n / WN_CODE_ROWS);
    else if (store_of(s))
        wn_store_ahead(s->of->store, wn_scan_row(s, first), n);
}

static void behind(const struct scan *s, uint64_t first, uint64_t n)
{
    if (!s->of->large)
        return;
    if (s->file)
        wn_code_file_behind(s->file, wn_scan_row(s, first) / WN_CODE_ROWS, n / WN_CODE_ROWS);
    if (store_of(s))
        wn_store_behind(s->of->store, wn_scan_row(s, first), n);
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
    size_t most = (size_t)window_pieces(s);
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

static size_t common(size_t a, size_t b)
{
    return b ? common(b, a % b) : a;
}

size_t wn_scan_stride(size_t n)
{
    size_t stride = n * 5 / 8 | 1;
    while (common(stride, n) != 1)
        stride += 2;
    return stride;
}

/* The window's pieces; where they are spread, in stages that end at a mark. */
static wn_err scan_pieces(struct scan *s)
{
    for (int i = s->stride > 1 ? 0 : MARKS; i <= MARKS; i++) {
        size_t end = i < MARKS ? (size_t)ceil(mark[i] * (double)s->pieces) : s->pieces;
        WN_TRY(wn_par_for(end - s->turn, wn_scan_piece, s));
        s->turn = end;
        if (end < s->pieces)
            WN_TRY(wn_scan_tighten(s));
    }
    return WN_OK;
}

/* n rows from s->from on. */
static wn_err scan_window(struct scan *s, uint64_t n)
{
    s->pieces = (size_t)((n + WN_CODE_ROWS - 1) / WN_CODE_ROWS);
    s->stride = wn_scan_spread(s) ? wn_scan_stride(s->pieces) : 1;
    s->turn = 0;
    if (store_of(s) && !s->file)
        WN_TRY(wn_store_verify(s->of->store, wn_scan_row(s, s->from), n));
    WN_TRY(scan_pieces(s));
    WN_TRY(wn_scan_flush(s));
    return s->writer ? unkept(s, wn_code_writer_next(s->writer, s->pieces)) : WN_OK;
}

/* Whether more rows are done than at another mark. */
static bool past_mark(const struct scan *s, int *at)
{
    int before = *at;
    while (*at < MARKS && (double)s->done >= mark[*at] * (double)s->N)
        ++*at;
    return *at > before && s->done < s->N;
}

wn_err wn_scan_all(struct scan *s)
{
    uint64_t window = window_rows(s);
    wn_err e = WN_OK;
    int at_mark = 0;
    s->done = 0;
    ahead(s, 0, window);
    for (s->from = 0; s->from < s->N && !e; s->from += window) {
        uint64_t left = s->N - s->from, n = left < window ? left : window;
        if (left > n)
            ahead(s, s->from + n, window);
        e = scan_window(s, n);
        if (!e && past_mark(s, &at_mark))
            e = wn_scan_tighten(s);
        behind(s, s->from, n);
    }
    for (size_t i = 0; i < (size_t)wn_par_threads(); i++)
        wn_scan_hand_over(s, &s->thread[i]);
    return !e && s->writer ? kept(s) : e;
}

/* A search while it runs: what exact.c, guess.c, span.c and stream.c share. */
#ifndef WN_SEARCH_EXACT_H
#define WN_SEARCH_EXACT_H

#include "search/codes.h"
#include "search/code_file.h"
#include "search/topk.h"

enum { WN_WINDOW_BYTES = 64 << 20 }; /* of rows that are read together (stream.c) */

struct query_state {
    wn_topk top;
    double norm; /* |q| */
    char busy;   /* a thread is changing it */
};

/* What a query may be answered with, and where the answer goes. */
struct wanted {
    const uint64_t *skip;
    int64_t *row;
    double *score;
    size_t k;
};

/* A candidate on its way to its query. */
struct found {
    double score;
    uint64_t row;
    size_t query;
};

/* Rows that have been filtered, from `first` on. */
struct scan_span {
    wn_scan_hit *hit; /* [n]; room for s->room_rows rows of all queries, and one */
    size_t n, asked;
    uint64_t first;
    const uint64_t *sum;        /* of their rows; NULL: they need no check */
    uint32_t row[WN_CODE_ROWS]; /* [asked] rows of hits, each once */
    double norm[WN_CODE_ROWS];  /* |x| of these; negative: not taken yet */
};

/* Of one thread. */
struct scan_thread {
    int8_t *code; /* of a span, with their facts */
    wn_row_facts *facts;
    wn_scan_facts *bound;
    struct scan_span span[2];
    int turn; /* the span that is not to be scored yet */
    float *scratch, *floor;
    struct found *found;
    size_t n_found;
    uint32_t *order, *place; /* scratch to sort them */
};

struct scan {
    const float *rows, *query; /* query: of this pass */
    const struct wanted *want; /* [Q] of this pass */
    const uint64_t *never;     /* rows that no query may find; NULL: there are none */
    uint64_t N, left;          /* left: rows that a query may find, at most */
    size_t Q, D, k;            /* Q: of this pass; k: the largest */
    wn_metric metric;
    const wn_coded_rows *of; /* whose rows */
    const wn_basis *basis;
    wn_code_file *file;     /* codes of all rows; NULL: they are made piece by piece */
    wn_code_writer *writer; /* keeps those that are made; NULL: nobody does */
    wn_code_use *use;       /* of the search */
    size_t room_rows;       /* rows whose hits there is room for; a multiple of WN_SCAN_ROWS */
    wn_coded_queries coded;
    struct query_state *state;
    double *guess; /* [Q], not in the states: those are being written */
    struct scan_thread *thread;
    uint64_t from; /* first row of the window at work (stream.c) */
    size_t pieces; /* of WN_CODE_ROWS rows that the window has */
    size_t stride; /* they are taken in these steps, around; 1: one behind the other */
    size_t turn;   /* pieces that earlier stages have taken */
    uint64_t done; /* rows, for progress */
    bool eager;    /* thresholds are not known yet: what is found counts at once */
    bool sure;     /* thresholds are to be such that nothing has to be searched again */
};

/* Starts the states of the queries, whose candidates go to cand [Q, wn_topk_cap(k)]. */
void wn_scan_begin(struct scan *s, wn_cand *cand);
/* Offers all rows to all queries, window by window (stream.c). Where a writer keeps their codes,
 * s->file is the finished file afterwards. */
wn_err wn_scan_all(struct scan *s);
/* Whether pieces are taken in an order that spreads any run of them evenly over the rows. */
bool wn_scan_spread(const struct scan *s);
/* One piece of the window at work, the i-th of this stage: a body of wn_par_for. */
wn_err wn_scan_piece(void *scan, size_t piece, int thread);
/* A row's place in the store. */
static inline uint64_t wn_scan_row(const struct scan *s, uint64_t row)
{
    return s->of->first + row;
}
/* Steps that go around n places and past each once, near n times the golden section: any run of
 * them is spread evenly over all. */
size_t wn_scan_stride(size_t n);
/* Where the i-th piece of this stage lies. */
static inline size_t wn_scan_place(const struct scan *s, size_t i)
{
    return (size_t)((unsigned __int128)(s->turn + i) % s->pieces * s->stride % s->pieces);
}
/* What is left of a window's hits. */
wn_err wn_scan_flush(struct scan *s);
/* Raises the queries' thresholds to what the rows that were offered so far allow (tighten.c). */
wn_err wn_scan_tighten(struct scan *s);
/* A span's first `hits` hits become those that some query wants; their rows are listed, and where
 * memory does not hold them the disk is asked for them. */
void wn_span_hits(struct scan_span *p, const struct scan *s, size_t hits, uint64_t first,
                  size_t rows, const uint64_t *sum);
/* Scores a span's hits, and none are left. A row that is not as its checksum says is an error. */
wn_err wn_span_score(struct scan *s, struct scan_thread *t, struct scan_span *p);
/* A candidate; the thread hands it over with others, at the latest when that is asked for. */
void wn_scan_found(struct scan *s, struct scan_thread *t, struct found f);
void wn_scan_hand_over(struct scan *s, struct scan_thread *t);
/* Makes ready to keep the codes at s->use->keep, in the basis b of all rows. */
wn_err wn_scan_keep(struct scan *s, const wn_basis *b);

/* What codes are made with, from rows that are spread evenly over all that are not skipped. One
 * that holds NaN or infinity is refused. */
wn_err wn_sample_basis(wn_basis *b, const struct scan *s);
/* For each query a score that a few more than k rows should reach, as floors of s->coded and in
 * s->guess; -infinity where a sample cannot tell. */
wn_err wn_guess(struct scan *s);

/* A rank among what was seen of which a query's k best, of which `share` should be there, exceed
 * once in many searches: four standard errors and some more above it. */
double wn_guess_rank(double share, double variance);
/* What the sample of a search of Q queries takes. */
double wn_sample_bytes(size_t Q, size_t D);

#endif

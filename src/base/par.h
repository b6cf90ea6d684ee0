/* Parallel-for over fixed pieces of work. Which thread runs a piece never shows in a result: a
 * piece is computed by one thread from start to end, and sums over pieces are the caller's, in the
 * pieces' order. Nested calls run serially. */
#ifndef WN_BASE_PAR_H
#define WN_BASE_PAR_H

#include <stddef.h>

#include "base/err.h"

/* i: the piece, 0 .. n-1; thread: 0 .. wn_par_threads()-1, for per-thread scratch. */
typedef wn_err (*wn_par_body)(void *ctx, size_t i, int thread);

/* Runs body for every piece. After a failure pieces not yet started are skipped; the failure of the
 * lowest failed piece is returned and its text carried to the calling thread. */
wn_err wn_par_for(size_t n, wn_par_body body, void *ctx);

/* The same for a body that cannot fail. */
typedef void (*wn_par_work)(void *ctx, size_t i, int thread);
void wn_par_do(size_t n, wn_par_work body, void *ctx);

int wn_par_threads(void);
/* How many threads a call would run on here: 1 inside a piece of work. */
int wn_par_width(void);
void wn_par_set_threads(int n); /* 0: all cores this process may use, shared evenly */
/* Processes, this one among them, that share the cores. */
void wn_par_set_sharers(int n);

#endif

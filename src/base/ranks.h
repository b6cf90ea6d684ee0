/* Ranks: several processes, on one machine or on many, that were started together (mpirun, srun)
 * and do one piece of work. The only place that knows MPI. In a process that was started alone, and
 * in a build without MPI, all of this holds with one rank, so callers have one way through.
 *
 * Starting, ending and the two numbers are public (winnow.h). Calls here are made by the thread
 * that started the ranks. "Collective" calls are made by all ranks, in the same order.
 *
 * Of files, rank 0 alone writes. How errors end a run: what all may run into (a file that is not
 * there) is agreed upon, and rank 0 says it; in a deal a rank's failure travels to rank 0 in the
 * place of its chunk; every other failure is said by the rank it happens on. Whichever it is, the
 * failing rank's wn_ranks_end(true) ends all, so nobody waits for one that is gone. */
#ifndef WN_BASE_RANKS_H
#define WN_BASE_RANKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

bool wn_ranks_built(void); /* with MPI */

/* How many processes were started together, as the launcher's variables say; 1: alone, or
 * WN_RANKS=1 says so. */
int wn_ranks_launched(void);
/* A message where the launcher keeps ranks from cores that nobody uses then: Open MPI's binds two
 * ranks of a machine to a core each. */
void wn_ranks_remark(void);

/* Collective. WN_OK if all ranks bring it; else every rank gets the failure of the lowest rank that
 * failed, its text with "rank N: " in front. */
wn_err wn_ranks_agree(wn_err mine);
/* This rank's last failure is known to rank 0 too: it was agreed upon, or sent. */
bool wn_ranks_told(void);
/* Refuses "-" where there are several ranks: only rank 0 has a standard input. NULL: no such file.
 */
wn_err wn_ranks_input(const char *option, const char *path);
/* Puts "rank N: " before the text of a failure that does not name one; nothing with one rank. */
wn_err wn_ranks_name(wn_err e);

/* Collective: n bytes of rank 0, or of another, or rank 0's string, to all. */
wn_err wn_ranks_share(void *bytes, size_t n);
wn_err wn_ranks_share_of(int from, void *bytes, size_t n);
wn_err wn_ranks_share_str(wn_str *s);

/* Chunks 0 .. chunks-1 of some work, whose results are wanted in order. */
typedef struct wn_deal {
    void *ctx;
    uint64_t chunks;
    /* On rank chunk % ranks: appends the result, below 2 GiB. */
    wn_err (*make)(void *ctx, uint64_t chunk, wn_str *result);
    /* On rank 0, chunk by chunk. */
    wn_err (*take)(void *ctx, uint64_t chunk, const char *result, size_t n);
} wn_deal;
/* Collective. Rank 0 gets the failure of the lowest failed chunk, as one process would; other ranks
 * only their own. Memory: a result on rank 0, two on the others, which stop while one is waiting to
 * be fetched. */
wn_err wn_ranks_deal(const wn_deal *d);

/* Lets what is under way go on; wn_par_for and wn_progress do, when the thread calls them that
 * started the ranks. */
void wn_ranks_poll(void);

/* Arrays of floats that are handed from each rank to the next (from the last to the first), each
 * at its own time; for two ranks or more. */
typedef struct wn_relay wn_relay;
wn_err wn_relay_new(wn_relay **out, size_t arrays); /* NULL with one rank */
void wn_relay_free(wn_relay *r);
/* Array i of the rank before goes to `to`, when it comes: not to be touched until it has arrived,
 * with its length, 0 .. n. */
wn_err wn_relay_expect(wn_relay *r, size_t i, float *to, size_t n);
wn_err wn_relay_arrived(wn_relay *r, size_t i, size_t *n);
/* Hands array i on: not to be changed until all are passed. */
wn_err wn_relay_pass(wn_relay *r, size_t i, const float *from, size_t n);
wn_err wn_relay_passed(wn_relay *r);

#endif

/* MPI_Init takes some 100 ms, so it is called only where a launcher's variables say that there are
 * others; a process that was started alone pays 2 ms of 14 for the libraries that are linked. */
#include "base/ranks.h"

#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/par.h"
#include "base/report.h"
#include "base/wire.h"

static int rank, ranks = 1, here = 1, cores, offered;
static bool started, told;
static pthread_t starter;

int wn_rank(void)
{
    return rank;
}

int wn_ranks(void)
{
    return ranks;
}

bool wn_ranks_built(void)
{
    return wn_wire_built();
}

bool wn_ranks_told(void)
{
    return told;
}

wn_err wn_ranks_name(wn_err e)
{
    return ranks == 1 || strncmp(wn_error_text(), "rank ", 5) == 0 ? e
                                                                   : wn_context(e, "rank %d", rank);
}

/* ---- starting, ending ---- */

/* Open MPI's mpirun; launchers that speak PMI (MPICH, Intel MPI); Slurm's srun, which tells every
 * task of a step how many there are whether or not it offers them PMI. WN_RANKS=1 lets the
 * processes that one of them started do each a work of its own. */
int wn_ranks_launched(void)
{
    const char *alone = getenv("WN_RANKS");
    static const char *const names[] = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"};
    if (alone && strcmp(alone, "1") == 0)
        return 1;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *text = getenv(names[i]);
        long n = text ? strtol(text, NULL, 10) : 0;
        if (n > 0 && n < INT_MAX)
            return (int)n;
    }
    return 1;
}

wn_err wn_ranks_start(void)
{
    int launched = wn_ranks_launched();
    wn_wire_place at;
    if (started || launched == 1)
        return WN_OK;
    if (!wn_wire_built())
        return wn_fail(WN_EARG,
                       "one of %d processes that were started together: this winnow was built "
                       "without MPI, expected a single one",
                       launched);
    WN_TRY(wn_wire_start(&at));
    if (at.ranks != launched) {
        wn_wire_end();
        return wn_fail(WN_EARG,
                       "one of %d processes that were started together, but MPI finds %d: expected "
                       "the mpirun of the MPI that winnow was built with, or srun with --mpi",
                       launched, at.ranks);
    }
    started = true;
    starter = pthread_self();
    rank = at.rank;
    ranks = at.ranks;
    here = at.here;
    cores = at.cores;
    offered = at.offered;
    wn_par_set_sharers(at.sharers);
    return WN_OK;
}

void wn_ranks_remark(void)
{
    if (rank == 0 && cores < offered && getenv("OMPI_COMM_WORLD_SIZE"))
        wn_message("the ranks of this machine, %d, may use %d of %d cores; mpirun --bind-to none "
                   "lets them use all",
                   here, cores, offered);
}

void wn_ranks_end(bool failed)
{
    if (!started)
        return;
    if (failed && !told)
        wn_wire_abort();
    wn_wire_end();
    started = told = false;
    rank = 0;
    ranks = 1;
    wn_par_set_sharers(1);
}

/* ---- all ---- */

wn_err wn_ranks_input(const char *option, const char *path)
{
    return ranks == 1 || !path || strcmp(path, "-") != 0
               ? WN_OK
               : wn_fail(WN_EARG, "%s -: expected a file that all ranks can read", option);
}

wn_err wn_ranks_share_of(int from, void *bytes, size_t n)
{
    return ranks == 1 ? WN_OK : wn_wire_share(bytes, n, from);
}

wn_err wn_ranks_share(void *bytes, size_t n)
{
    return wn_ranks_share_of(0, bytes, n);
}

wn_err wn_ranks_share_str(wn_str *s)
{
    uint64_t n = s->len;
    WN_TRY(wn_ranks_share(&n, sizeof n));
    if (rank != 0) {
        wn_str_clear(s);
        wn_str_room(s, n);
    }
    WN_TRY(wn_ranks_agree(wn_str_check(s)));
    return wn_ranks_share(s->p, n);
}

wn_err wn_ranks_agree(wn_err mine)
{
    struct {
        int code;
        char text[WN_ERROR_TEXT_BYTES];
    } said = {.code = mine};
    int lowest;
    if (ranks == 1)
        return mine;
    told = false;
    snprintf(said.text, sizeof said.text, "%s", wn_error_text());
    WN_TRY(wn_wire_min(&lowest, mine ? rank : INT_MAX));
    if (lowest == INT_MAX)
        return WN_OK;
    WN_TRY(wn_wire_share(&said, sizeof said, lowest));
    told = true;
    wn_error_set_text(said.text);
    if (strncmp(said.text, "rank ", 5) == 0)
        return (wn_err)said.code;
    return wn_context((wn_err)said.code, "rank %d", lowest);
}

void wn_ranks_poll(void)
{
    if (ranks > 1 && pthread_equal(pthread_self(), starter))
        wn_wire_poll();
}

/* ---- a deal ---- */

enum { HEAD = 8 }; /* a result travels behind its code; of a failure the text does */

static wn_err make_frame(wn_str *frame, const wn_deal *d, uint64_t chunk)
{
    int64_t code = WN_OK;
    wn_str_clear(frame);
    wn_str_add(frame, &code, HEAD);
    wn_err e = d->make(d->ctx, chunk, frame);
    if (!e)
        e = wn_str_check(frame);
    if (!e && frame->len > INT_MAX)
        e = wn_fail(WN_EARG, "a result of %zu bytes: ranks exchange less than 2 GiB", frame->len);
    if (!e)
        return WN_OK;
    code = e;
    wn_str_clear(frame);
    wn_str_add(frame, &code, HEAD);
    wn_str_puts(frame, wn_error_text());
    return e;
}

/* The result or failure of rank `from`, as it was sent. */
static wn_err receive_frame(wn_str *frame, int from)
{
    int64_t code;
    WN_TRY(wn_wire_receive(frame, from));
    if (frame->len < HEAD)
        return wn_fail(WN_EIO, "rank %d: a result of %zu bytes", from, frame->len);
    memcpy(&code, frame->p, HEAD);
    return code ? wn_fail((wn_err)code, "rank %d: %s", from, frame->p + HEAD) : WN_OK;
}

static wn_err collect(const wn_deal *d)
{
    wn_str frame = {0};
    wn_err e = WN_OK;
    for (uint64_t c = 0; c < d->chunks && !e; c++) {
        int from = (int)(c % (uint64_t)ranks);
        e = from == rank ? make_frame(&frame, d, c) : receive_frame(&frame, from);
        if (!e)
            e = d->take(d->ctx, c, frame.p + HEAD, frame.len - HEAD);
    }
    wn_str_free(&frame);
    return e;
}

/* One frame is under way while the next is made. */
static wn_err supply(const wn_deal *d)
{
    wn_str frame[2] = {{0}, {0}};
    wn_err made = WN_OK, e = WN_OK;
    int at = 0;
    for (uint64_t c = (uint64_t)rank; c < d->chunks && !made && !e; c += (uint64_t)ranks) {
        made = make_frame(&frame[at], d, c);
        e = wn_str_check(&frame[at]); /* no room, not even for a failure's text */
        if (!e)
            e = wn_wire_send(frame[at].p, frame[at].len);
        at = !at;
    }
    if (!e)
        e = wn_wire_sent();
    told = made && !e;
    wn_str_free(&frame[0]);
    wn_str_free(&frame[1]);
    return e ? e : made;
}

wn_err wn_ranks_deal(const wn_deal *d)
{
    return rank == 0 ? collect(d) : supply(d);
}

/* ---- a relay ---- */

wn_err wn_relay_new(wn_relay **out, size_t arrays)
{
    *out = NULL;
    return ranks == 1 ? WN_OK : wn_wire_relay_new(out, arrays);
}

void wn_relay_free(wn_relay *r)
{
    wn_wire_relay_free(r);
}

wn_err wn_relay_expect(wn_relay *r, size_t i, float *to, size_t n)
{
    return wn_wire_expect(r, i, to, n, (rank + ranks - 1) % ranks);
}

wn_err wn_relay_arrived(wn_relay *r, size_t i, size_t *n)
{
    return wn_wire_arrived(r, i, n);
}

wn_err wn_relay_pass(wn_relay *r, size_t i, const float *from, size_t n)
{
    return wn_wire_pass(r, i, from, n, (rank + 1) % ranks);
}

wn_err wn_relay_passed(wn_relay *r)
{
    return wn_wire_passed(r);
}

/* MPI's own calls wait by spinning, each on a core that may be another rank's. Here they are begun
 * and then looked after, with sleeps in between once a millisecond has passed. */
#define _GNU_SOURCE /* CPU sets */
#include "base/wire.h"

#ifdef WN_MPI
#include <mpi.h>
#include <sched.h>
#include <time.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/report.h"

enum { TAG_NONE, TAG_RESULT, TAG_RELAY, MOST_TAGS = 32767, PIECE = 1 << 30 };

static MPI_Request under_way = MPI_REQUEST_NULL;
static int under_way_code = MPI_SUCCESS;

bool wn_wire_built(void)
{
    return true;
}

static wn_err check(int code, const char *what)
{
    char text[MPI_MAX_ERROR_STRING] = "";
    int n = 0;
    if (code == MPI_SUCCESS)
        return WN_OK;
    MPI_Error_string(code, text, &n);
    return wn_fail(WN_EIO, "MPI: %s: %s", what, text);
}

/* Between two looks at something that has been waited for since `start`. */
static void rest(double start)
{
    if (wn_seconds() - start > 1e-3)
        nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
}

/* code: what the call that began the request has returned. */
static wn_err await_status(MPI_Request *r, int code, MPI_Status *status, const char *what)
{
    int done = 0;
    double start = wn_seconds();
    while (code == MPI_SUCCESS) {
        code = MPI_Test(r, &done, status);
        if (done)
            break;
        rest(start);
    }
    return check(code, what);
}

static wn_err await(MPI_Request *r, int code, const char *what)
{
    return await_status(r, code, MPI_STATUS_IGNORE, what);
}

/* ---- starting, ending ---- */

static wn_err count_cores(wn_wire_place *place, MPI_Comm here)
{
    cpu_set_t mine, any, launcher;
    CPU_ZERO(&mine);
    CPU_ZERO(&any);
    if (sched_getaffinity(0, sizeof mine, &mine) != 0)
        CPU_ZERO(&mine);
    MPI_Comm_size(here, &place->here);
    cpu_set_t *all = wn_calloc((size_t)place->here, sizeof *all);
    if (!all)
        return WN_ENOMEM;
    int code = MPI_Allgather(&mine, sizeof mine, MPI_BYTE, all, sizeof mine, MPI_BYTE, here);
    place->sharers = 0;
    for (int i = 0; i < place->here; i++) {
        place->sharers += CPU_EQUAL(&mine, &all[i]) != 0;
        CPU_OR(&any, &any, &all[i]);
    }
    place->cores = CPU_COUNT(&any);
    bool known = sched_getaffinity(getppid(), sizeof launcher, &launcher) == 0;
    place->offered = known ? CPU_COUNT(&launcher) : 0;
    wn_free(all);
    return check(code, "the cores of a machine's ranks");
}

wn_err wn_wire_start(wn_wire_place *place)
{
    int running = 0, level;
    MPI_Comm here;
    MPI_Initialized(&running);
    if (!running)
        WN_TRY(check(MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &level), "MPI_Init"));
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    MPI_Comm_rank(MPI_COMM_WORLD, &place->rank);
    MPI_Comm_size(MPI_COMM_WORLD, &place->ranks);
    int code = MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, place->rank, MPI_INFO_NULL,
                                   &here);
    WN_TRY(check(code, "the ranks of a machine"));
    wn_err e = count_cores(place, here);
    MPI_Comm_free(&here);
    return e;
}

void wn_wire_end(void)
{
    MPI_Request r;
    int code = MPI_Ibarrier(MPI_COMM_WORLD, &r);
    if (await(&r, code, "the end") != WN_OK)
        wn_wire_abort();
    MPI_Finalize();
}

void wn_wire_abort(void)
{
    MPI_Abort(MPI_COMM_WORLD, 1);
}

/* ---- all ---- */

wn_err wn_wire_share(void *bytes, size_t n, int from)
{
    for (size_t at = 0; at < n; at += PIECE) {
        MPI_Request r;
        int size = (int)(n - at < PIECE ? n - at : PIECE);
        int code = MPI_Ibcast((char *)bytes + at, size, MPI_BYTE, from, MPI_COMM_WORLD, &r);
        WN_TRY(await(&r, code, "bytes for all ranks"));
    }
    return WN_OK;
}

wn_err wn_wire_min(int *lowest, int mine)
{
    MPI_Request r;
    int code = MPI_Iallreduce(&mine, lowest, 1, MPI_INT, MPI_MIN, MPI_COMM_WORLD, &r);
    return await(&r, code, "a number of each rank");
}

/* ---- to rank 0 ---- */

wn_err wn_wire_send(const void *bytes, size_t n)
{
    WN_TRY(wn_wire_sent());
    under_way_code = MPI_Isend(bytes, (int)n, MPI_BYTE, 0, TAG_RESULT, MPI_COMM_WORLD, &under_way);
    return check(under_way_code, "bytes for rank 0");
}

wn_err wn_wire_sent(void)
{
    return await(&under_way, under_way_code, "bytes for rank 0");
}

void wn_wire_poll(void)
{
    int there;
    MPI_Iprobe(MPI_ANY_SOURCE, TAG_NONE, MPI_COMM_WORLD, &there, MPI_STATUS_IGNORE);
}

wn_err wn_wire_receive(wn_str *bytes, int from)
{
    MPI_Status status;
    MPI_Request r;
    int there = 0, n = 0, code = MPI_SUCCESS;
    double start = wn_seconds();
    while (code == MPI_SUCCESS && !there) {
        code = MPI_Iprobe(from, TAG_RESULT, MPI_COMM_WORLD, &there, &status);
        if (!there)
            rest(start);
    }
    WN_TRY(check(code, "bytes of a rank"));
    MPI_Get_count(&status, MPI_BYTE, &n);
    wn_str_clear(bytes);
    char *to = wn_str_room(bytes, (size_t)n);
    WN_TRY(wn_str_check(bytes));
    code = MPI_Irecv(to, n, MPI_BYTE, from, TAG_RESULT, MPI_COMM_WORLD, &r);
    return await(&r, code, "bytes of a rank");
}

/* ---- from rank to rank ---- */

struct wn_relay {
    size_t n;
    MPI_Request *in, *out;
    int *in_code, *out_code;
};

wn_err wn_wire_relay_new(struct wn_relay **out, size_t arrays)
{
    *out = NULL;
    if (arrays > MOST_TAGS - TAG_RELAY)
        return wn_fail(WN_EARG, "%zu arrays: MPI tells %d apart", arrays, MOST_TAGS - TAG_RELAY);
    WN_NEW(*out, 1);
    struct wn_relay *r = *out;
    r->n = arrays;
    WN_NEW(r->in, arrays + 1);
    WN_NEW(r->out, arrays + 1);
    WN_NEW(r->in_code, arrays + 1);
    WN_NEW(r->out_code, arrays + 1);
    for (size_t i = 0; i < arrays; i++)
        r->in[i] = r->out[i] = MPI_REQUEST_NULL;
    return WN_OK;
}

void wn_wire_relay_free(struct wn_relay *r)
{
    if (!r)
        return;
    wn_free(r->in);
    wn_free(r->out);
    wn_free(r->in_code);
    wn_free(r->out_code);
    wn_free(r);
}

wn_err wn_wire_expect(struct wn_relay *r, size_t i, float *to, size_t n, int from)
{
    r->in_code[i] =
        MPI_Irecv(to, (int)n, MPI_FLOAT, from, TAG_RELAY + (int)i, MPI_COMM_WORLD, &r->in[i]);
    return check(r->in_code[i], "an array of the rank before");
}

wn_err wn_wire_arrived(struct wn_relay *r, size_t i, size_t *n)
{
    MPI_Status status;
    int count = 0;
    WN_TRY(await_status(&r->in[i], r->in_code[i], &status, "an array of the rank before"));
    MPI_Get_count(&status, MPI_FLOAT, &count);
    *n = (size_t)count;
    return WN_OK;
}

wn_err wn_wire_pass(struct wn_relay *r, size_t i, const float *from, size_t n, int to)
{
    r->out_code[i] =
        MPI_Isend(from, (int)n, MPI_FLOAT, to, TAG_RELAY + (int)i, MPI_COMM_WORLD, &r->out[i]);
    return check(r->out_code[i], "an array for the rank behind");
}

wn_err wn_wire_passed(struct wn_relay *r)
{
    for (size_t i = 0; i < r->n; i++)
        WN_TRY(await(&r->out[i], r->out_code[i], "an array for the rank behind"));
    return WN_OK;
}

#else

bool wn_wire_built(void)
{
    return false;
}

wn_err wn_wire_start(wn_wire_place *place)
{
    *place = (wn_wire_place){0, 1, 1, 1, 0, 0};
    return WN_OK;
}

void wn_wire_end(void) {}

void wn_wire_abort(void) {}

wn_err wn_wire_share(void *bytes, size_t n, int from)
{
    (void)bytes;
    (void)n;
    (void)from;
    return WN_OK;
}

wn_err wn_wire_min(int *lowest, int mine)
{
    *lowest = mine;
    return WN_OK;
}

wn_err wn_wire_send(const void *bytes, size_t n)
{
    (void)bytes;
    (void)n;
    return WN_OK;
}

wn_err wn_wire_sent(void)
{
    return WN_OK;
}

void wn_wire_poll(void) {}

wn_err wn_wire_receive(wn_str *bytes, int from)
{
    (void)from;
    wn_str_clear(bytes);
    return WN_OK;
}

wn_err wn_wire_relay_new(struct wn_relay **out, size_t arrays)
{
    (void)arrays;
    *out = NULL;
    return WN_OK;
}

void wn_wire_relay_free(struct wn_relay *r)
{
    (void)r;
}

wn_err wn_wire_expect(struct wn_relay *r, size_t i, float *to, size_t n, int from)
{
    (void)r;
    (void)i;
    (void)to;
    (void)n;
    (void)from;
    return WN_OK;
}

wn_err wn_wire_arrived(struct wn_relay *r, size_t i, size_t *n)
{
    (void)r;
    (void)i;
    *n = 0;
    return WN_OK;
}

wn_err wn_wire_pass(struct wn_relay *r, size_t i, const float *from, size_t n, int to)
{
    (void)r;
    (void)i;
    (void)from;
    (void)n;
    (void)to;
    return WN_OK;
}

wn_err wn_wire_passed(struct wn_relay *r)
{
    (void)r;
    return WN_OK;
}
#endif

/* What ranks.c needs of MPI, and the only code that calls it. Without MPI everything but starting
 * is there and does nothing. Private to src/base; contracts of what is done with it: ranks.h. */
#ifndef WN_BASE_WIRE_H
#define WN_BASE_WIRE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/str.h"

bool wn_wire_built(void);
/* This process among the others. */
typedef struct wn_wire_place {
    int rank, ranks;
    int here;    /* ranks of this machine */
    int sharers; /* of these, those that may use just the cores that this one may */
    int cores;   /* that any of them may use */
    int offered; /* cores that the launcher itself may use; 0: unknown */
} wn_wire_place;
wn_err wn_wire_start(wn_wire_place *place); /* starts MPI, or finds it started */
void wn_wire_end(void);                     /* waits for all ranks */
void wn_wire_abort(void);

/* Collective. */
wn_err wn_wire_share(void *bytes, size_t n, int from);
wn_err wn_wire_min(int *lowest, int mine);

/* To rank 0, n below 2 GiB: waits until the bytes of the call before may be written to again, and
 * returns while these must not be. */
wn_err wn_wire_send(const void *bytes, size_t n);
wn_err wn_wire_sent(void);                       /* waits until no bytes are under way */
void wn_wire_poll(void);                         /* lets all that is under way go on */
wn_err wn_wire_receive(wn_str *bytes, int from); /* replaces the string */

/* The relay of ranks.h. */
struct wn_relay;
wn_err wn_wire_relay_new(struct wn_relay **out, size_t arrays);
void wn_wire_relay_free(struct wn_relay *r);
wn_err wn_wire_expect(struct wn_relay *r, size_t i, float *to, size_t n, int from);
wn_err wn_wire_arrived(struct wn_relay *r, size_t i, size_t *n);
wn_err wn_wire_pass(struct wn_relay *r, size_t i, const float *from, size_t n, int to);
wn_err wn_wire_passed(struct wn_relay *r);

#endif

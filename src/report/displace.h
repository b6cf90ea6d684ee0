/* A model moved along the map back of a regression: W + P w, the signs of P made again. The model
 * stays open; only the chosen parameters change. */
#ifndef WN_REPORT_DISPLACE_H
#define WN_REPORT_DISPLACE_H

#include "feature/project.h"
#include "report/real.h"

typedef struct wn_displace {
    wn_real *real; /* borrowed */
    wn_chosen chosen;
    wn_projection projection;
    size_t d;     /* numbers of a w */
    bool raw;     /* the store is not projected: P is the identity */
    bool adapter; /* only adapter parameters are chosen */
    float *start; /* [p] the chosen parameters as they were */
    double norm;  /* of them */
} wn_displace;

/* Whether the store's gradients are of a new adapter or the base's parameters, as which the model
 * must be opened before: in mo. */
void wn_displace_model_opts(wn_model_opts *mo, const wn_store *s);
/* Choice, projection and seed are read from the store's manifest. Refused: stores that were not
 * made by `winnow grad` or are preconditioned; a model or adapter with other bytes than the
 * store's. */
wn_err wn_displace_open(wn_displace *d, wn_real *real, const wn_store *s, uint64_t max_memory);
void wn_displace_close(wn_displace *d);

/* The directions P w of M subsets, w [M, ldw]: out [M, p] floats. */
wn_err wn_displace_directions(float *out, const wn_displace *d, const double *w, size_t ldw,
                              size_t M);
/* Chosen parameters := start + factor * direction [p]; NULL: start. */
void wn_displace_move(wn_displace *d, const float *direction, double factor);

#endif

/* The real model on a target's rows: losses and margins at whatever its parameters are now. */
#ifndef WN_REPORT_REAL_H
#define WN_REPORT_REAL_H

#include "feature/feed.h"
#include "store/store.h"

typedef struct wn_real {
    wn_model *model;
    wn_pool *rows;
    wn_feed feed;
    wn_feed_batch batch;
    wn_work *work;
    wn_quantity quantity; /* of the margins */
    uint64_t N;
    double *nll, *value; /* of a batch */
    uint32_t *count;
} wn_real;

/* model, adapter, template, max_tokens, max_target of o are read; quantity as the stores have it
 * (wn_real_quantity). */
wn_err wn_real_open(wn_real *r, const wn_train_opts *o, const char *rows, const char *map,
                    const wn_common *common, wn_quantity quantity);
/* The same with the parameters that a gradient store is of in memory as they can be moved. */
wn_err wn_real_open_for(wn_real *r, const wn_train_opts *o, const char *rows, const char *map,
                        const wn_common *common, wn_quantity quantity, const wn_store *moved);
void wn_real_close(wn_real *r);
/* loss, margin [N] out: means over each row's target tokens, in row order. Forward only; nothing is
 * opened or allocated again. */
wn_err wn_real_rows(double *loss, double *margin, wn_real *r);
/* Mean loss, and mean of log(1 + exp(-margin)), over the rows; work [2 N]. */
wn_err wn_real_means(double *loss, double *softplus, wn_real *r, double *work);

/* The margin that a gradient store is of; exact where it does not say. */
wn_quantity wn_real_quantity(const wn_store *s);

#endif

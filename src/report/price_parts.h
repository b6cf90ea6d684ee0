/* Between price.c, which adds parts up, price_rows.c (what is done with rows) and price_model.c
 * (what is done with the model). Private to them. */
#ifndef WN_REPORT_PRICE_PARTS_H
#define WN_REPORT_PRICE_PARTS_H

#include "report/pace.h"
#include "report/pace_data.h"
#include "report/sizes.h"

/* What was measured for an arm; arms that would measure the same share the first one's. */
typedef struct wn_arm_pace {
    wn_pace_scan scan;
    double select_sec; /* a row of the pool */
} wn_arm_pace;

typedef struct wn_pricing {
    const wn_plan_opts *o;
    wn_recipe r;
    wn_sizes s;
    double cores, nodes;
    double speed; /* of one machine, in units of this one */
    double core_gflops, disk_rate;
    size_t reference; /* the arm whose size those that fill match; SIZE_MAX: none */
    wn_pace_pool pool;
    wn_pace embed;
    wn_arm_pace *arm; /* [r.n_arms] */
    bool vectors;
    bool coded[2]; /* an arm before has left codes for l2 and ip, for cosine */
    json_t *parts, *rates;
    double sum[4]; /* hours, tokens, FLOPs, bytes of disk */
    double memory;
    uint64_t measured; /* how many measurements were begun */
} wn_pricing;

/* One line of the table; times are of this machine until it is added. */
typedef struct wn_price_line {
    const char *stage;
    char name[128];
    double runs, rows, tokens, flops, sec; /* of all runs */
    double io_bytes;                       /* read at the disk's rate at best */
    double disk, memory;
    char rate[160]; /* what the time derives from */
} wn_price_line;

/* What of a part several machines can share. winnow itself runs on one: each of the others is given
 * commands of the plan's parts. */
typedef enum wn_price_spread {
    WN_PRICE_ONE_MACHINE, /* nothing: a pool, a search, a training are made by one process */
    WN_PRICE_BY_ROWS,     /* pieces of the pool, whose stores `winnow store merge` joins */
    WN_PRICE_BY_RUNS      /* whole runs: no more machines than there are of these */
} wn_price_spread;

/* A part of the plan, its time scaled to the machines asked for. */
wn_err wn_price_add(wn_pricing *p, wn_price_line *l, wn_price_spread how);
/* A measured rate, for the list of them. */
wn_err wn_price_rate(wn_pricing *p, const char *name, double value, const char *unit,
                     const char *how);
/* Says what is being measured, and counts it. */
wn_err wn_price_tell(wn_pricing *p, const char *what);

/* Rows that an arm is trained on for one target. */
double wn_price_selected(const wn_pricing *p, size_t arm, size_t target);

wn_err wn_price_pool(wn_pricing *p);
wn_err wn_price_embed(wn_pricing *p);
wn_err wn_price_joining(wn_pricing *p, const char *name, double rows, double row_bytes);
wn_err wn_price_search(wn_pricing *p, size_t arm);
wn_err wn_price_select(wn_pricing *p, size_t arm);
wn_err wn_price_trainings(wn_pricing *p); /* gradients too */
wn_err wn_price_evals(wn_pricing *p);

#endif

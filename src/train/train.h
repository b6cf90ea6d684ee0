/* Training: the loop, its schedules, optimisers and checkpoints. The job's options are
 * wn_train_opts of winnow.h; these are the parts that other code and tests use. */
#ifndef WN_TRAIN_TRAIN_H
#define WN_TRAIN_TRAIN_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "train/optim.h"
#include "winnow.h"

/* Defaults: tokens computed at once, or those of the longest row; rows an update. */
enum { WN_TRAIN_TOKENS = 1024, WN_TRAIN_ROWS = 8 };

/* ---- schedules
 * -------------------------------------------------------------------------------------- */

typedef enum wn_schedule_kind {
    WN_SCHEDULE_CONSTANT,
    WN_SCHEDULE_LINEAR,
    WN_SCHEDULE_COSINE,
    WN_SCHEDULE_SLANTED
} wn_schedule_kind;
typedef struct wn_schedule {
    wn_schedule_kind kind;
    uint64_t steps, warmup;
    double cut,
        ratio; /* slanted triangular: 0.1 and 32 (Howard & Ruder 2018, as AllenNLP does it) */
} wn_schedule;
/* Zero members: linear, no warm-up, 0.1, 32. */
typedef struct wn_schedule_opts {
    const char *kind, *warmup; /* warmup: updates, or a share with % */
    double cut, ratio;
} wn_schedule_opts;
wn_err wn_schedule_parse(wn_schedule *s, const wn_schedule_opts *o, uint64_t steps);
const char *wn_schedule_name(const wn_schedule *s);
/* Factor of the base learning rate for update t = 0 .. steps-1. Constant, linear and cosine as
 * transformers' get_*_schedule_with_warmup: t/warmup first, then 1, (steps-t)/(steps-warmup) or
 * half a cosine. */
double wn_schedule_factor(const wn_schedule *s, uint64_t t);

/* What can be said of a training's options before model and rows are there: names, numbers, and
 * what goes together. */
wn_err wn_train_check(const wn_train_opts *o);

/* ---- checkpoints ---------------------------------------------------------------------------
 */

/* Where a run is. */
typedef struct wn_train_place {
    uint64_t step;      /* updates done */
    uint64_t epoch, at; /* of the next update's first row */
    uint64_t log_bytes; /* of train.jsonl that stand */
    uint64_t tokens;    /* trained on so far */
    double loss;        /* of the last update */
    double best;        /* lowest evaluation loss so far */
    uint64_t best_step; /* whose, 0: none yet */
    uint64_t bad;       /* evaluations since then */
} wn_train_place;

/* One safetensors file: trained values ("value:NAME"), what the optimiser keeps of each ("m:NAME",
 * ...) and the loop's place; replaced by rename. `key` is the hash of everything that decides the
 * run: another run's checkpoint is refused, naming it. */
/* o NULL: values alone. */
wn_err wn_checkpoint_write(const char *path, const wn_params *ps, const wn_optim *o,
                           const wn_train_place *at, const char *key);
wn_err wn_checkpoint_read(const char *path, wn_params *ps, wn_optim *o, wn_train_place *at,
                          const char *key);

#endif

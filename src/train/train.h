/* Training: the loop, its schedules, optimisers and checkpoints. The job's options are
 * wn_train_opts of winnow.h; these are the parts that other code and tests use. */
#ifndef WN_TRAIN_TRAIN_H
#define WN_TRAIN_TRAIN_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "model/params.h"

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
wn_err wn_schedule_parse(wn_schedule *s, const char *kind, const char *warmup, uint64_t steps);
/* Factor of the base learning rate for update t = 0 .. steps-1. Constant, linear and cosine as
 * transformers' get_*_schedule_with_warmup: t/warmup first, then 1, (steps-t)/(steps-warmup) or
 * half a cosine. */
double wn_schedule_factor(const wn_schedule *s, uint64_t t);

/* ---- optimisers
 * --------------------------------------------------------------------------------------- */

typedef enum wn_optim_kind { WN_OPTIM_ADAMW, WN_OPTIM_ADAM, WN_OPTIM_SGD } wn_optim_kind;
typedef struct wn_optim {
    wn_optim_kind kind;
    double b1, b2, eps, weight_decay, momentum;
    float **m, **v; /* [params.n]; NULL where not trained */
    size_t n;
    uint64_t t; /* updates done */
} wn_optim;
wn_err wn_optim_init(wn_optim *o, const char *kind, double weight_decay, const wn_params *ps);
void wn_optim_free(wn_optim *o);
/* One update of every trainable parameter. Gradients are read as grad * scale, each clamped to
 * +-clip_value if that is > 0. */
void wn_optim_step(wn_optim *o, wn_params *ps, double lr, double scale, double clip_value);
/* sqrt of the sum of squares of all gradients, in a fixed order. */
double wn_grad_norm(const wn_params *ps);

/* ---- order of rows
 * -------------------------------------------------------------------------------------- */

/* The row at position `at` of epoch `epoch` (0..): the identity, or a shuffle by (seed, epoch) into
 * order [n]. */
void wn_epoch_order(uint64_t *order, uint64_t n, uint64_t seed, uint64_t epoch, int shuffle);

/* ---- checkpoints
 * ------------------------------------------------------------------------------------------ */

/* One safetensors file: trained values, m and v of each, and the loop's place; replaced by rename.
 * `key` is the hash of everything that decides the run: another run's checkpoint is refused, naming
 * it. */
typedef struct wn_place {
    uint64_t step;      /* updates done */
    uint64_t log_bytes; /* of train.jsonl that stand */
    uint64_t tokens;    /* trained on so far */
    double loss_sum;    /* since the last log line */
} wn_place;
wn_err wn_checkpoint_write(const char *path, const wn_params *ps, const wn_optim *o,
                           const wn_place *at, const char *key);
wn_err wn_checkpoint_read(const char *path, wn_params *ps, wn_optim *o, wn_place *at,
                          const char *key);

#endif

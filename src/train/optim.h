/* Optimisers: one update of every trainable parameter from its gradient.
 *
 * Gradients are read as grad * scale, each element clamped to +-clip where clip > 0 (so clipping by
 * norm and by value cost no pass of their own). All state is allocated at init; a step allocates
 * nothing. Sums have a fixed order and rounding draws are functions of (seed, update, parameter,
 * element): no bit depends on the number of threads. */
#ifndef WN_TRAIN_OPTIM_H
#define WN_TRAIN_OPTIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "model/params.h"

typedef enum wn_optim_kind {
    WN_OPTIM_ADAMW,     /* Loshchilov & Hutter 2019, as torch.optim.AdamW */
    WN_OPTIM_ADAM,      /* Kingma & Ba 2015, as torch.optim.Adam: weight decay joins the gradient */
    WN_OPTIM_ADAFACTOR, /* Shazeer & Stern 2018 (arXiv 1804.04235), as transformers' Adafactor */
    WN_OPTIM_SGD,       /* as torch.optim.SGD, dampening 0 */
    WN_OPTIM_LION       /* Chen et al. 2023 (arXiv 2302.06675), algorithm 2 */
} wn_optim_kind;

/* 0 (or NULL) of a member: the default said beside it. */
typedef struct wn_optim_opts {
    const char *kind;      /* "adamw", "adam", "adafactor", "sgd", "lion"; NULL: adamw */
    double beta1, beta2;   /* 0.9 and 0.999; Lion 0.9 and 0.99; Adafactor's beta1: no momentum */
    double eps;            /* 1e-8; Adafactor 1e-30 */
    double weight_decay;   /* of parameters with `decay` */
    double momentum;       /* SGD: 0 */
    bool nesterov;         /* SGD */
    bool eight_bit;        /* AdamW, Adam, Lion: moments in 8 bits (state8.h) */
    bool relative_step;    /* Adafactor: step size from the update's number, times lr */
    bool warmup_init;      /* Adafactor with relative_step: starts at 1e-6 a step */
    bool plain_scale;      /* Adafactor: not scaled by the parameter's root mean square */
    double clip_threshold; /* Adafactor: of the update's root mean square; 1 */
    double decay_rate;     /* Adafactor: beta2 of update t is 1 - t^-rate; 0.8 */
    uint64_t seed;
} wn_optim_opts;

/* Numbers a parameter keeps between updates: f32, or codes with a scale a block. */
typedef struct wn_moment {
    float *f;
    uint8_t *code;
    float *scale;
} wn_moment;

typedef struct wn_optim_state {
    wn_moment m, v;
    float *row, *col; /* Adafactor's factors of v: [rows], [cols] */
} wn_optim_state;

typedef struct wn_optim {
    wn_optim_kind kind;
    wn_optim_opts o;       /* with the defaults filled in */
    wn_optim_state *state; /* [n], empty where not trained */
    size_t n;
    double *part;  /* scratch for sums over pieces */
    float *factor; /* scratch: Adafactor's row and column factors of one parameter */
    uint64_t t;    /* updates done */
} wn_optim;

/* Whether options are known and go together; wn_optim_init asks the same. */
wn_err wn_optim_check(const wn_optim_opts *opts);
/* Options that the kind does not have are refused by name. */
wn_err wn_optim_init(wn_optim *o, const wn_optim_opts *opts, const wn_params *ps);
void wn_optim_free(wn_optim *o);
/* Bytes that init would allocate. */
size_t wn_optim_bytes(const wn_optim_opts *opts, const wn_params *ps);

void wn_optim_step(wn_optim *o, wn_params *ps, double lr, double scale, double clip_value);

/* sqrt of the sum of squares of all gradients, in a fixed order. */
double wn_grad_norm(const wn_params *ps);

/* What a checkpoint holds of parameter i: at most WN_OPTIM_SLOTS arrays; returns their number. */
enum { WN_OPTIM_SLOTS = 6 };
typedef struct wn_optim_slot {
    const char *name; /* "m", "v", "m8", ... */
    bool bytes;       /* uint8, else float32 */
    void *data;
    size_t n;
} wn_optim_slot;
size_t wn_optim_slots(wn_optim_slot slot[WN_OPTIM_SLOTS], const wn_optim *o, const wn_param *p,
                      size_t i);

#endif

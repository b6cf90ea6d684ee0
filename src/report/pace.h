/* What a row costs a model of some shape on this machine, by a short measurement of the passes
 * that `embed`, `train` and `eval` are made of. The model need not be there: its config is enough
 * (wn_model_make_up).
 *
 * Large models are measured small: at two numbers of layers, and where the vocabulary counts at two
 * sizes of it; time, memory and arithmetic are linear in both, so the whole model's follow. A
 * quarter to half a second a point, the fastest of its runs. */
#ifndef WN_REPORT_PACE_H
#define WN_REPORT_PACE_H

#include "io/json.h"
#include "winnow.h"

typedef enum wn_pace_kind {
    WN_PACE_EMBED,  /* hidden states of the prompt; encoder-decoder: of the encoder */
    WN_PACE_RANK,   /* losses of `texts` texts behind one prompt */
    WN_PACE_ANSWER, /* one generated token, prompts read before */
    WN_PACE_TRAIN   /* forward, backward and update */
} wn_pace_kind;

typedef struct wn_pace_job {
    wn_pace_kind kind;
    const json_t *config; /* as config.json */
    const char *place;    /* where it stands, for errors */
    wn_precision precision;
    const wn_train_opts *train; /* WN_PACE_TRAIN: method, rank, targets, optimizer, batch, ... */
    size_t prompt, target;      /* mean tokens of a row's prompt and of one text, at least 1 */
    size_t texts;               /* WN_PACE_RANK: choices a row */
} wn_pace_job;

typedef struct wn_pace {
    double row_sec;    /* a row (WN_PACE_ANSWER: a token), on all threads */
    double update_sec; /* WN_PACE_TRAIN: an update, besides its rows */
    double row_flops;  /* of the linear layers and the output matrix alone, as `bench` counts */
    double parameters, trained;
    double bytes;      /* memory: weights, what is kept of trained parameters, activations */
    double work_bytes; /* of these, activations */
    double width;      /* of a hidden state */
    double gflops;     /* row_flops a second; what was reached */
} wn_pace;

wn_err wn_pace_measure(wn_pace *p, const wn_pace_job *j);

#endif

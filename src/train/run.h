/* A run of `winnow train`: what its files share. */
#ifndef WN_TRAIN_RUN_H
#define WN_TRAIN_RUN_H

#include "base/str.h"
#include "io/file.h"
#include "io/folder.h"
#include "io/json.h"
#include "model/model.h"
#include "train/order.h"
#include "train/relay.h"
#include "train/train.h"

typedef enum wn_train_method { WN_TRAIN_LORA, WN_TRAIN_FULL, WN_TRAIN_IA3 } wn_train_method;

typedef struct wn_train_run {
    const wn_train_opts *o;
    wn_train_method method;
    wn_model *model;
    wn_params *params;
    wn_pool *pool, *eval_pool;
    wn_data data, eval_data;
    wn_order order;
    wn_data_batch batch, eval_batch;
    wn_work *work;
    wn_train_relay *relay;
    wn_optim optim;
    wn_schedule schedule;
    wn_train_place at;
    uint64_t steps;
    double lr, dropout; /* dropout: of the model's places, below 0 as its config says */
    double *nll;        /* [segments] */
    uint32_t *count;
    bool shuffle, token_mean, t_few, recompute, keep_best, keep_last;
    char *partial, *checkpoint, *best, *log_path;
    wn_folder_lock lock; /* of partial; rank 0 has it */
    wn_append log;
    wn_str line; /* of the log; kept, so that the loop allocates nothing */
    json_t *manifest;
    char key[WN_SHA_HEX];
} wn_train_run;

/* setup.c: the model with what is trained of it, the rows, the plan of memory. */
wn_err wn_train_open(wn_train_run *r);
wn_err wn_train_plan(wn_train_run *r);
void wn_train_close(wn_train_run *r); /* also of one that failed */
/* loop.c: updates until all are done, or no evaluation was better for long enough. */
wn_err wn_train_loop(wn_train_run *r);
/* output.c: the folder OUT.partial, the checkpoint to go on from, and the end. Starting is
 * collective (base/ranks.h): all ranks go on from the same place; the others write on rank 0 alone.
 */
wn_err wn_train_start_files(wn_train_run *r);
wn_err wn_train_save(wn_train_run *r);
wn_err wn_train_save_best(wn_train_run *r);
wn_err wn_train_finish_files(wn_train_run *r);
/* After values were changed behind the model's back. */
void wn_train_refresh(wn_train_run *r);

#endif

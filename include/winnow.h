/* winnow: pick the fine-tuning data that matters.
 *
 * The only public header: what is not declared here is no API. All that the command-line tool does,
 * a C program can do with these calls; `winnow` itself uses nothing else.
 *
 * Conventions. Every call that can fail returns a wn_err, WN_OK on success; wn_error_message() then
 * gives one line that names file, place, expected and found, valid until the thread's next failure.
 * Handles are immutable after open and may be shared by threads; close(NULL) does nothing. Options
 * are structs whose all-zero value means the documented defaults; strings in them are borrowed for
 * the call. The library never prints and never exits: progress and words go to the callbacks below.
 * Same inputs, options and seed give the same bytes for any number of threads or ranks. */
#ifndef WINNOW_H
#define WINNOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define WN_API     __attribute__((visibility("default")))
#define WN_VERSION "0.1.0"

/* ---- errors ------------------------------------------------------------------------------- */

#define WN_ERRORS(X)                                                                               \
    X(EARG, -1, "bad argument")                                                                    \
    X(ENOMEM, -2, "out of memory")                                                                 \
    X(EIO, -3, "input or output failed")                                                           \
    X(EFORMAT, -4, "damaged, foreign or unsupported file")                                         \
    X(ESTOP, -5, "stopped by a callback")                                                          \
    X(EUSE, -6, "options that are missing, wrong, or do not go together")

typedef enum wn_err {
    WN_OK = 0,
#define WN_X(name, value, meaning) WN_##name = value,
    WN_ERRORS(WN_X)
#undef WN_X
} wn_err;

WN_API const char *wn_strerror(wn_err code); /* what a code means */
WN_API const char *wn_error_message(void);   /* the line of this thread's last failure */
WN_API const char *wn_version(void);

/* ---- the process ---------------------------------------------------------------------------- */

/* 0: all cores. Holds for the whole process; results do not depend on it. */
WN_API void wn_set_threads(int n);

/* Several processes, started together by mpirun or srun, each of which calls the same jobs with the
 * same options: wn_embed_job, wn_grad_job, wn_search_job and wn_train_job then share their work
 * among them, and rank 0 alone writes. Starting finds the others, or that there are none, which
 * takes no time. Without a setting by wn_set_threads, ranks that may use the same cores of a
 * machine share them evenly. WN_EARG where there are others but the library was built without MPI,
 * or MPI cannot find them. Other jobs are not for several ranks. */
WN_API wn_err wn_ranks_start(void);
/* Waits for the other ranks. failed: a job of this rank did, and nothing more comes of the others:
 * all processes are ended with status 1, this one too. Nothing where ranks were not started. */
WN_API void wn_ranks_end(bool failed);
WN_API int wn_rank(void);  /* 0 .. wn_ranks() - 1 */
WN_API int wn_ranks(void); /* 1: alone */

/* 0: no limit. Of the whole process: what would allocate beyond it fails with WN_ENOMEM. Files that
 * are mapped (weights, stores, pools) do not count: the system may drop their pages. Training,
 * gradients, generation and measuring plan ahead within wn_common.max_memory, and lift this limit
 * once their plan stands: set it again for a next job. */
WN_API void wn_set_max_memory(uint64_t bytes);

/* Called from time to time during long work, from one thread at a time. `unit` names what is
 * counted
 * ("rows", "steps"); total 0 means unknown. `note` is a short text such as "loss 1.23" or NULL.
 * Return false to stop: the call then fails with WN_ESTOP and can be resumed. */
typedef bool (*wn_progress_fn)(void *ctx, const char *stage, const char *unit, uint64_t done,
                               uint64_t total, const char *note);
WN_API void wn_set_progress(wn_progress_fn fn, void *ctx);

/* Words for people: what was cut, skipped, resumed. One line without a newline. */
typedef void (*wn_message_fn)(void *ctx, const char *line);
WN_API void wn_set_message(wn_message_fn fn, void *ctx);

/* A malloc'ed JSON text of version, build options, CPU features; free with wn_text_free. */
WN_API wn_err wn_about(char **json);
WN_API void wn_text_free(char *text);

/* ---- options every job has ------------------------------------------------------------------- */

typedef enum wn_precision {
    WN_PRECISION_AUTO, /* bf16 where the processor is fast at it, else f32 */
    WN_PRECISION_F32,
    WN_PRECISION_BF16, /* products of bf16 numbers with f32 sums */
    WN_PRECISION_INT8
} wn_precision;

typedef struct wn_common {
    const char
        *out; /* file or folder to write; NULL or "-": standard output where a file is written */
    uint64_t seed;
    wn_precision precision;
    uint64_t max_memory; /* bytes; 0: no limit */
    bool overwrite;      /* replace a finished `out` */
} wn_common;

/* ---- tokenizers --------------------------------------------------------------------------------
 */

typedef struct wn_tokenizer wn_tokenizer;

/* model: a Hugging Face folder (tokenizer.json), a tokenizer.json, or a .gguf file. */
WN_API wn_err wn_tokenizer_open(wn_tokenizer **out, const char *model);
WN_API void wn_tokenizer_close(wn_tokenizer *t);
/* Token ids of UTF-8 text, no cutting. `special`: add special tokens as the post-processor says.
 * *ids is allocated and owned by the caller (wn_ids_free). */
WN_API wn_err wn_tokenizer_encode(const wn_tokenizer *t, const char *text, size_t len, bool special,
                                  int32_t **ids, size_t *n);
/* Back to text; unknown ids fail with WN_EARG. *text via wn_text_free. */
WN_API wn_err wn_tokenizer_decode(const wn_tokenizer *t, const int32_t *ids, size_t n,
                                  bool skip_special, char **text);
WN_API void wn_ids_free(int32_t *ids);
WN_API size_t wn_tokenizer_vocab(const wn_tokenizer *t);

/* ---- jobs: one for each command; docs/ and `winnow COMMAND -h` give meanings and defaults -------
 */

typedef struct wn_pool_build_opts {
    wn_common common;
    const char *const *sources; /* files, folders, "-" */
    size_t n_sources;
    const char *map;   /* name or YAML file; NULL: winnow's own rows */
    const char *dedup; /* "exact" (NULL), "near", "none" */
    const char *split; /* of folders only the files of that name; NULL: all */
    const char *tasks; /* a file, a task a line: only rows of these; NULL: all */
    uint64_t per_task; /* the first so many rows of each task; 0: all */
} wn_pool_build_opts;
WN_API wn_err wn_pool_build_job(const wn_pool_build_opts *o);
/* JSON text on facts of a pool: rows, tasks with rows, duplicates, rejected lines with reasons. */
WN_API wn_err wn_pool_info_job(const char *pool, const char *map, const char *model, char **json);
/* The row of that id as one JSON line (without newline). WN_EARG if there is none. */
WN_API wn_err wn_pool_show_job(const char *pool, const char *map, const char *id, char **json);
/* Re-reads every byte against the stored hashes. */
WN_API wn_err wn_pool_check_job(const char *pool, char **json);

typedef struct wn_tokenize_opts {
    wn_common common;
    const char *model, *file,
        *field; /* field: NULL for plain lines of text, else a field of JSONL rows */
    const char *map;
    bool no_special, decode;
} wn_tokenize_opts;
WN_API wn_err wn_tokenize_job(const wn_tokenize_opts *o);

typedef struct wn_embed_opts {
    wn_common common;
    const char *model, *adapter, *pool, *map;
    /* "mean", "weighted", "last", "cls", "max", "mean-sqrt"; NULL: the model's own */
    const char *pooling;
    const char *normalize;   /* "yes", "no"; NULL: the model's own */
    const char *text;        /* "prompt" (NULL) or "both" */
    const char *tmpl;        /* chat template: "none" (NULL), "chat", NAME */
    const char *system;      /* system prompt of the chat format, NULL: none of one's own */
    const char *prompt;      /* put in front of every text; NULL: what prompt_name says */
    const char *prompt_name; /* one of the model's own; NULL: its default, or none */
    int layer;               /* 1 .. layers; 0: the last */
    size_t max_tokens;       /* 0: the model's own */
    const char *store_dtype; /* "f32" (NULL), "f16", "bf16", "int8" */
    uint64_t shard_bytes;    /* about how large a file of rows becomes; 0: 4 GiB */
} wn_embed_opts;
/* A finished store of the pool's first rows is gone on with: the pool has grown. */
WN_API wn_err wn_embed_job(const wn_embed_opts *o);

typedef struct wn_grad_opts {
    wn_common common; /* seed: of the projection, and of an untrained adapter */
    const char *model, *adapter, *pool, *map, *tmpl, *system;
    const char *params;     /* "all", "lora", names by pattern; NULL: lora with an adapter,
                               else all */
    const char *quantity;   /* "loss" (NULL), "margin", "margin-ref", "margin-ref-cot" */
    const char *projection; /* "rademacher" (NULL), "mt19937", "kron" */
    size_t project;         /* numbers a row; 0: 400 */
    bool raw;               /* the gradient itself instead */
    const char *adam;       /* checkpoint of wn_train_job with Adam's moments, NULL: none */
    size_t rank;            /* any of these three: put an untrained LoRA on; 0: 8 */
    double alpha;           /* 0: 2 * rank */
    const char *targets;    /* NULL: "all-linear" */
    size_t max_tokens, max_target;
    size_t max_batch_tokens; /* computed at once; 0: 2048; memory, never a result's meaning */
    bool loss_on_all;
    const char *store_dtype; /* as in wn_embed_opts */
    uint64_t shard_bytes;
} wn_grad_opts;
/* One gradient a row into the store common.out; a grown pool as in wn_embed_job. */
WN_API wn_err wn_grad_job(const wn_grad_opts *o);

typedef struct wn_score_opts {
    wn_common common;
    const char *model, *adapter, *rows, *map, *tmpl, *system;
    size_t max_tokens, max_target;
    bool loss_on_all;
} wn_score_opts;
WN_API wn_err wn_score_job(const wn_score_opts *o);

typedef struct wn_export_opts {
    wn_common common;
    /* store: a store for "npy" and "jsonl"; rows in any form, such as a selection, for
     * "completion", "alpaca", "messages" and "sharegpt", the shapes that other trainers read */
    const char *store, *format;
    const char *map; /* of rows */
} wn_export_opts;
WN_API wn_err wn_export_job(const wn_export_opts *o);

typedef struct wn_import_opts {
    wn_common common;
    const char *file, *ids;  /* either, not both, may be "-": standard input */
    const char *store_dtype; /* as in wn_embed_opts */
    uint64_t shard_bytes;
} wn_import_opts;
WN_API wn_err wn_import_job(const wn_import_opts *o);

/* JSON text on facts of a store, finished or not: rows, dim, type, tasks, bytes, what it was made
 * from. */
WN_API wn_err wn_store_info_job(const char *store, char **json);
/* Re-reads every byte against its checksums; the first bad block is the error. */
WN_API wn_err wn_store_check_job(const char *store, char **json);
typedef struct wn_store_merge_opts {
    wn_common common;
    const char *const *stores; /* one after the other */
    size_t n_stores;
    const char *store_dtype; /* NULL: that of all stores */
    uint64_t shard_bytes;
} wn_store_merge_opts;
WN_API wn_err wn_store_merge_job(const wn_store_merge_opts *o);

typedef struct wn_search_opts {
    wn_common common;
    const char *store, *queries, *metric; /* metric: "l2" (NULL), "ip", "cosine" */
    const char *model, *map;              /* queries: a store, or rows that `model` embeds */
    size_t k;                             /* 0: 500 */
    bool prepare; /* keep 8-bit codes beside the store, whatever its size; queries may be NULL */
} wn_search_opts;
WN_API wn_err wn_search_job(const wn_search_opts *o);

/* Groups of near-duplicates as JSON lines, of rows by text or of vectors by cosine. */
typedef struct wn_dedup_opts {
    wn_common common;
    const char *pool, *map; /* either */
    const char *store;      /* or */
    double threshold;       /* 0: Jaccard similarity 0.8, cosine 0.95 */
    bool any_target;        /* of rows: prompts alone count */
} wn_dedup_opts;
WN_API wn_err wn_dedup_job(const wn_dedup_opts *o);

/* How GradEx estimates: see docs/gradex.md. */
typedef struct wn_surrogate_opts {
    const char *mode;      /* "clean" (NULL), "ref", "step" */
    const char *ridge;     /* clean: a number, or "cv"; NULL: 0.01 */
    double c;              /* ref: 0 is 1e-4 */
    bool coin;             /* ref: random signs */
    const char *intercept; /* ref: "yes", "no"; NULL: yes with coin */
    double first;          /* ref: this share of a group's rows, in the store's order; 0: all */
    double step_size;      /* step: 0 is 1 */
    const char *groups;    /* "task" (NULL), "source", "cluster:K", "kmeans:K" */
} wn_surrogate_opts;

typedef struct wn_select_opts {
    wn_common common;
    const char *strategy;   /* "deft", "gradex-fs", "gradex-re", "less", "dsir", "bm25", "random",
                               "balanced-random", "all" */
    const char *pool, *map; /* rows to choose from, or whose texts are attached */
    const char *store, *queries; /* vectors; queries: a store, or rows that `model` embeds */
    const char *metric;
    size_t k;                       /* neighbours a query; 0: 500 */
    uint64_t budget, budget_tokens; /* 0: none */
    uint64_t per_task;              /* most rows of one task; 0: no cap */
    const char *dedup;              /* "exact" (NULL), "near", "none" */
    bool other_text;                /* the store is of other texts of the pool's rows */
    const char *const *avoid;       /* contamination veto: rows files */
    size_t n_avoid;
    bool allow_queries;             /* `queries` given as rows are no target rows for the veto */
    size_t avoid_run;               /* words of a run that may not be shared; 0: 13 */
    const char *vectors;            /* store of the rows' vectors for the next four; NULL: store */
    const char *const *avoid_store; /* stores of vectors that may not be resembled */
    size_t n_avoid_store;
    double avoid_cosine;            /* from this cosine on; 0: 0.95 */
    double near_cosine;             /* with an earlier row: counts as a duplicate; 0: no matter */
    const char *model;              /* whose tokens budget_tokens counts */
    wn_surrogate_opts how;          /* gradex-*: how subsets are estimated */
    const char *search;             /* gradex-fs: "pass" (NULL), "forward", "backward" */
    uint64_t subsets;               /* gradex-re: most; 0: 10 a group, at least 200 */
    double share;                   /* gradex-re: of the groups, in a subset; 0: 0.5 */
    double settle;                  /* gradex-re: reliability at which drawing ends; 0: 0.98 */
    uint64_t keep;                  /* gradex-re: groups; 0: by `below`, or the best front */
    double below;                   /* gradex-re: groups whose score is below; 0: none given */
    const char *const *checkpoints; /* less: further "STORE,QUERIES[,WEIGHT]" */
    size_t n_checkpoints;
    double weight;      /* less: of store and queries; 0: 1 */
    const char *gumbel; /* dsir: "yes" (NULL), "no" */
    bool per_token;     /* dsir */
} wn_select_opts;
WN_API wn_err wn_select_job(const wn_select_opts *o);

typedef struct wn_train_opts {
    wn_common common;
    const char *model, *adapter, *data, *map, *tmpl, *system;
    /* what is trained */
    const char *method;         /* "lora" (NULL), "full", "ia3" */
    const char *targets;        /* lora, ia3: modules by pattern; NULL: all-linear, or T-Few's */
    const char *feedforward;    /* ia3: targets whose input is scaled; NULL: the last feed-forward
                                   layers */
    const char *base;           /* lora, ia3: frozen matrices in memory: "auto" (NULL: as the
                                   precision multiplies them), "q8", "q4": blocks of bits */
    size_t rank;                /* LoRA; 0: 8 */
    double alpha;               /* 0: 2 * rank */
    bool rslora;                /* scaled by alpha / sqrt(rank) */
    const char *lora_bias;      /* "none" (NULL), "lora-only", "all" */
    const char *freeze, *train; /* full: parameters by pattern; NULL: none, all */
    const char *dropout;        /* "0" (NULL); a share: of the adapter's input, or, without one, of
                                   all of the model's places; "model": as its config says */
    /* how long, in which order */
    double epochs; /* 0: 1, unless steps is given */
    uint64_t steps;
    size_t batch;              /* examples an update; 0: 8 */
    uint64_t batch_tokens;     /* tokens an update, instead of batch */
    const char *shuffle;       /* "yes" (NULL), "no" */
    const char *order;         /* a file of row ids, an epoch's order */
    size_t max_batch_tokens;   /* tokens computed at once; 0: 1024; changes memory, never a result's
                                  meaning */
    const char *checkpointing; /* "no" (NULL), "yes", "auto": layers are computed again instead of
                                  kept; auto: where max_memory needs it */
    /* the loss */
    const char *loss;      /* "lm" (NULL), "t-few" */
    const char *loss_mean; /* "example" (NULL): mean over examples of their tokens' mean; "token" */
    size_t max_tokens, max_target;
    bool loss_on_all;
    /* the update */
    double lr;             /* 0: 1e-4 for lora, 5e-5 for full, 3e-3 for ia3 */
    const char *optimizer; /* "adamw" (NULL), "adam", "adafactor", "sgd", "lion" */
    double beta1, beta2, eps, weight_decay, momentum; /* 0: the optimizer's own */
    const char *no_decay; /* parameters by pattern; NULL: norms and biases */
    bool nesterov, relative_step, warmup_init;
    const char *scale_parameter; /* Adafactor: "yes" (NULL), "no" */
    double clip_threshold, decay_rate;
    const char *state;    /* "f32" (NULL), "8bit" */
    const char *schedule; /* "linear" (NULL; constant with relative_step), "constant", "cosine",
                             "slanted" */
    const char *warmup;   /* updates, or a share with %; NULL: 0 */
    double slanted_cut, slanted_ratio; /* 0: 0.1, 32 */
    double clip_norm, clip_value;      /* 0: off */
    /* on the way */
    const char *eval;       /* rows */
    uint64_t eval_every;    /* updates */
    const char *keep;       /* "last" (NULL; best with patience), "best", "both" */
    uint64_t patience;      /* evaluations without a better one before it stops; 0: never */
    uint64_t save_every;    /* updates between checkpoints; 0: 200 */
    const char *save_dtype; /* NULL: the model's own */
} wn_train_opts;
WN_API wn_err wn_train_job(const wn_train_opts *o);

typedef struct wn_estimate_opts {
    wn_common common;
    wn_surrogate_opts how;
    const char *store, *target;
    const char *pool, *map; /* rows of the store: groups by source; verification */
    const char *subsets;    /* file; NULL: `random` draws */
    uint64_t random;        /* subsets drawn at random; 0: none */
    double share;           /* of the groups, in a random subset; 0: 0.5 */
    uint64_t bootstrap;     /* resamples for intervals; 0: none */
    const char *evaluate;   /* "linear" (NULL), "forward": the real model at W + P w */
    double scale, norm;     /* forward: |P w| as a share of the parameters' norm, or absolute; 0: as
                               it is */
    const char *first_order; /* lengths as shares of the parameters' norm, by comma: instead of
                                estimates the errors of first order; NULL: no */
    uint64_t verify;         /* subsets that are trained for real; 0: none */
    const char *target_rows; /* the rows that `target` was made of, for what needs the real model */
    wn_train_opts train;     /* model, adapter, both as the stores were made at, template, lengths;
                                verify: training; its data, map and common are not read */
} wn_estimate_opts;
/* With `verify` a folder OUT.verify keeps what is measured; a killed run goes on from it. */
WN_API wn_err wn_estimate_job(const wn_estimate_opts *o);

typedef struct wn_what_if_opts {
    wn_common common;
    wn_surrogate_opts how;
    const char *store, *target, *pool, *map;
    const char *with, *without, *base; /* names by comma */
    uint64_t bootstrap;                /* resamples; 0: 200 */
    const char *verified;              /* manifest of a verified estimate */
} wn_what_if_opts;
/* *json: "before", "after", "change" {value, ci95, verdict}; wn_text_free. */
WN_API wn_err wn_what_if_job(const wn_what_if_opts *o, char **json);

typedef struct wn_eval_opts {
    wn_common common;
    const char *model, *adapter, *rows, *map, *tmpl, *system;
    const char *metric; /* NULL: accuracy where there are choices, else rouge-l */
    const char *answer; /* "auto" (NULL: choices are ranked, else text is generated; with parse:
                           generated), "rank", "generate" */
    const char *length_norm;  /* "none" (NULL), "tokens", "bytes" */
    const char *eos;          /* "yes" (NULL), "no": whether a choice ends in EOS */
    const char *calibrate;    /* neutral prompt, whose NLL of a choice is subtracted; NULL: none */
    const char *const *parse; /* rules that read an answer out of a text */
    size_t n_parse;
    const char *const *stop; /* texts that end a generated one */
    size_t n_stop;
    /* JSONL id, prediction: scores given answers without a model; a file a seed */
    const char *const *predictions;
    size_t n_predictions;
    const char *const *against; /* answers of another arm to compare with, a file a seed */
    size_t n_against;
    size_t max_tokens, max_target;
    size_t max_new; /* 0: 128 */
} wn_eval_opts;
/* *json: {"metric","value","n","ci95"}, and what docs/evaluation.md says; with common.out also a
 * line a row there. */
WN_API wn_err wn_eval_job(const wn_eval_opts *o, char **json);

typedef struct wn_run_opts {
    wn_common common; /* out: the folder of the experiment */
    const char *recipe;
} wn_run_opts;
/* *table: the verdict as text for a terminal (wn_text_free). */
WN_API wn_err wn_run_job(const wn_run_opts *o, char **table);
/* Writes DIR/report.html again from DIR/verdict.json. */
WN_API wn_err wn_report_job(const char *dir, const wn_common *common);

typedef struct wn_plan_opts {
    wn_common common;
    const char
        *recipe; /* what it names need not be there, where its `sizes` says how large it is */
    size_t cores, nodes; /* of the machines it is priced for; 0: this one's threads, one machine */
    double core_rate;    /* GFLOP/s of one core there, at the precision; 0: as measured here */
    uint64_t disk_rate;  /* bytes a second that a store is read with there; 0: as measured here */
    bool json;
} wn_plan_opts;
/* *text: tokens, FLOPs, time, disk and memory of each part, from a measurement of some seconds. */
WN_API wn_err wn_plan_job(const wn_plan_opts *o, char **text);

typedef struct wn_explain_opts {
    wn_common common;
    const char *selection, *id; /* id NULL: the selection as a whole, task by task */
    bool json;
} wn_explain_opts;
WN_API wn_err wn_explain_job(const wn_explain_opts *o, char **text);
WN_API wn_err wn_diff_job(const char *a, const char *b, bool json, char **text);

typedef struct wn_model_info_opts {
    wn_common common;
    const char *model, *adapter;
    const char *lengths; /* tokens a row, by comma, that memory is told for; NULL: 128,512,2048 */
    size_t rank;         /* of the LoRA that is counted; 0: 8 */
    bool params;         /* list every parameter */
} wn_model_info_opts;
/* Facts of a model as JSON: family, shape, tokenizer, memory, what each method trains, warnings. */
WN_API wn_err wn_model_info_job(const wn_model_info_opts *o, char **json);

typedef struct wn_merge_opts {
    wn_common common; /* out: a folder that transformers loads */
    const char *model, *adapter;
    const char *save_dtype; /* "f32", "f16", "bf16"; NULL: each tensor's own */
    uint64_t shard_bytes;   /* largest weight file; 0: 5 GB */
} wn_merge_opts;
WN_API wn_err wn_merge_job(const wn_merge_opts *o);

typedef struct wn_get_opts {
    wn_common common;           /* out: a folder */
    const char *source;         /* "hf:ORG/NAME" or "hf:ORG/NAME@REVISION" */
    const char *mirror;         /* the hub's address; NULL: Hugging Face's own */
    const char *const *include; /* shell patterns of file names; none: what winnow reads */
    size_t n_include;
} wn_get_opts;
WN_API wn_err wn_get_job(const wn_get_opts *o);

/* Checks this machine and the maths: JSON with a list of checks, each ok or not. dir: a folder to
 * try atomic writing in, NULL: the current one. */
WN_API wn_err wn_doctor_job(const char *dir, char **json, bool *all_ok);

typedef struct wn_bench_opts {
    wn_common common;
    const char *what; /* NULL: all but the last; "gemm", "embed", "forward", "train", "grad" */
    const char *encoder, *model, *rows;
} wn_bench_opts;
WN_API wn_err wn_bench_job(const wn_bench_opts *o, char **json);

#ifdef __cplusplus
}
#endif

#endif

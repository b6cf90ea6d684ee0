/* An experiment as a list of parts in the order they run, each with the file or folder it makes. */
#ifndef WN_REPORT_PLAN_H
#define WN_REPORT_PLAN_H

#include "io/hash.h"
#include "report/cost.h"
#include "report/recipe.h"

typedef enum wn_part_kind {
    WN_PART_POOL,
    WN_PART_POOL_EMBEDDED, /* the same rows in the rendering that is embedded */
    WN_PART_EMBED_POOL,
    WN_PART_EMBED_QUERIES,
    WN_PART_BASE, /* trained on the whole pool: where gradients are taken */
    WN_PART_GRAD_POOL,
    WN_PART_GRAD_QUERIES,
    WN_PART_SELECT,
    WN_PART_TRAIN,
    WN_PART_MERGE, /* an arm's adapter into its model, for the few-shot stage to start from */
    WN_PART_EVAL
} wn_part_kind;

enum { WN_NO_SEED = -1 };

typedef struct wn_part {
    wn_part_kind kind;
    size_t target, arm; /* where they apply */
    int seed;           /* index of the arm's seeds, or WN_NO_SEED */
    char *name;         /* "train deft seed 1 on wic": unique, for people and for the log */
    char *out;          /* what it makes; OUT.stamp.json says that it is finished */
    uint64_t work;      /* rows, for guesses of time; 0 unknown */
} wn_part;

/* A target as the stages read it: files in winnow's own rows. */
typedef struct wn_run_target {
    char *queries, *test; /* the recipe's files, or copies where it maps or cuts them */
    uint64_t n_queries, n_test;
} wn_run_target;

typedef struct wn_sha_memo {
    char *path;
    char hex[WN_SHA_HEX];
} wn_sha_memo;

typedef struct wn_run {
    const wn_run_opts *o;
    const char *dir;
    wn_recipe recipe;
    wn_run_target *target; /* [recipe.n_targets] */
    wn_part *part;
    size_t n_parts, parts_cap;
    size_t reference; /* the arm whose size the random ones match; SIZE_MAX: none */
    wn_cost *cost;
    wn_sha_memo *memo; /* hashes of inputs and outputs seen in this run */
    size_t n_memo, memo_cap;
} wn_run;

const char *wn_stage_name(wn_part_kind k); /* "pool", "embed", "select", "train", "merge", "eval" */

/* Fills part from the recipe. */
wn_err wn_plan_make(wn_run *r);
void wn_plan_free(wn_run *r);
/* The part of that kind, target, arm and seed; selections that do not depend on the seed are found
 * for every seed. NULL: there is none. */
const wn_part *wn_plan_find(const wn_run *r, wn_part_kind k, size_t target, size_t arm, int seed);

/* The part that trained what a few-shot arm's part starts from; NULL: it starts from the recipe's
 * model, or the arm is no few-shot arm. */
const wn_part *wn_plan_start(const wn_run *r, const wn_part *p);
/* The file of a target's shots for the s-th seed of the few-shot stage. */
wn_err wn_plan_shots(wn_str *path, const wn_run *r, size_t target, size_t s);

/* What the part depends on: options and hashes of its inputs, which must be there. */
wn_err wn_part_key(json_t **key, wn_run *r, const wn_part *p);
/* Does it, or several that wn_parts_together. Goes on with what an earlier run of the same key
 * left.
 */
wn_err wn_parts_do(wn_run *r, const wn_part *const *p, size_t n);
/* Whether two parts are done together: selections for two targets that are searched for in the same
 * vectors, in one pass over them. */
bool wn_parts_together(const wn_run *r, const wn_part *a, const wn_part *b);
/* Makes all parts that do not stand; *stood is raised by how many did (run_parts.c). */
wn_err wn_run_parts(size_t *stood, wn_run *r);
/* The options that every job has, with the part's output and seed. */
wn_common wn_part_common(const wn_run *r, const wn_part *p);
/* For keys: the hash of a file or folder under a name. */
wn_err wn_part_input(json_t *inputs, wn_run *r, const char *name, const char *path);
/* The rows of the few-shot stage, as a part of kind WN_PART_SELECT. */
wn_err wn_shots_key(json_t *options, json_t *inputs, wn_run *r, const wn_part *p);
wn_err wn_shots_do(wn_run *r, const wn_part *p);
/* Refuses, before any work, shots that are no rows to train on, or fewer than the recipe says. */
wn_err wn_shots_check(const wn_run *r);
/* The same for the parts that gradients need: BASE, GRAD_POOL, GRAD_QUERIES. */
wn_err wn_grad_part_key(json_t *options, json_t *inputs, wn_run *r, const wn_part *p);
wn_err wn_grad_part_do(wn_run *r, const wn_part *p);
/* Removes everything of it. */
wn_err wn_part_remove(const wn_part *p);

/* SHA-256 of a file or folder, made once a run. */
wn_err wn_run_sha(const char **hex, wn_run *r, const char *path);
void wn_run_forget_sha(wn_run *r, const char *path);

/* Rows of a selection's tasks. wn_free the array and each task. */
typedef struct wn_task_count {
    char *task;
    uint64_t rows;
} wn_task_count;
typedef struct wn_selection_facts {
    uint64_t rows, tokens; /* tokens: prompt and target as training reads them, once */
    wn_task_count *task;   /* most rows first, equal ones by name */
    size_t n_tasks;
} wn_selection_facts;
wn_err wn_selection_read(wn_selection_facts *f, const char *path, const wn_recipe *recipe);
void wn_selection_free(wn_selection_facts *f);

#endif

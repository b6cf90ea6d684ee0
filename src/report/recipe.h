/* Recipes: a whole experiment as one YAML file. docs/recipe.md is the user's text; this is its
 * reader. Everything is checked before any work: unknown keys are refused with the list of known
 * ones, numbers and names are checked, and ${NAME} in paths is replaced from the environment. */
#ifndef WN_REPORT_RECIPE_H
#define WN_REPORT_RECIPE_H

#include "io/json.h"

typedef struct wn_recipe_target {
    const char *name, *queries, *test, *map, *metric; /* map, metric NULL: none given */
    uint64_t max_queries, max_test;                   /* 0: all rows */
} wn_recipe_target;

typedef struct wn_recipe_arm {
    const char *name;             /* in file names and the verdict */
    const char *strategy;         /* "zero-shot" or a strategy of select */
    const char *distance, *dedup; /* NULL: the strategy's default */
    uint64_t k, budget, budget_tokens, per_task;
    bool own_budget; /* it says its own budget, so it is matched to no other */
    bool uses_store; /* needs vectors of pool and queries */
    bool uses_text;  /* reads the queries' texts */
    bool by_seed;    /* its selection depends on the seed */
    bool fills;      /* takes as many rows as it may: those of the reference, or its own budget */
    bool baseline;   /* zero-shot, random, balanced-random, all: what others are compared with */
} wn_recipe_arm;

typedef struct wn_recipe_embed {
    wn_embed_opts o;                              /* of the pool */
    const char *query_prompt, *query_prompt_name; /* what the targets' queries get instead */
} wn_recipe_embed;

typedef struct wn_recipe {
    const char *path, *title;
    const char **sources;
    size_t n_sources;
    const char *map, *dedup;
    const char *encoder, *model; /* encoder NULL where no arm uses a store */
    wn_recipe_target *target;
    size_t n_targets;
    wn_recipe_arm *arm; /* zero-shot, random, balanced-random first where they take part */
    size_t n_arms;
    bool veto; /* no pool row that shares text with the target's queries or test rows */
    uint64_t *seed;
    size_t n_seeds;
    /* options of the stages as the recipe has them; paths and seed are not set */
    wn_recipe_embed embed;
    wn_train_opts train;
    wn_eval_opts eval;
    json_t *tree; /* owns all strings */
} wn_recipe;

/* Paths are taken relative to the recipe's folder. `path` is borrowed until close. */
wn_err wn_recipe_open(wn_recipe *r, const char *path);
void wn_recipe_close(wn_recipe *r); /* idempotent */

#endif

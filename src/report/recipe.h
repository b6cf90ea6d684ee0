/* Recipes: a whole experiment as one YAML file. docs/recipe.md is the user's text; this is its
 * reader. Everything is checked before any work: unknown keys are refused with the list of known
 * ones, numbers and names are checked, and ${NAME} in paths is replaced from the environment. */
#ifndef WN_REPORT_RECIPE_H
#define WN_REPORT_RECIPE_H

#include "io/json.h"
#include "report/section.h"
#include "winnow.h"

typedef struct wn_recipe_target {
    const char *name, *queries, *test, *map, *metric; /* map, metric NULL: none given */
    const char *query_map;          /* of queries, where it is another than map; NULL: map */
    uint64_t max_queries, max_test; /* 0: all rows */
    const char
        *shots; /* labelled rows of the few-shot stage, "{seed}" in it is the seed; or NULL */
} wn_recipe_target;

typedef struct wn_recipe_arm {
    const char *name;             /* in file names and the verdict */
    const char *strategy;         /* "zero-shot" or a strategy of select */
    const char *distance, *dedup; /* NULL: the strategy's default */
    uint64_t k, budget, budget_tokens, per_task;
    bool own_budget; /* it says its own budget, so it is matched to no other */
    bool uses_store; /* needs vectors of pool and queries */
    bool uses_text;  /* reads the queries' texts */
    bool uses_grads; /* needs gradients of pool and queries */
    bool by_seed;    /* its selection depends on the seed */
    bool fills;      /* takes as many rows as it may: those of the reference, or its own budget */
    bool baseline;   /* zero-shot, random, balanced-random, all: what others are compared with */
    bool few;        /* trained on the target's shots, on top of what arm `base` trained */
    size_t base;
    wn_select_opts own; /* options that only its strategy has */
} wn_recipe_arm;

/* Where gradients are taken, and of what: a model trained on the whole pool as `training` says. */
typedef struct wn_recipe_gradients {
    bool there;     /* some arm needs them */
    wn_grad_opts o; /* files and seed are not set */
} wn_recipe_gradients;

/* The few-shot stage: what the arms NAME+few-shot do. */
typedef struct wn_recipe_few {
    bool there;
    uint64_t rows;  /* drawn by seed from the target's shots; 0: all of them */
    uint64_t *seed; /* each start model is trained once a seed */
    size_t n_seeds;
    size_t max_tokens; /* of training and evaluation; 0: as they are elsewhere */
    wn_train_opts train;
} wn_recipe_few;

typedef struct wn_recipe_embed {
    wn_embed_opts o; /* of the pool */
    const char *map; /* the pool is embedded as this map reads its sources; NULL: as it is */
    const char *query_prompt, *query_prompt_name; /* what the targets' queries get instead */
} wn_recipe_embed;

typedef struct wn_recipe {
    const char *path, *title;
    const char **sources;
    size_t n_sources;
    const char *map, *dedup, *split, *tasks; /* of the pool; as wn_pool_build_opts */
    uint64_t pool_per_task;
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
    wn_recipe_few few;
    wn_recipe_gradients gradients;
    const char **eval_parse, **eval_stop; /* the lists that eval borrows */
    json_t *tree;                         /* owns all strings */
} wn_recipe;

/* Paths are taken relative to the recipe's folder. `path` is borrowed until close. */
wn_err wn_recipe_open(wn_recipe *r, const char *path);
/* The same for a recipe whose files need not be there: ${NAME} of a name that the environment has
 * not stays as <NAME>. */
wn_err wn_recipe_open_absent(wn_recipe *r, const char *path);
void wn_recipe_close(wn_recipe *r); /* idempotent */
/* Options that are unknown or do not go together, before any part runs. WN_EARG names the section.
 */
wn_err wn_recipe_check(const wn_recipe *r);

/* Seeds that an arm is trained with; its s-th. The arm that a few-shot arm's s-th seed starts from
 * was trained with the seed of the same place, over again where those are fewer. */
size_t wn_recipe_seeds(const wn_recipe *r, const wn_recipe_arm *a);
uint64_t wn_recipe_seed(const wn_recipe *r, const wn_recipe_arm *a, size_t s);
/* The arm whose size those that fill match: the first that uses vectors, or gradients or texts
 * without filling. SIZE_MAX: there is none. */
size_t wn_recipe_reference(const wn_recipe *r);
bool wn_recipe_uses_vectors(const wn_recipe *r);  /* some arm does */
bool wn_arm_is_zero_shot(const wn_recipe_arm *a); /* nothing is trained */

/* ---- between recipe.c and recipe_few.c ---- */
extern const wn_field wn_recipe_train_fields[];
wn_err wn_recipe_seed_list(uint64_t **seed, size_t *n, const json_t *list, const char *where);
/* Reads `few_shot` and adds its arms behind the others. */
wn_err wn_recipe_read_few(wn_recipe *r);

#endif

/* Choosing the rows to train on: a strategy = feature x score x rule, under common constraints.
 *
 * wn_select_job opens the inputs, makes the list of candidates (candidates.c), strikes out what the
 * constraints forbid before anything is chosen (contamination, duplicates: constraints.c), counts
 * tokens if the budget is in tokens, calls the strategy, and writes rows, manifest and hits
 * (write.c). A strategy is one file with one function, and one row in the table of strategies.c; it
 * never sees a file. */
#ifndef WN_SELECT_SELECT_H
#define WN_SELECT_SELECT_H

#include "pool/pool.h"
#include "search/search.h"
#include "store/queries.h"
#include "store/store.h"

/* ---- what can be chosen ------------------------------------------------------------------------
 */

/* Candidate i is row i of the store if there is one, else of the pool. */
typedef struct wn_candidates {
    uint64_t N;
    wn_pool *pool;   /* NULL: only ids are known */
    wn_store *store; /* NULL: no vectors; whoever reads them compares them with their checksums */
    wn_queries target;
    wn_store *queries;   /* target.store */
    wn_pool *query_rows; /* the target's texts, for strategies that read them; else NULL */
    uint64_t *pool_row;  /* [N] row of the pool; NULL: the same number, or no pool */
    uint32_t *task;      /* [N] number of the task */
    uint32_t tasks;
    uint32_t *tokens;               /* [N] NULL: not counted */
    char tokenizer_sha[WN_SHA_HEX]; /* of what counted them; "": they stood in the store */
    uint64_t *skip;                 /* bits: may not be chosen */
    uint64_t left;                  /* candidates not skipped */
    bool other_text;                /* the store is of other renderings of the pool's rows */
    bool borrowed;                  /* pool, store, pool_row and task are another's */
} wn_candidates;

/* like: of the same pool and store, which are then shared with it and must outlive the new ones;
 * NULL: none. */
wn_err wn_candidates_open(wn_candidates *c, const wn_select_opts *o, const wn_candidates *like);
void wn_candidates_close(wn_candidates *c);
uint64_t wn_candidate_pool_row(const wn_candidates *c, uint64_t i);
wn_span wn_candidate_id(const wn_candidates *c, uint64_t i,
                        wn_row *work); /* work: as wn_pool_row's */
const char *wn_candidate_task(const wn_candidates *c, uint64_t i);
wn_span wn_candidate_query(const wn_candidates *c, uint64_t q, wn_row *work); /* its id */

/* ---- constraints
 * --------------------------------------------------------------------------------- */

/* One struck-out row: which target row is like it, and how. */
typedef enum wn_veto_kind {
    WN_VETO_EXACT,   /* the same prompt, or prompt and target, in words */
    WN_VETO_WORDS,   /* shared runs of words */
    WN_VETO_NEAR,    /* similar prompts */
    WN_VETO_VECTORS, /* similar vectors */
    WN_VETO_KINDS
} wn_veto_kind;
typedef struct wn_veto {
    uint64_t row; /* of the pool */
    wn_veto_kind kind;
    char *id, *by, *words; /* words NULL: not of words */
    double score;          /* near, vectors: the similarity */
} wn_veto;
typedef struct wn_vetoes {
    wn_veto *v;
    size_t n, cap;
} wn_vetoes;
void wn_veto_free(wn_veto *v);
void wn_vetoes_free(wn_vetoes *v);
const char *wn_veto_kind_name(wn_veto_kind k);

/* What candidates were compared with: "nothing found" means something only beside it. */
typedef struct wn_compared {
    uint64_t rows, wordless;          /* target rows; those without words to compare */
    uint64_t run_words;               /* words of a run */
    uint64_t runs, stretches, wholes; /* different ones, of the target rows */
    uint64_t sets;                    /* target rows as sets of runs, for similar prompts */
    uint64_t vectors;                 /* target rows with vectors */
} wn_compared;

enum { WN_VETO_SHOWN = 100 }; /* in the manifest; all stand in a file beside the selection */
typedef struct wn_constraint_counts {
    uint64_t candidates, duplicates, vetoed, by_kind[WN_VETO_KINDS];
    wn_vetoes veto; /* in the candidates' order */
    wn_compared compared;
} wn_constraint_counts;

/* Sets bits of c->skip and c->left. avoid: the target rows, opened; may be empty. */
wn_err wn_constrain(wn_constraint_counts *counts, wn_candidates *c, const wn_select_opts *o,
                    wn_pool *const *avoid, size_t n_avoid);
void wn_constraint_counts_free(wn_constraint_counts *counts);

/* From which on a vector is like a target's, unless an option says otherwise. */
#define WN_AVOID_COSINE 0.95

/* By vectors (vector_veto.c): rows whose vector is close to one of o->avoid_store; rows that repeat
 * an earlier one of o->near_cosine. `strike` says which. */
typedef void (*wn_strike_fn)(void *ctx, uint64_t candidate);
wn_err wn_strike_like_targets(wn_vetoes *out, uint64_t *vectors, const wn_candidates *c,
                              const wn_select_opts *o, wn_strike_fn strike, void *ctx);
wn_err wn_strike_repeated(const wn_candidates *c, const wn_select_opts *o, wn_strike_fn strike,
                          void *ctx);

/* A selection being filled: budget in rows and tokens, cap per task. */
typedef struct wn_filler {
    const wn_candidates *c;
    uint64_t rows, tokens;                    /* taken */
    uint64_t budget, budget_tokens, per_task; /* 0: none */
    uint64_t *of_task;                        /* [tasks] taken of each */
} wn_filler;
typedef enum wn_fill { WN_FILL_TAKEN, WN_FILL_TASK_FULL, WN_FILL_FULL } wn_fill;
wn_err wn_filler_init(wn_filler *f, const wn_candidates *c, const wn_select_opts *o);
void wn_filler_free(wn_filler *f);
void wn_filler_clear(wn_filler *f);
/* Takes candidate i if it fits. FULL: it does not fit the budget, which ends the filling: to go on
 * to the next that fits would prefer short rows. */
wn_fill wn_filler_take(wn_filler *f, uint64_t i);

/* ---- the result
 * ------------------------------------------------------------------------------------ */

typedef struct wn_pick {
    uint64_t row;   /* candidate */
    uint64_t place; /* its row of the pool, by which selections are ordered; set when written */
    uint64_t query; /* whose score it is */
    double score;
    uint32_t hits; /* queries that have it; 0: the strategy has no scores */
    uint32_t rank; /* its place in that query's list, from 1 */
} wn_pick;

/* Zero it first. */
typedef struct wn_picks {
    wn_pick *pick;
    size_t n, cap;
    uint64_t tokens;
    /* Strategies with queries: their lists, for explanations. [Q, width]; the first `used` of each
     * list made the union, what follows would have been next. */
    int64_t *list_row;
    double *list_score;
    size_t Q, width, used;
    bool best_only; /* one hit a query was still too many */
    bool scored;    /* picks have scores of their own, without queries */
    json_t *about;  /* facts of the strategy for the manifest, NULL: none */
} wn_picks;
wn_err wn_picks_add(wn_picks *p, wn_pick pick);
void wn_picks_free(wn_picks *p);

/* ---- strategies
 * ------------------------------------------------------------------------------------- */

typedef enum wn_feature {
    WN_FEATURE_NONE,
    WN_FEATURE_VECTORS,   /* --store, and --queries: a store, or rows that --model embeds */
    WN_FEATURE_GRADIENTS, /* --store and --queries, two stores of gradients */
    WN_FEATURE_TEXT       /* --pool and --queries, rows */
} wn_feature;

typedef struct wn_strategy {
    const char *name;
    wn_feature feature;
    bool fills;  /* needs a budget or a cap, or it would take everything */
    bool seeded; /* what it picks depends on the seed */
    bool steps;  /* rows may be Adam's steps, queries plain gradients (wn_store_match_steps) */
    /* Picks in any order; each candidate at most once, none that is skipped. */
    wn_err (*pick)(wn_picks *out, const wn_candidates *c, const wn_select_opts *o);
    /* The same n times, from one store by one metric, with one pass over it; NULL: there is nothing
     * to share. */
    wn_err (*pick_all)(wn_picks *out, const wn_candidates *c, const wn_select_opts *o, size_t n);
} wn_strategy;
wn_err wn_strategy_find(const wn_strategy **s, const char *name);

/* n selections of wn_select_job that differ in nothing but queries, rows to avoid, sizes and
 * output: the same bytes, but what the strategy can share is done once (pick_all). */
wn_err wn_select_together(const wn_select_opts *o, size_t n);

wn_err wn_pick_deft_all(wn_picks *out, const wn_candidates *c, const wn_select_opts *o, size_t n);
wn_err wn_pick_deft(wn_picks *out, const wn_candidates *c, const wn_select_opts *o);
wn_err wn_pick_gradex_fs(wn_picks *out, const wn_candidates *c, const wn_select_opts *o);
wn_err wn_pick_gradex_re(wn_picks *out, const wn_candidates *c, const wn_select_opts *o);
wn_err wn_pick_less(wn_picks *out, const wn_candidates *c, const wn_select_opts *o);
wn_err wn_pick_dsir(wn_picks *out, const wn_candidates *c, const wn_select_opts *o);
wn_err wn_pick_bm25(wn_picks *out, const wn_candidates *c, const wn_select_opts *o);
wn_err wn_pick_random(wn_picks *out, const wn_candidates *c, const wn_select_opts *o);
wn_err wn_pick_balanced(wn_picks *out, const wn_candidates *c, const wn_select_opts *o);
wn_err wn_pick_all(wn_picks *out, const wn_candidates *c, const wn_select_opts *o);

/* The candidates that are left in the order of a random number each, which depends only on seed and
 * position: a larger budget extends a smaller one's selection. `first`: where in the stream of
 * random numbers row 0 stands. *order [c->left], wn_free. */
wn_err wn_random_order(uint64_t **order, const wn_candidates *c, uint64_t seed, uint64_t first);

/* Candidates order [c->left] one after the other, as far as budget and caps go. score NULL, or
 * [c->N]: rows without one (NaN) are passed over. */
wn_err wn_take_in_order(wn_picks *out, const wn_candidates *c, const wn_select_opts *o,
                        const uint64_t *order, const double *score);
/* The candidates of the largest scores as far as budget and caps go, ties to the smaller number;
 * score [c->N], of which those struck out are not read. */
wn_err wn_take_best(wn_picks *out, const wn_candidates *c, const wn_select_opts *o,
                    const double *score);

/* ---- tokens, output
 * ------------------------------------------------------------------------------------ */

/* Fills c->tokens: prompt and target with what training puts around them, by `model`'s tokenizer;
 * without a model as the store counted them. */
wn_err wn_count_tokens(wn_candidates *c, const char *model);

typedef struct wn_select_inputs {
    wn_pool **avoid;
    size_t n_avoid;
} wn_select_inputs;
/* Into a manifest: "shares", a task each, most picks first: rows and share of the picks, pool_rows
 * and pool_share of the candidates, times = the ratio of the shares; and, where there are lists,
 * "by_k": for 1, 2, 5, 10, ... up to k the rows of the union of the first k hits, and the shares of
 * the tasks with most picks in it. */
wn_err wn_selection_shares(json_t *m, const wn_picks *p, const wn_candidates *c, size_t k);

/* OUT (rows in pool order), OUT.hits.jsonl (strategies with queries), OUT.manifest.json. */
wn_err wn_selection_write(wn_picks *p, const wn_candidates *c, const wn_constraint_counts *counts,
                          const wn_select_inputs *in, const wn_select_opts *o);

#endif

/* How large an experiment is: from its files where they are there, else from the recipe's section
 * `sizes`. What `winnow plan` reckons with; see docs/recipe.md. */
#ifndef WN_REPORT_SIZES_H
#define WN_REPORT_SIZES_H

#include "report/recipe.h"

/* Rows of a file and their mean lengths. */
typedef struct wn_text_size {
    uint64_t rows;
    double bytes;          /* of a row's line */
    double prompt, target; /* tokens; target: of one choice where there are choices */
    double choices;        /* 0: none, answers are generated */
    bool there;            /* counted, not stated */
} wn_text_size;

typedef struct wn_target_size {
    wn_text_size queries; /* prompt: the encoder's tokens */
    wn_text_size test;    /* the model's tokens */
} wn_target_size;

typedef struct wn_sizes {
    wn_text_size pool;                     /* the model's tokens */
    double pool_embed;                     /* the encoder's tokens of a pool row's prompt */
    wn_target_size *target;                /* [recipe.n_targets] */
    uint64_t selected;                     /* rows of a union, stated; 0: not */
    double shots;                          /* rows of a few-shot stage */
    json_t *encoder, *model;               /* config.json; encoder NULL where no arm uses vectors */
    const char *encoder_from, *model_from; /* "files" or "recipe" */
    wn_str notes;                          /* a line each: what was guessed */
} wn_sizes;

/* Every number that is needed is known afterwards; WN_EARG names the key that is missing. */
wn_err wn_sizes_read(wn_sizes *s, const wn_recipe *r);
void wn_sizes_free(wn_sizes *s);

/* The config of a shape that is known by name ("t5-v1_1-xl"); NULL: it is not. New reference. */
json_t *wn_shape_config(const char *name);
const char *wn_shape_names(void); /* all, by comma */

#endif

/* What the files of this folder share: the model itself and the pieces a family is built from. */
#ifndef WN_MODEL_INTERNAL_H
#define WN_MODEL_INTERNAL_H

#include "model/head.h"
#include "model/model.h"
#include "model/stack.h"
#include "model/weights.h"

/* A table of vectors looked up by id: the mapped tensor while it is frozen, its master when it is
 * trained. */
typedef struct wn_table {
    const wn_tensor *tensor; /* NULL: this model has none */
    int param;
    size_t rows;
} wn_table;

struct wn_model {
    wn_model_facts facts;
    wn_weights files;
    wn_params params;
    wn_tokenizer *tokenizer;
    bool train_full, unpacked;
    wn_base base;
    /* ids to the stack's input: (token * scale + position + type), then the norm */
    wn_table token, position, type;
    float embed_scale;
    wn_linear project_in, project_out; /* OPT: where token vectors are narrower than the state; N 0:
                                          none */
    size_t position_offset;
    wn_norm embed_norm;
    wn_stack stack;   /* the only one, or an encoder-decoder's decoder */
    wn_stack encoder; /* L 0: none */
    wn_norm encoder_norm;
    wn_norm final_norm; /* of hidden states; the head has it too */
    wn_linear output;   /* [V, E], its weight the token table's where tied; N 0: none (encoders) */
    wn_linear pooler;   /* of an encoder's checkpoint: nothing is computed with it; N 0: none */
    wn_head head;
    char sha[WN_SHA_HEX];
    char adapter_sha[WN_SHA_HEX]; /* empty: none */
    char *path;                   /* as the user gave it */
    wn_sentence *sentence;        /* NULL: no sentence-transformers folder */
    bool states_only, headless;
    uint64_t n_linear; /* numbers given to linear layers */
};

struct wn_work {
    wn_arena arena;
    const wn_model *model;
    size_t T, segments;
    wn_work_kind kind;
    float *x;
    float *narrow, *d_narrow; /* [T, E]: token vectors before project_in */
    wn_linear_work project_in, project_out;
    int32_t *zero; /* [T] zeros: ids of the type table */
    wn_acts *acts, *source_acts;
    float *source_x, *source_out; /* an encoder-decoder's encoder: its stack's state, its output */
    wn_stack_work source;
    wn_stack_work stack;
    wn_head_work head;
};

/* ---- pieces of a pass (pass.c) ---- */

/* A pass without a backward to come. */
wn_pass wn_pass_forward(const wn_model *m, const wn_batch *b);
/* An encoder-decoder's encoder on the pass's batch, up to layer `last`: w->source_out [T, D], which
 * becomes the decoder's source. */
wn_err wn_pass_source(const wn_model *m, wn_work *w, wn_pass *pass, size_t last, bool keep);
/* The pass's ids to the stack's input w->x; positions are w->stack.pos. */
wn_err wn_pass_embed(const wn_model *m, wn_work *w, const wn_pass *pass);
/* Refuses a model without an output head. */
wn_err wn_pass_need_head(const wn_model *m);

/* A kind of families: knows some model_types of config.json (the i-th name; NULL behind the last),
 * and fills stack, tables, norms and head from config and weights. */
bool wn_encoder_knows(const char *model_type);
const char *wn_encoder_name(size_t i);
wn_err wn_build_encoder(wn_model *m);
bool wn_decoder_knows(const char *model_type);
const char *wn_decoder_name(size_t i);
wn_err wn_build_decoder(wn_model *m);
bool wn_t5_knows(const char *model_type);
const char *wn_t5_name(size_t i);
wn_err wn_build_t5(wn_model *m);

/* ---- building blocks (build.c) ---- */

/* Members of config.json; errors name the file. */
wn_err wn_config_size(size_t *out, const wn_model *m, const char *key, size_t fallback,
                      bool required);
wn_err wn_config_real(double *out, const wn_model *m, const char *key, double fallback);
wn_err wn_config_flag(bool *out, const wn_model *m, const char *key, bool fallback);
const char *wn_config_text(const wn_model *m, const char *key, const char *fallback);
wn_err wn_config_act(wn_act *out, const wn_model *m, const char *key);

/* `module`.weight [N, K] and, if there, `module`.bias [N]. */
typedef struct wn_linear_form {
    bool bias;
    wn_row_order order;
    bool transposed; /* [K, N] (GPT-2's Conv1D) */
} wn_linear_form;
wn_err wn_build_linear(wn_model *m, wn_linear *l, const char *module, size_t N, size_t K,
                       const wn_linear_form *form);
/* One that nothing is multiplied by: it stays in its file, or is not there at all (no parameters).
 * Adapters can name it. */
wn_err wn_build_idle(wn_model *m, wn_linear *l, const char *module, size_t N, size_t K);
/* `module`.weight [D] and, if there, `module`.bias. gain_offset is added to what the file holds. */
typedef struct wn_norm_form {
    float eps;
    bool rms, bias;
    float gain_offset;
} wn_norm_form;
wn_err wn_build_norm(wn_model *m, wn_norm *n, const char *module, size_t D,
                     const wn_norm_form *form);
/* A table [rows, D] named `name`. */
wn_err wn_build_table(wn_model *m, wn_table *t, const char *name, size_t rows, size_t D);
/* The output matrix `name` [V, D], or the token table again if `tied`. */
wn_err wn_build_head(wn_model *m, const char *name, bool tied);
/* cos and sin of positions 0..positions-1 for pair frequencies freq [rot / 2]; scale multiplies
 * both. */
wn_err wn_build_rope(float **table, const double *freq, size_t rot, size_t positions, double scale);
/* One of them: the cosine to out[0], the sine to out[half]. */
void wn_rope_angle(float *out, size_t half, int32_t position, double freq, double scale);
wn_norm wn_no_norm(void);
wn_err wn_layer_new(const wn_model *m, wn_stack *s); /* s->layer, all norms absent */
/* All linear layers, those of the stacks first: the i-th (N 0 where a layer lacks it), NULL behind
 * the last. */
wn_linear *wn_model_linear(wn_model *m, size_t i);
/* The layer of a stack that it belongs to, NULL: none, it stands by itself. */
const wn_layer *wn_model_layer_of(const wn_model *m, size_t i);

/* The one line that refuses to train or differentiate at precision int8. */
wn_err wn_int8_has_no_backward(void);

/* A parameter of the base as a Hugging Face checkpoint holds it, out [rows, cols], whatever file it
 * comes from. */
wn_err wn_param_read(float *out, const wn_model *m, const wn_param *p);

/* Packs a matrix anew from its master [N, K], or [K, N] if transposed. */
void wn_repack(wn_mat *mat, const float *value, bool transposed);

#endif

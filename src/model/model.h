/* Models: ids to hidden states, losses and gradients. A family a file (bert.c, decoder.c, ...),
 * each a pair of plain functions, forward and backward, over the same few pieces: linear layers
 * with adapters (linear.h), norms and attention (kernel.h), the output head (head.h). No tape, no
 * graph.
 *
 * A wn_model is immutable while it runs and may be shared; a wn_work holds all memory of a step,
 * planned for a largest batch and allocated once. */
#ifndef WN_MODEL_MODEL_H
#define WN_MODEL_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "io/hash.h"
#include "io/json.h"
#include "model/params.h"
#include "model/sentence.h"
#include "token/encode.h"

typedef struct wn_model wn_model;

/* In memory: as the precision multiplies them, or in blocks of 8 or 4 bits, which become such
 * numbers as they are multiplied (1.06 and 0.63 bytes a weight; the output matrix has 8 bits). */
typedef enum wn_base { WN_BASE_AUTO, WN_BASE_Q8, WN_BASE_Q4 } wn_base;

typedef struct wn_model_opts {
    wn_precision precision;
    const char *adapter; /* PEFT folder put on top, NULL: none */
    bool train_full;     /* parameters will be changed: keep float32 masters */
    bool unpacked;       /* to be saved only: matrices stay in their files, no pass can run */
    bool headless;       /* an output matrix that is missing is no error; only states can be had */
    wn_base base;        /* how frozen matrices are held; not with train_full or precision int8 */
    bool states_only;    /* hidden states are all that is wanted: without an adapter, neither an
                            output matrix nor an encoder-decoder's decoder is read */
} wn_model_opts;

/* path: a Hugging Face folder or a .gguf file. Opens weights and tokenizer. Errors name the file
 * and what is wrong: unknown architecture, missing or misshapen tensor, NaN in a weight. */
wn_err wn_model_open(wn_model **out, const char *path, const wn_model_opts *opts);
/* A model that is a config alone: numbers are made up, there is no tokenizer, nothing can be saved.
 * Its shape, memory and the time of its passes are those of a real one, in memory for as many
 * layers as `layers` says (0: the config's; an encoder-decoder gets that many on each side).
 * config: as config.json, copied; `place` stands in errors. */
wn_err wn_model_make_up(wn_model **out, const json_t *config, const char *place, size_t layers,
                        const wn_model_opts *opts);
void wn_model_close(wn_model *m);

typedef struct wn_model_facts {
    const char *family; /* "bert", "llama", ... */
    const char *path;
    wn_shape shape;
    wn_precision precision; /* as resolved: F32, BF16 or INT8 */
    size_t layers;          /* behind which states can be had: an encoder-decoder's encoder's */
    size_t width, heads, vocab, max_positions; /* max_positions 0: no limit */
    size_t same_angles; /* rows of more tokens turn queries and keys by angles that depend on their
                           length: texts may not share a prompt then. 0: none does */
    int32_t decoder_start; /* encoder-decoder: the decoder's first token */
    bool ends_in_eos;      /* encoded texts do, whatever the tokenizer's post-processor says (T5) */
    uint64_t parameters;
    const char *weights_sha;     /* SHA-256 of the weight files' bytes (computed at first call) */
    const char *dtype;           /* of the stored weights, "f32", "bf16", "q4_1" */
    const wn_sentence *sentence; /* a sentence-transformers folder's own rules; NULL: none */
} wn_model_facts;
const wn_model_facts *wn_model_facts_of(const wn_model *m);
const wn_tokenizer *wn_model_tokenizer(const wn_model *m);
bool wn_model_has_head(const wn_model *m); /* it can score, not only embed */
/* Whether p is of the output layer: its matrix, which may be the embedding too, bias or adapter. */
bool wn_model_is_output(const wn_model *m, const wn_param *p);
/* Bytes of matrices that only scoring needs: a model opened for its states alone has none of them.
 */
uint64_t wn_model_scoring_bytes(const wn_model *m);
wn_err wn_model_sha(wn_model *m, char hex[WN_SHA_HEX]); /* of weights and adapter together */

/* {"path","sha256","family","dtype","precision", "adapter"...}: what manifests hold of a model. */
wn_err wn_model_manifest(json_t **out, wn_model *m);

/* Every parameter in the order that `winnow model info --params` prints, named as in the Hugging
 * Face checkpoint. Frozen ones have trainable false. With an adapter its parameters follow the
 * base's. */
wn_params *wn_model_params(wn_model *m);

/* Freezes all and adds LoRA (linear.h) to the named linear layers, A kaiming-uniform from (seed,
 * WN_STREAM_LORA), B zero. targets: "all-linear" or module names by pattern (pattern_list.h), plain
 * ones matched as PEFT does on the last parts of the name. dropout: on the adapter's input. */
typedef struct wn_lora_opts {
    size_t rank;  /* 0: 8 */
    double alpha; /* 0: twice the rank */
    double dropout;
    bool rslora;
    const char *bias; /* biases trained beside it: "none" (NULL), "lora-only", "all" */
    const char *targets;
    uint64_t seed;
} wn_lora_opts;
wn_err wn_model_add_lora(wn_model *m, const wn_lora_opts *o);
/* Rank and alpha with the zeros filled in. */
void wn_lora_defaults(size_t *rank, double *alpha);
/* Freezes all and adds IA3 (linear.h), vectors of ones, trainable. targets: module names by
 * pattern, NULL: keys, values and the last feed-forward layer of every layer, cross-attention's
 * too, as the paper does; where queries, keys and values are one matrix, all of it. feedforward:
 * those of the targets whose input is multiplied, NULL: the last feed-forward layers among them. */
typedef struct wn_ia3_opts {
    const char *targets, *feedforward;
} wn_ia3_opts;
wn_err wn_model_add_ia3(wn_model *m, const wn_ia3_opts *o);
/* Dropout of the model's own places in passes with a sink: p of each, or, p < 0, as its config says
 * (transformers' places and defaults). Off until this is called. */
wn_err wn_model_set_dropout(wn_model *m, double p);
/* Takes the adapter off that was added; its parameters stay in the list, frozen. */
void wn_model_take_off(wn_model *m);
/* Makes all base parameters trainable (wn_model_opts.train_full). */
wn_err wn_model_train_full(wn_model *m);
/* After parameters were changed: packs them anew. */
void wn_model_refresh(wn_model *m);
/* PEFT folder: adapter_config.json and adapter_model.safetensors. base: what
 * base_model_name_or_path says. */
wn_err wn_model_save_adapter(const wn_model *m, const char *dir, const char *base);

/* A folder that transformers loads: all tensors of the checkpoint it came from, trained ones
 * replaced, an adapter merged into its layers (as PEFT does: W + scale B A, l W), with its config
 * and tokenizer files. Float8 is written as bf16, which holds it exactly. A GGUF file's tensors
 * become f32 unless said otherwise, its config and tokenizer are made from its metadata. can_save
 * refuses, before the work, a model that cannot be saved so. */
typedef struct wn_save_opts {
    const char *dtype;    /* "f32", "f16", "bf16"; NULL: each tensor's own */
    uint64_t shard_bytes; /* largest weight file; 0: 5 GB */
} wn_save_opts;
wn_err wn_model_can_save(const wn_model *m);
wn_err wn_model_save(const wn_model *m, const char *dir, const wn_save_opts *o);

/* A batch: B segments end to end, no padding. */
typedef struct wn_batch {
    size_t B, T;
    const int32_t *id;     /* [T] */
    const uint32_t *off;   /* [B+1]; segment b is tokens [off[b], off[b+1]) */
    const int32_t *parent; /* [B] or NULL: an earlier segment whose tokens come before this one's (a
                              shared prompt), -1 none. Parents have no parents. Decoders only. */
    const int32_t *label;  /* [T] or NULL: the token to be predicted at this position, -1: none. A
                              segment's first token is predicted from its parent's last position: see
                              first_label */
    const int32_t *first_label; /* [B] or NULL: for segments with a parent, the label to be scored
                                at the parent's last token on behalf of this segment, -1: none */
    const struct wn_batch
        *source; /* encoder-decoder models: the encoder's rows; this batch is the decoder's side */
    const uint32_t *source_of; /* [B]: which of the source's segments a segment attends to */
    const uint64_t
        *example; /* [B] or NULL: numbers of the examples, the counters of their dropout */
} wn_batch;

/* Rows of a matrix that belong to examples: rows [off[b], off[b+1]) to example first + b. */
typedef struct wn_seg {
    size_t B;
    const uint32_t *off; /* [B+1] */
    size_t first;
} wn_seg;

/* All memory of a step for batches of at most max_tokens tokens (on each side of an
 * encoder-decoder), max_segments segments and max_labels supervised positions. */
typedef enum wn_work_kind {
    WN_WORK_FORWARD, /* no backward */
    WN_WORK_TRAIN,   /* every layer keeps what its backward needs */
    WN_WORK_NARROW,  /* the same, but queries, keys, values, attention's output and the feed-forward
                        part's inner values as bf16: two fifths less memory. For models of bf16
                        products, whose backward rounds most of them anyway */
    WN_WORK_EXAMPLES, /* as WN_WORK_TRAIN, and the head keeps all supervised positions in one tile
                         (labels * vocabulary floats), so that a sink sees every example's share of
                         the output matrix in one call; its two matrices then stay as they are until
                         the pass ends */
    WN_WORK_RECOMPUTE /* only a layer's input is kept; the rest is computed again (Chen et al. 2016,
                         arXiv 1604.06174): a third more arithmetic, the same bits (in bf16: as
                         those of WN_WORK_NARROW) */
} wn_work_kind;
typedef struct wn_work wn_work;
wn_err wn_work_new(wn_work **out, const wn_model *m, size_t max_tokens, size_t max_segments,
                   size_t max_labels, wn_work_kind kind);
void wn_work_free(wn_work *w);
/* What wn_work_new would allocate. */
size_t wn_work_bytes(const wn_model *m, size_t max_tokens, size_t max_segments, size_t max_labels,
                     wn_work_kind kind);

/* Hidden states of the encoder or, in a decoder-only model, of its stack, behind layer `layer`
 * (1..L; 0: the last). Those of the last layer are behind the final norm and, of OPT 350m, behind
 * its projection to the width of token vectors: hidden [T, wn_model_state_width]. */
size_t wn_model_state_width(const wn_model *m, int layer);
wn_err wn_model_hidden(const wn_model *m, wn_work *w, const wn_batch *b, int layer, float *hidden);

/* -log p of every supervised token: nll [B] sums over the segment's labels (first_label included),
 * count [B] their number. Doubles: sums in token order. */
wn_err wn_model_nll(const wn_model *m, wn_work *w, const wn_batch *b, double *nll, uint32_t *count);

/* Forward and backward of sum over segments of weight[b] * (sum of nll over its labels); gradients
 * go to the sink. seed and step (the update's number) with the batch's example numbers choose the
 * dropout masks, where the model's adapters have dropout. */
struct wn_sink;
wn_err wn_model_loss_back(const wn_model *m, wn_work *w, const wn_batch *b, const float *weight,
                          uint64_t seed, uint64_t step, double *nll, uint32_t *count,
                          const struct wn_sink *sink);

/* What of a row is differentiated: the mean over its target tokens of
 *   WN_LOSS            -log p
 *   WN_MARGIN          log(p / (1 - p)), exact
 *   WN_MARGIN_REF      the same of a clipped q: p - 0.01 above 0.9, p + 0.01 below 0.001, else p
 *   WN_MARGIN_REF_COT  log(q / (1 - q + 1e-10)) with q = p - 0.001: not a number where p < 0.001
 * The clips are those of Li et al. 2024 (arXiv 2409.19458), instruction and chain-of-thought data;
 * with them a token's gradient is the exact margin's times p(1 - p) / (q(1 - q)). */
typedef enum wn_quantity { WN_LOSS, WN_MARGIN, WN_MARGIN_REF, WN_MARGIN_REF_COT } wn_quantity;

/* Forward and backward without dropout of sum over segments of weight[b] * (sum of the quantity
 * over its labels). nll, margin [B]: sums over labels, margin clipped as the quantity says (exact
 * for WN_LOSS). Otherwise as wn_model_loss_back. */
wn_err wn_model_example_back(const wn_model *m, wn_work *w, const wn_batch *b, wn_quantity quantity,
                             const float *weight, double *nll, double *margin, uint32_t *count,
                             const struct wn_sink *sink);
/* The forward part alone, in memory of any kind but WN_WORK_FORWARD. */
wn_err wn_model_margins(const wn_model *m, wn_work *w, const wn_batch *b, wn_quantity quantity,
                        double *nll, double *margin, uint32_t *count);

/* The same for losses that are a function of all of a batch's token losses: once these are known,
 * `weigh` says the derivative of the loss by each of them. weight, nll: a supervised position each,
 * segment b's at [off[b], off[b+1]), first_label first. */
typedef struct wn_weigh {
    void (*fn)(void *ctx, float *weight, const float *nll, const uint32_t *off, size_t B);
    void *ctx;
} wn_weigh;
wn_err wn_model_weighed_back(const wn_model *m, wn_work *w, const wn_batch *b,
                             const wn_weigh *weigh, uint64_t seed, uint64_t step, double *nll,
                             uint32_t *count, const struct wn_sink *sink);

/* What happens to a layer's gradient: the sink is handed the two matrices it is made of, never the
 * gradient itself. Training adds into params (wn_sink_train); features make one row per example.
 * Called in backward order from one thread; seg says which rows belong to which example. */
typedef struct wn_sink {
    void *ctx;
    /* dW [N,K] += scale * dy^T x of the linear parameter p (a LoRA factor is one too), dbias [N] +=
     * sum of dy where bias is not NULL. Either may be NULL: frozen. */
    void (*linear)(void *ctx, wn_param *p, wn_param *bias, float scale, const float *dy, size_t ldy,
                   const float *x, size_t ldx, size_t N, size_t K, const wn_seg *seg);
    /* dg [D] += sum_t dy[t] * xhat[t], xhat = (x - mean) * rinv; mean NULL: root mean square norm.
     * dbias += sum dy. Either parameter may be NULL: frozen. */
    void (*norm)(void *ctx, wn_param *g, wn_param *bias, const float *dy, const float *x,
                 const float *mean, const float *rinv, size_t D, const wn_seg *seg);
    /* d [n]: one example's gradient of a small table (relative positions). */
    void (*table)(void *ctx, wn_param *p, const float *d, size_t n, size_t example);
    /* Embedding rows: dE[id[t]] += dx[t]. */
    void (*embed)(void *ctx, wn_param *e, const float *dx, const int32_t *id, size_t D,
                  const wn_seg *seg);
    /* dl [n] += sum_t dy[t] * u[t] by elements: a vector that multiplies each row of u (IA3). */
    void (*scale)(void *ctx, wn_param *l, const float *dy, size_t ldy, const float *u, size_t ldu,
                  size_t n, const wn_seg *seg);
} wn_sink;
/* The sink of ordinary training: p->grad += ... . */
wn_sink wn_sink_train(void);

#endif

#include "report/pace.h"

#include <math.h>
#include <string.h>

#include "base/mem.h"
#include "base/par.h"
#include "base/report.h"
#include "base/rng.h"
#include "eval/eval.h"
#include "feature/embed.h"
#include "kernel/kernel.h"
#include "model/greedy.h"
#include "model/model.h"
#include "train/train.h"

enum {
    SLOTS = 32, /* texts that answers are generated for at once, as eval does */
    EXAMPLES = 8
};
#define LEAST_SEC  0.25
#define SMALL      (40u << 20) /* parameters up to which a model is measured whole */
#define SMALL_HEAD (16u << 20) /* the same of a vocabulary's matrix */

/* ---- a batch ---- */

/* All a thread needs for its passes. */
struct lane {
    wn_work *work;
    wn_arena memory;
    wn_batch batch, source;
    int32_t *id, *label, *parent, *first_label, *source_id;
    uint32_t *off, *source_off, *source_of, *count;
    float *hidden, *weight;
    double *nll;
    size_t rows, labels;
    size_t most_tokens, most_segments; /* what work is planned for */
};

struct bench {
    const wn_pace_job *j;
    wn_model *m;
    const wn_model_facts *f;
    struct lane *lane; /* [lanes] */
    size_t lanes;
    wn_optim optim;
    wn_sink sink;
    uint64_t step;
    wn_cache *cache;
    uint32_t slot[4][SLOTS]; /* first, seen, source_first, source_n */
    uint32_t source_to[SLOTS];
    int32_t next[SLOTS];
};

static bool two_sided(const struct bench *b)
{
    return b->f->shape == WN_SHAPE_ENCDEC;
}

static int32_t some_id(const struct bench *b, size_t i)
{
    return (int32_t)(wn_rng_u64(7, WN_STREAM_TEST, i) % b->f->vocab);
}

static void segment(struct lane *l, int32_t parent, int32_t first_label)
{
    l->parent[l->batch.B] = parent;
    l->first_label[l->batch.B] = first_label;
    l->labels += first_label >= 0;
    l->batch.B++;
    l->off[l->batch.B] = (uint32_t)l->batch.T;
}

static void tokens(const struct bench *b, struct lane *l, size_t n, size_t labels)
{
    for (size_t i = 0; i < n; i++, l->batch.T++) {
        bool supervised = i + labels >= n;
        l->id[l->batch.T] = some_id(b, l->batch.T);
        l->label[l->batch.T] = supervised ? some_id(b, l->batch.T + 1) : -1;
        l->labels += supervised;
    }
    l->off[l->batch.B] = (uint32_t)l->batch.T;
}

static void add_source(const struct bench *b, struct lane *l)
{
    for (size_t i = 0; i < b->j->prompt; i++, l->source.T++)
        l->source_id[l->source.T] = some_id(b, l->source.T);
    l->source.B++;
    l->source_off[l->source.B] = (uint32_t)l->source.T;
}

/* A row as its job would lay it out. */
static void add_row(const struct bench *b, struct lane *l)
{
    const wn_pace_job *j = b->j;
    size_t texts = j->kind == WN_PACE_RANK ? j->texts : 1;
    l->rows++;
    if (j->kind == WN_PACE_EMBED) {
        segment(l, -1, -1);
        tokens(b, l, j->prompt, 0);
        return;
    }
    if (two_sided(b))
        add_source(b, l);
    else if (texts > 1) {
        segment(l, -1, -1);
        tokens(b, l, j->prompt, 0);
    }
    int32_t parent = (int32_t)l->batch.B - 1;
    for (size_t t = 0; t < texts; t++) {
        if (two_sided(b)) {
            segment(l, -1, -1);
            l->source_of[l->batch.B - 1] = (uint32_t)(l->source.B - 1);
            tokens(b, l, j->target, j->target);
        } else if (texts > 1) {
            segment(l, parent, some_id(b, t));
            tokens(b, l, j->target > 1 ? j->target - 1 : 1, j->target - 1);
        } else {
            segment(l, -1, -1);
            tokens(b, l, j->prompt + j->target - 1, j->target);
        }
    }
}

static size_t row_tokens(const struct bench *b)
{
    const wn_pace_job *j = b->j;
    size_t texts = j->kind == WN_PACE_RANK ? j->texts : 1;
    if (j->kind == WN_PACE_EMBED)
        return j->prompt;
    if (two_sided(b))
        return j->prompt > texts * j->target ? j->prompt : texts * j->target;
    return j->prompt + texts * j->target;
}

static wn_work_kind work_kind(const wn_pace_job *j)
{
    return j->kind == WN_PACE_TRAIN ? WN_WORK_TRAIN : WN_WORK_FORWARD;
}

static wn_err lane_new(struct bench *b, struct lane *l)
{
    size_t each = row_tokens(b);
    size_t most = b->j->kind == WN_PACE_EMBED ? WN_EMBED_TOKENS : WN_SCORE_TOKENS;
    if (b->j->kind == WN_PACE_TRAIN)
        most = b->j->train->max_batch_tokens ? b->j->train->max_batch_tokens : WN_TRAIN_TOKENS;
    size_t rows = most / each ? most / each : 1, T = rows * each;
    size_t B = rows * (b->j->kind == WN_PACE_RANK ? b->j->texts + 1 : 1);
    size_t hidden = b->j->kind == WN_PACE_EMBED ? T * b->f->width : 0;
    WN_TRY(
        wn_arena_init(&l->memory, (4 * T + 8 * B + 8) * 4 + hidden * 4 + B * 8 + (size_t)16 * 64));
    l->id = wn_arena_push(&l->memory, T * 4);
    l->label = wn_arena_push(&l->memory, T * 4);
    l->source_id = wn_arena_push(&l->memory, T * 4);
    l->parent = wn_arena_push(&l->memory, B * 4);
    l->first_label = wn_arena_push(&l->memory, B * 4);
    l->off = wn_arena_push(&l->memory, (B + 1) * 4);
    l->source_off = wn_arena_push(&l->memory, (B + 1) * 4);
    l->source_of = wn_arena_push(&l->memory, B * 4);
    l->count = wn_arena_push(&l->memory, B * 4);
    l->weight = wn_arena_push(&l->memory, B * 4);
    l->nll = wn_arena_push(&l->memory, B * 8);
    l->hidden = hidden ? wn_arena_push(&l->memory, hidden * 4) : NULL;
    l->off[0] = l->source_off[0] = 0;
    l->most_tokens = T;
    l->most_segments = B;
    while (l->rows < rows)
        add_row(b, l);
    for (size_t i = 0; i < l->batch.B; i++)
        l->weight[i] = 1e-3f;
    l->batch.id = l->id;
    l->batch.off = l->off;
    if (b->j->kind == WN_PACE_RANK && b->j->texts > 1 && !two_sided(b)) {
        l->batch.parent = l->parent;
        l->batch.first_label = l->first_label;
    }
    if (b->j->kind != WN_PACE_EMBED)
        l->batch.label = l->label;
    if (two_sided(b) && b->j->kind != WN_PACE_EMBED) {
        l->source.id = l->source_id;
        l->source.off = l->source_off;
        l->batch.source = &l->source;
        l->batch.source_of = l->source_of;
    }
    return wn_work_new(&l->work, b->m, T, B, l->labels, work_kind(b->j));
}

/* ---- passes ---- */

static wn_err forward(void *ctx, size_t i, int thread)
{
    (void)thread;
    struct bench *b = ctx;
    struct lane *l = &b->lane[i];
    if (b->j->kind == WN_PACE_EMBED)
        return wn_model_hidden(b->m, l->work, &l->batch, 0, l->hidden);
    return wn_model_nll(b->m, l->work, &l->batch, l->nll, l->count);
}

static wn_err back(struct bench *b)
{
    struct lane *l = b->lane;
    return wn_model_loss_back(b->m, l->work, &l->batch, l->weight, 0, b->step++, l->nll, l->count,
                              &b->sink);
}

static wn_err answer(struct bench *b)
{
    struct lane *l = b->lane;
    wn_step s = {.b = &l->batch,
                 .first = b->slot[0],
                 .seen = b->slot[1],
                 .source_first = b->slot[2],
                 .source_n = b->slot[3],
                 .source_to = b->source_to};
    return wn_model_next(b->m, l->work, b->cache, &s, b->next);
}

static wn_err run(struct bench *b)
{
    switch (b->j->kind) {
    case WN_PACE_TRAIN:
        return back(b);
    case WN_PACE_ANSWER:
        return answer(b);
    default:
        return wn_par_for(b->lanes, forward, b);
    }
}

static void update(struct bench *b)
{
    wn_optim_step(&b->optim, wn_model_params(b->m), 1e-6, 1, 0);
    wn_model_refresh(b->m);
    wn_params_zero_grads(wn_model_params(b->m));
}

/* The fastest of runs that together take LEAST_SEC, two at least where one takes less than a
 * second, behind a cold one. */
static wn_err time_runs(double *pass, double *step, struct bench *b)
{
    double start = 0;
    *pass = *step = INFINITY;
    for (int i = 0; i < 2 || (i < 3 && *pass + *step < 1) || wn_seconds() - start < LEAST_SEC;
         i++) {
        double t0 = wn_seconds();
        WN_TRY(run(b));
        double t1 = wn_seconds();
        if (b->j->kind == WN_PACE_TRAIN)
            update(b);
        double t2 = wn_seconds();
        if (i == 0) {
            start = t2;
            continue;
        }
        *pass = t1 - t0 < *pass ? t1 - t0 : *pass;
        *step = t2 - t1 < *step ? t2 - t1 : *step;
    }
    return WN_OK;
}

/* ---- what is counted ---- */

/* Multiply-adds twice: every weight a token of its side, the output matrix a supervised token. */
static double flops_of_row(const struct bench *b)
{
    const wn_pace_job *j = b->j;
    const wn_params *ps = wn_model_params(b->m);
    double texts = j->kind == WN_PACE_RANK ? (double)j->texts : 1, prompt = (double)j->prompt;
    double own = texts * (double)j->target, labels = own;
    bool answer = j->kind == WN_PACE_ANSWER;
    if (!two_sided(b))
        own = j->kind == WN_PACE_EMBED ? prompt : prompt + own - texts;
    double sum = 0, source = answer ? 0 : prompt;
    own = answer ? 1 : own;
    labels = answer ? 1 : labels;
    for (size_t i = 0; i < ps->n; i++) {
        const wn_param *p = &ps->p[i];
        if (p->use != WN_PARAM_MATRIX || p->cols < 2 || p->adapter || p->rows == b->f->vocab)
            continue;
        bool of_source = two_sided(b) && (strncmp(p->name, "encoder.", 8) == 0 ||
                                          strstr(p->name, "EncDecAttention.k.") ||
                                          strstr(p->name, "EncDecAttention.v."));
        sum += (double)p->rows * (double)p->cols * (of_source ? source : own);
    }
    if (j->kind != WN_PACE_EMBED)
        sum += (double)b->f->vocab * (double)b->f->width * labels;
    bool full = j->kind == WN_PACE_TRAIN && wn_params_trainable(ps) > wn_params_count(ps) / 2;
    return 2 * sum * (j->kind == WN_PACE_TRAIN ? (full ? 3 : 2) : 1);
}

/* ---- one point ---- */

static const char *method_of(const wn_pace_job *j)
{
    return j->train && j->train->method ? j->train->method : "lora";
}

static wn_err make_trainable(struct bench *b)
{
    const wn_train_opts *o = b->j->train;
    const char *method = method_of(b->j);
    wn_lora_opts lora = {
        .rank = o->rank, .alpha = o->alpha, .bias = o->lora_bias, .targets = o->targets};
    wn_ia3_opts ia3 = {o->targets, o->feedforward};
    if (strcmp(method, "full") == 0)
        WN_TRY(wn_model_train_full(b->m));
    else
        WN_TRY(strcmp(method, "ia3") == 0 ? wn_model_add_ia3(b->m, &ia3)
                                          : wn_model_add_lora(b->m, &lora));
    const wn_optim_opts w = {.kind = o->optimizer,
                             .beta1 = o->beta1,
                             .momentum = o->momentum,
                             .relative_step = o->relative_step,
                             .eight_bit = o->state && strcmp(o->state, "8bit") == 0};
    WN_TRY(wn_params_make_grads(wn_model_params(b->m)));
    b->sink = wn_sink_train();
    return wn_optim_init(&b->optim, &w, wn_model_params(b->m));
}

/* Texts of one token each, behind a prompt of one. */
static wn_err prepare_answers(struct bench *b)
{
    struct lane *l = b->lane;
    WN_TRY(wn_arena_init(&l->memory, (5 * SLOTS + 3) * 4 + (size_t)6 * 64));
    l->id = wn_arena_push(&l->memory, SLOTS * 4);
    l->off = wn_arena_push(&l->memory, (SLOTS + 1) * 4);
    l->source_off = wn_arena_push(&l->memory, (SLOTS + 1) * 4);
    l->source_of = wn_arena_push(&l->memory, SLOTS * 4);
    for (uint32_t i = 0; i <= SLOTS; i++)
        l->off[i] = l->source_off[i] = i;
    for (uint32_t i = 0; i < SLOTS; i++) {
        l->id[i] = some_id(b, i);
        l->source_of[i] = b->slot[2][i] = b->source_to[i] = i;
        b->slot[0][i] = 2 * i;
        b->slot[3][i] = 1;
    }
    l->rows = SLOTS;
    l->batch = (wn_batch){.B = SLOTS, .T = SLOTS, .id = l->id, .off = l->off};
    l->source = l->batch;
    if (two_sided(b)) {
        l->batch.source = &l->source;
        l->batch.source_of = l->source_of;
    }
    l->most_tokens = l->most_segments = l->labels = SLOTS;
    WN_TRY(wn_work_new(&l->work, b->m, SLOTS, SLOTS, SLOTS, WN_WORK_FORWARD));
    WN_TRY(wn_cache_new(&b->cache, b->m, (size_t)2 * SLOTS, SLOTS));
    WN_TRY(answer(b));
    l->source.B = l->source.T = 0;
    for (uint32_t i = 0; i < SLOTS; i++)
        b->slot[1][i] = 1;
    return WN_OK;
}

static wn_err prepare(struct bench *b)
{
    wn_pace_kind k = b->j->kind;
    b->lanes = k == WN_PACE_EMBED || k == WN_PACE_RANK ? (size_t)wn_par_threads() : 1;
    if (k == WN_PACE_TRAIN)
        WN_TRY(make_trainable(b));
    WN_NEW(b->lane, b->lanes);
    if (k == WN_PACE_ANSWER)
        return prepare_answers(b);
    for (size_t i = 0; i < b->lanes; i++)
        WN_TRY(lane_new(b, &b->lane[i]));
    return WN_OK;
}

static void clear(struct bench *b)
{
    for (size_t i = 0; b->lane && i < b->lanes; i++) {
        wn_work_free(b->lane[i].work);
        wn_arena_free(&b->lane[i].memory);
    }
    wn_free(b->lane);
    wn_cache_free(b->cache);
    wn_optim_free(&b->optim);
    wn_model_close(b->m);
}

static wn_err open_shape(wn_model **m, const wn_pace_job *j, size_t layers, size_t vocab,
                         bool unpacked)
{
    bool full = j->kind == WN_PACE_TRAIN && strcmp(method_of(j), "full") == 0;
    json_t *config = json_deep_copy(j->config);
    if (!config)
        return wn_fail_nomem(256, "a config");
    if (vocab)
        json_object_set_new(config, "vocab_size", json_integer((json_int_t)vocab));
    wn_err e = wn_model_make_up(m, config, j->place, layers,
                                &(wn_model_opts){.precision = j->precision,
                                                 .train_full = full && !unpacked,
                                                 .unpacked = unpacked,
                                                 .states_only = j->kind == WN_PACE_EMBED});
    json_decref(config);
    return e;
}

/* Bytes that activations of a second layer add to those of one. */
static wn_err work_of_layer(double *bytes, const struct bench *b)
{
    const struct lane *l = b->lane;
    size_t work[2] = {0};
    for (size_t k = 0; k < 2; k++) {
        wn_model *m;
        WN_TRY(open_shape(&m, b->j, k + 1, 0, true));
        work[k] = wn_work_bytes(m, l->most_tokens, l->most_segments, 0, work_kind(b->j));
        wn_model_close(m);
    }
    *bytes = (double)(work[1] - work[0]) * (double)b->lanes;
    return WN_OK;
}

/* layer_work: NULL, or what work_of_layer says. */
static wn_err measure_at(wn_pace *p, double *layer_work, const wn_pace_job *j, size_t layers,
                         size_t vocab)
{
    struct bench b = {.j = j};
    size_t before = wn_mem_live();
    double pass, step;
    WN_TRY(open_shape(&b.m, j, layers, vocab, false));
    b.f = wn_model_facts_of(b.m);
    wn_err e = prepare(&b);
    if (!e)
        e = time_runs(&pass, &step, &b);
    if (!e) {
        const wn_params *ps = wn_model_params(b.m);
        double rows = 0;
        for (size_t i = 0; i < b.lanes; i++)
            rows += (double)b.lane[i].rows;
        *p = (wn_pace){.row_sec = pass / rows,
                       .update_sec = j->kind == WN_PACE_TRAIN ? step : 0,
                       .row_flops = flops_of_row(&b),
                       .parameters = (double)wn_params_count(ps),
                       .trained = j->kind == WN_PACE_TRAIN ? (double)wn_params_trainable(ps) : 0,
                       .bytes = (double)(wn_mem_live() - before),
                       .width = (double)b.f->width};
        for (size_t i = 0; i < b.lanes; i++)
            p->work_bytes +=
                (double)wn_work_bytes(b.m, b.lane[i].most_tokens, b.lane[i].most_segments,
                                      b.lane[i].labels, work_kind(j));
    }
    if (!e && layer_work)
        e = work_of_layer(layer_work, &b);
    clear(&b);
    return e;
}

/* ---- the whole model ---- */

struct sizes {
    double layers;    /* of a side; the mean of two that differ */
    double per_layer; /* parameters */
    size_t vocab, width;
    size_t positions;
};

static double layers_in(const wn_pace_job *j, size_t fallback)
{
    double own = (double)fallback;
    const json_t *d = json_object_get(j->config, "num_decoder_layers");
    if (j->kind != WN_PACE_EMBED && json_is_integer(d))
        return (own + json_number_value(d)) / 2;
    return own;
}

static wn_err sizes_of(struct sizes *s, const wn_pace_job *j)
{
    wn_model *m;
    uint64_t count[2] = {0, 0};
    for (size_t k = 0; k < 2; k++) {
        WN_TRY(open_shape(&m, j, k + 1, 0, true));
        const wn_model_facts *f = wn_model_facts_of(m);
        count[k] = f->parameters;
        s->vocab = f->vocab;
        s->width = f->width;
        s->positions = f->max_positions;
        wn_model_close(m);
    }
    s->per_layer = (double)(count[1] - count[0]);
    WN_TRY(open_shape(&m, j, 0, 0, true));
    s->layers = layers_in(j, wn_model_facts_of(m)->layers);
    wn_model_close(m);
    return WN_OK;
}

static void add_slope(wn_pace *sum, const wn_pace *lo, const wn_pace *hi, double share)
{
    double *to = (double *)sum;
    const double *a = (const double *)lo, *b = (const double *)hi;
    for (size_t i = 0; i < sizeof *sum / sizeof *to; i++)
        to[i] += fmax(b[i] - a[i], 0) * share;
}

/* At one layer, at as many as are small, and with a larger vocabulary. A layer that is not small
 * outweighs all else, so one of it, with next to no vocabulary, stands for each. */
static wn_err measure_parts(wn_pace *p, const wn_pace_job *j, const struct sizes *s)
{
    bool head = j->kind != WN_PACE_EMBED, large = 2 * s->per_layer > SMALL;
    size_t most = (size_t)(SMALL / s->per_layer), L = (size_t)s->layers;
    size_t wide = SMALL_HEAD / s->width < s->vocab ? SMALL_HEAD / s->width : s->vocab;
    size_t narrow = !head ? s->vocab : large && wide > 512 ? 512 : wide / 8 + 1;
    wn_pace low, high, none = {0};
    double layer_work = 0;
    WN_TRY(measure_at(&low, &layer_work, j, 1, narrow));
    *p = low;
    if (large) {
        add_slope(p, &none, &low, s->layers - 1);
        p->width = low.width;
        p->work_bytes = low.work_bytes + layer_work * (s->layers - 1);
        p->bytes = (low.bytes - low.work_bytes) * s->layers + p->work_bytes;
    } else if (L > 1) {
        size_t some = most < L ? most : L;
        WN_TRY(measure_at(&high, NULL, j, some, narrow));
        add_slope(p, &low, &high, (s->layers - 1) / (double)(some - 1));
    }
    if (head && wide > narrow) {
        WN_TRY(measure_at(&high, NULL, j, 1, wide));
        add_slope(p, &low, &high, (double)(s->vocab - narrow) / (double)(wide - narrow));
    }
    return WN_OK;
}

wn_err wn_pace_measure(wn_pace *p, const wn_pace_job *given)
{
    wn_pace_job j = *given;
    struct sizes s = {0};
    WN_TRY(sizes_of(&s, &j));
    if (s.positions && j.prompt + j.target > s.positions)
        j.prompt = s.positions > j.target ? s.positions - j.target : 1;
    double all = s.per_layer * s.layers;
    if (j.kind != WN_PACE_EMBED)
        all += (double)s.vocab * (double)s.width;
    if (all <= SMALL)
        WN_TRY(measure_at(p, NULL, &j, 0, 0));
    else
        WN_TRY(measure_parts(p, &j, &s));
    p->gflops = p->row_sec > 0 ? p->row_flops / p->row_sec * 1e-9 : 0;
    return WN_OK;
}

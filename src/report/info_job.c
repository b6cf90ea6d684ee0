/* `winnow model info`: what a model is, what each method would train, and the memory that embed,
 * grad and train take for rows of given lengths, planned as those commands plan it. */
#include <stdlib.h>

#include "base/mem.h"
#include "feature/embed.h"
#include "feature/grad.h"
#include "model/model_info.h"
#include "train/data.h"
#include "train/train.h"
#include "winnow.h"

enum { MOST_LENGTHS = 32, MOST_LENGTH = 1 << 24 };

static void put(json_t *o, const char *key, uint64_t v)
{
    json_object_set_new(o, key, json_integer((json_int_t)v));
}

struct lengths {
    size_t n, at[MOST_LENGTHS];
};

static wn_err parse_lengths(struct lengths *l, const char *text)
{
    const char *s = text ? text : "128,512,2048";
    *l = (struct lengths){0};
    for (;; s++) {
        char *end;
        long v = *s >= '0' && *s <= '9' ? strtol(s, &end, 10) : 0;
        if (v < 1 || v > MOST_LENGTH || (*end && *end != ',') || l->n == MOST_LENGTHS)
            return wn_fail(WN_EUSE, "lengths \"%.64s\": expected numbers of tokens by comma", text);
        l->at[l->n++] = (size_t)v;
        if (!*end)
            return WN_OK;
        s = end;
    }
}

/* The usual lengths are told of as far as the model has positions; at least one. */
static void fit_lengths(struct lengths *l, size_t most)
{
    size_t n = 0;
    while (n < l->n && l->at[n] <= most)
        n++;
    if (n == 0)
        l->at[n++] = most;
    l->n = n;
}

/* ---- memory ---- */

struct info {
    wn_model *m;
    const wn_model_info_opts *o;
    struct lengths length;
    json_t *memory, *trained;
    size_t before; /* bytes held when the job began */
};

static uint64_t held(const struct info *f)
{
    return wn_mem_live() - f->before;
}

static json_t *memory_row(const struct info *f, size_t i)
{
    return json_array_get(f->memory, i);
}

/* Without an adapter nothing is held that only scoring needs. */
static void embed_memory(const struct info *f)
{
    uint64_t bytes = held(f) - (f->o->adapter ? 0 : wn_model_scoring_bytes(f->m));
    for (size_t i = 0; i < f->length.n; i++)
        put(memory_row(f, i), "embed_bytes", bytes + wn_embed_bytes(f->m, f->length.at[i]));
}

static wn_err grad_memory(const struct info *f)
{
    wn_chosen chosen = {0};
    wn_projection P = {0};
    wn_err e = wn_choose(&chosen, f->m, f->o->adapter ? "lora" : "all");
    if (!e)
        e = wn_projection_init(&P, WN_PROJECT_RADEMACHER, WN_GRAD_DIM, 0, &chosen, 0);
    for (size_t i = 0; !e && i < f->length.n; i++) {
        const wn_feed feed = {.longest = f->length.at[i], .most_labels = f->length.at[i]};
        const wn_grad_sink_opts sink = {.chosen = &chosen, .projection = &P};
        put(memory_row(f, i), "grad_bytes",
            held(f) + wn_grad_bytes(f->m, &feed, &(wn_grad_rule){0}, &sink));
    }
    wn_projection_free(&P);
    wn_chosen_free(&chosen);
    return e;
}

/* An update of the usual number of rows, all of whose tokens are supervised. kept: bytes of
 * masters, gradients and AdamW's two moments, as far as they are not in memory already. */
static void train_memory(const struct info *f, const char *key, uint64_t kept)
{
    bool narrow = wn_model_facts_of(f->m)->precision == WN_PRECISION_BF16;
    for (size_t i = 0; i < f->length.n; i++) {
        size_t each = f->length.at[i], T = each > WN_TRAIN_TOKENS ? each : WN_TRAIN_TOKENS;
        T = T < WN_TRAIN_ROWS * each ? T : WN_TRAIN_ROWS * each;
        put(memory_row(f, i), key,
            held(f) + kept +
                wn_work_bytes(f->m, T, WN_TRAIN_ROWS, T, narrow ? WN_WORK_NARROW : WN_WORK_TRAIN) +
                2 * wn_data_batch_bytes(T, WN_TRAIN_ROWS));
    }
}

/* ---- what would be trained ---- */

static void trained_row(const struct info *f, const char *method, size_t rank)
{
    const wn_params *ps = wn_model_params(f->m);
    json_t *j = json_object();
    uint64_t tensors = 0;
    for (size_t i = 0; i < ps->n; i++)
        tensors += ps->p[i].trainable;
    json_object_set_new(j, "method", json_string(method));
    json_object_set_new(j, "rank", rank ? json_integer((json_int_t)rank) : json_null());
    put(j, "tensors", tensors);
    put(j, "numbers", wn_params_trainable(ps));
    json_array_append_new(f->trained, j);
}

static uint64_t adapter_kept(const struct info *f)
{
    return 3 * wn_params_trainable(wn_model_params(f->m)) * sizeof(float);
}

static void of_full(const struct info *f)
{
    wn_params *ps = wn_model_params(f->m);
    for (size_t i = 0; i < ps->n; i++)
        ps->p[i].trainable = !ps->p[i].adapter;
    trained_row(f, "full", 0);
    train_memory(f, "train_full_bytes", 4 * wn_params_trainable(ps) * sizeof(float));
}

static void of_given_adapter(const struct info *f)
{
    wn_params *ps = wn_model_params(f->m);
    for (size_t i = 0; i < ps->n; i++)
        ps->p[i].trainable = ps->p[i].adapter;
    trained_row(f, "the adapter", 0);
    train_memory(f, "train_adapter_bytes", adapter_kept(f));
}

/* Adapters with the defaults of `winnow train` are put on for the counting only. */
static wn_err of_new_adapters(const struct info *f)
{
    size_t rank = f->o->rank;
    double alpha = 0;
    wn_lora_defaults(&rank, &alpha);
    WN_TRY(wn_model_add_lora(f->m, &(wn_lora_opts){.rank = rank}));
    trained_row(f, "lora", rank);
    train_memory(f, "train_lora_bytes", adapter_kept(f));
    wn_model_take_off(f->m);
    WN_TRY(wn_model_add_ia3(f->m, &(wn_ia3_opts){0}));
    trained_row(f, "ia3", 0);
    train_memory(f, "train_ia3_bytes", adapter_kept(f));
    return WN_OK;
}

/* ---- the job ---- */

static wn_err memory_and_methods(const struct info *f)
{
    for (size_t i = 0; i < f->length.n; i++) {
        json_t *row = json_object();
        put(row, "tokens_a_row", f->length.at[i]);
        json_array_append_new(f->memory, row);
    }
    embed_memory(f);
    if (!wn_model_has_head(f->m))
        return WN_OK;
    WN_TRY(grad_memory(f));
    of_full(f);
    if (!f->o->adapter)
        return of_new_adapters(f);
    of_given_adapter(f);
    return WN_OK;
}

static wn_err describe(json_t *j, const struct info *f)
{
    WN_TRY(wn_model_describe(j, f->m));
    json_object_set(j, "memory", f->memory);
    if (f->o->params)
        json_object_set_new(j, "params", wn_model_params_json(f->m));
    json_t *warnings = wn_model_warnings(f->m, f->length.at, f->length.n);
    wn_err e = memory_and_methods(f);
    if (json_array_size(f->trained))
        json_object_set(j, "trained", f->trained);
    json_object_set_new(j, "warnings", warnings);
    return e;
}

wn_err wn_model_info_job(const wn_model_info_opts *o, char **json)
{
    wn_str s = {0};
    struct info f = {.o = o, .before = wn_mem_live()};
    *json = NULL;
    WN_TRY(parse_lengths(&f.length, o->lengths));
    WN_TRY(wn_model_open(&f.m, o->model,
                         &(wn_model_opts){.precision = o->common.precision,
                                          .adapter = o->adapter,
                                          .headless = true}));
    size_t most = wn_model_facts_of(f.m)->max_positions;
    if (!o->lengths && most)
        fit_lengths(&f.length, most);
    f.memory = json_array();
    f.trained = json_array();
    json_t *j = json_object();
    wn_err e = describe(j, &f);
    if (!e)
        e = wn_json_dump(&s, j, 2, false);
    if (!e)
        e = wn_str_check(&s);
    if (e)
        wn_str_free(&s);
    *json = s.p;
    json_decref(j);
    json_decref(f.memory);
    json_decref(f.trained);
    wn_model_close(f.m);
    return e;
}

/* `winnow model info`: what a model is, what each method would train, the memory of a step at given
 * lengths, and what a user should know before. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/manifest.h"
#include "model/internal.h"
#include "token/template.h"

enum { ROWS = 8, MOST_LENGTHS = 32, MOST_LENGTH = 1 << 24 };

static void put(json_t *o, const char *key, uint64_t v)
{
    json_object_set_new(o, key, json_integer((json_int_t)v));
}

static void put_text(json_t *o, const char *key, const char *text)
{
    json_object_set_new(o, key, text ? json_string(text) : json_null());
}

/* ---- the model ----------------------------------------------------------------------------- */

static wn_err shape_of(json_t *j, wn_model *m)
{
    static const char *const shapes[] = {"encoder", "decoder", "encoder-decoder"};
    const wn_model_facts *f = &m->facts;
    const wn_stack *s = &m->stack;
    char hex[WN_SHA_HEX];
    WN_TRY(wn_model_sha(m, hex));
    put_text(j, "model", f->path);
    put_text(j, "family", f->family);
    put_text(j, "shape", shapes[f->shape]);
    put_text(j, "sha256", hex);
    put_text(j, "dtype", f->dtype);
    put_text(j, "precision", wn_precision_name(f->precision));
    put(j, "parameters", f->parameters);
    put(j, "layers", f->layers);
    if (m->encoder.L)
        put(j, "decoder_layers", s->L);
    put(j, "width", f->width);
    put(j, "heads", s->H);
    if (s->G != s->H)
        put(j, "key_value_heads", s->G);
    put(j, "head_width", s->d);
    put(j, "feed_forward", s->F);
    put(j, "vocabulary", f->vocab);
    put(j, "positions", f->max_positions);
    if (f->shape != WN_SHAPE_ENCODER)
        json_object_set_new(j, "tied",
                            json_boolean(m->output.N && m->output.weight == m->token.param));
    put(j, "weights_bytes", wn_mem_live());
    return WN_OK;
}

static json_t *parts_of(const wn_sentence *s)
{
    json_t *parts = json_array();
    wn_str text = {0};
    for (size_t i = 0; i < s->n_pooling; i++)
        wn_str_printf(&text, "%s%s", i ? "+" : "", wn_pooling_name(s->pooling[i]));
    json_array_append_new(parts, json_string(text.p ? text.p : ""));
    for (size_t i = 0; i < s->n_part; i++) {
        const wn_sentence_part *p = &s->part[i];
        wn_str_clear(&text);
        if (p->kind == WN_PART_DENSE)
            wn_str_printf(&text, "dense %zu", p->out);
        else
            wn_str_puts(&text, p->kind == WN_PART_NORMALIZE ? "normalize" : "layer norm");
        json_array_append_new(parts, json_string(text.p ? text.p : ""));
    }
    wn_str_free(&text);
    return parts;
}

/* A sentence-transformers folder's own rules. */
static wn_err sentence_of(json_t **out, const wn_model *m)
{
    const wn_sentence *s = m->sentence;
    json_t *j = json_object(), *prompts = json_array();
    size_t width = 0;
    const char *name;
    json_t *text;
    WN_TRY(wn_sentence_width(&width, s, s->n_part, m->facts.width, s->n_pooling, m->path));
    json_object_set_new(j, "parts", parts_of(s));
    put(j, "width", width);
    put(j, "max_seq_length", s->max_seq_length);
    json_object_set_new(j, "lower_case", json_boolean(s->lower));
    json_object_foreach(s->prompts, name, text) json_array_append_new(prompts, json_string(name));
    json_object_set_new(j, "prompts", prompts);
    put_text(j, "default_prompt", s->default_prompt);
    *out = j;
    return WN_OK;
}

/* ---- the tokenizer --------------------------------------------------------------------------- */

static json_t *tokens_of(const wn_tokenizer *t, const int32_t *id, size_t n)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) {
        const char *text = wn_tokenizer_token(t, id[i]);
        json_array_append_new(list, json_string(text ? text : "?"));
    }
    return list;
}

static json_t *tokenizer_of(const wn_model *m)
{
    const wn_tokenizer *t = m->tokenizer;
    const wn_token_facts *f = wn_tokenizer_facts(t);
    json_t *j = json_object();
    const struct {
        const char *key, *text;
        int32_t id;
    } special[] = {{"bos", "bos_token", f->bos},
                   {"eos", "eos_token", f->eos},
                   {"unk", "unk_token", f->unk},
                   {"pad", "pad_token", f->pad}};
    put_text(j, "kind", f->kind);
    put(j, "ids", f->vocab);
    for (size_t i = 0; i < sizeof special / sizeof *special; i++) {
        json_object_set_new(j, special[i].key, json_integer(special[i].id));
        put_text(j, special[i].text,
                 special[i].id < 0 ? NULL : wn_tokenizer_token(t, special[i].id));
    }
    json_object_set_new(j, "before_a_text", tokens_of(t, f->prefix, f->n_prefix));
    json_object_set_new(j, "behind_a_text", tokens_of(t, f->suffix, f->n_suffix));
    json_object_set_new(j, "adds_space", json_boolean(f->adds_space));
    json_object_set_new(j, "chat_template", json_boolean(f->chat_template != NULL));
    put_text(j, "chat_format", f->chat ? f->chat->name : NULL);
    return j;
}

/* ---- memory ------------------------------------------------------------------------------------
 */

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
            return wn_fail(WN_EARG, "lengths \"%.64s\": expected numbers of tokens by comma", text);
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

static wn_work_kind train_kind(const wn_model *m)
{
    return m->facts.precision == WN_PRECISION_BF16 ? WN_WORK_NARROW : WN_WORK_TRAIN;
}

/* A step of ROWS rows: weights, what the method keeps of its parameters (master or adapter,
 * gradient, AdamW's two moments), activations. */
static uint64_t step_bytes(const wn_model *m, size_t length, wn_work_kind kind, uint64_t kept)
{
    size_t tokens = ROWS * length;
    return wn_mem_live() + kept +
           wn_work_bytes(m, tokens, ROWS, kind == WN_WORK_FORWARD ? 0 : tokens, kind);
}

static json_t *memory_of(const wn_model *m, const struct lengths *l)
{
    uint64_t all = m->facts.parameters * sizeof(float);
    json_t *rows = json_array();
    for (size_t i = 0; i < l->n; i++) {
        json_t *j = json_object();
        put(j, "tokens_a_row", l->at[i]);
        put(j, "rows", ROWS);
        put(j, "embed_bytes", step_bytes(m, l->at[i], WN_WORK_FORWARD, 0));
        if (m->output.N) {
            put(j, "grad_bytes", step_bytes(m, l->at[i], WN_WORK_EXAMPLES, all));
            put(j, "train_full_bytes", step_bytes(m, l->at[i], train_kind(m), 4 * all));
        }
        json_array_append_new(rows, j);
    }
    return rows;
}

/* ---- what would be trained
 * ----------------------------------------------------------------------- */

static json_t *trained_row(const char *method, const wn_params *ps)
{
    json_t *j = json_object();
    uint64_t tensors = 0;
    for (size_t i = 0; i < ps->n; i++)
        tensors += ps->p[i].trainable;
    put_text(j, "method", method);
    put(j, "tensors", tensors);
    put(j, "numbers", wn_params_trainable(ps));
    return j;
}

/* Adapters with the defaults of `winnow train` are put on for the counting only; LoRA comes last,
 * and its step's memory is counted with it on. */
static wn_err trained_of(json_t *rows, wn_model *m, bool adapter, json_t *memory,
                         const struct lengths *l)
{
    wn_params *ps = &m->params;
    json_t *own = adapter ? trained_row("the adapter", ps) : NULL;
    for (size_t i = 0; i < ps->n; i++)
        ps->p[i].trainable = !ps->p[i].adapter;
    json_array_append_new(rows, trained_row("full", ps));
    if (own)
        return json_array_append_new(rows, own) ? WN_ENOMEM : WN_OK;
    WN_TRY(wn_model_add_ia3(m, &(wn_ia3_opts){0}));
    json_t *ia3 = trained_row("ia3", ps);
    wn_err e = wn_model_add_lora(m, &(wn_lora_opts){0});
    json_array_append_new(rows, trained_row("lora", ps));
    json_array_append_new(rows, ia3);
    uint64_t kept = 4 * wn_params_trainable(ps) * sizeof(float);
    for (size_t i = 0; !e && i < l->n; i++)
        put(json_array_get(memory, i), "train_lora_bytes",
            step_bytes(m, l->at[i], train_kind(m), kept));
    return e;
}

static json_t *params_of(const wn_params *ps)
{
    json_t *list = json_array();
    for (size_t i = 0; i < ps->n; i++) {
        const wn_param *p = &ps->p[i];
        json_t *shape = json_array();
        json_array_append_new(shape, json_integer((json_int_t)p->rows));
        if (p->cols > 1 || p->decay)
            json_array_append_new(shape, json_integer((json_int_t)p->cols));
        json_array_append_new(list, json_pack("{s:s, s:o}", "name", p->name, "shape", shape));
    }
    return list;
}

/* ---- warnings
 * -------------------------------------------------------------------------------------- */

static void warn(json_t *list, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void warn(json_t *list, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof text, fmt, ap);
    va_end(ap);
    json_array_append_new(list, json_string(text));
}

static void warn_lengths(json_t *list, const wn_model *m, const struct lengths *l)
{
    size_t most = m->facts.max_positions, config = 0;
    const json_t *c = m->files.config;
    config = (size_t)json_integer_value(json_object_get(c, "max_position_embeddings"));
    if (m->facts.shape == WN_SHAPE_DECODER && most && config > most)
        warn(list, "positions: %zu of config.json's %zu are used; longer rows are refused", most,
             config);
    if (m->facts.same_angles)
        warn(list,
             "positions: rows of more than %zu tokens are turned by other angles; a text that "
             "would grow across that length is not generated",
             m->facts.same_angles);
    for (size_t i = 0; most && i < l->n; i++)
        if (l->at[i] > most)
            warn(list, "lengths: %zu tokens are more than the model's %zu positions", l->at[i],
                 most);
    if (m->sentence && most && m->sentence->max_seq_length > most)
        warn(list, "max_seq_length %zu: the model has %zu positions, texts are cut there",
             m->sentence->max_seq_length, most);
}

static void warn_tokens(json_t *list, const wn_model *m)
{
    const wn_token_facts *t = wn_tokenizer_facts(m->tokenizer);
    bool encoder = m->facts.shape == WN_SHAPE_ENCODER;
    if (t->vocab < m->facts.vocab)
        warn(list, "vocabulary: %zu of the embedding's %zu rows belong to no token",
             m->facts.vocab - t->vocab, m->facts.vocab);
    if (!encoder && t->eos < 0)
        warn(list, "tokenizer: no end token is known; answers are trained without an end");
    if (t->chat_template && !t->chat)
        warn(list, "chat template: not one that is known; --template chat is refused, a name is "
                   "not");
}

static json_t *warnings_of(const wn_model *m, const struct lengths *l)
{
    json_t *list = json_array();
    if (m->facts.shape != WN_SHAPE_ENCODER && !m->output.N)
        warn(list, "output matrix: missing, and not tied to the embedding: the model can embed, "
                   "not score, train or answer");
    if (m->files.is_gguf && m->output.N && wn_model_can_save(m))
        warn(list, "GGUF: neither method full nor merge can write this tokenizer; lora and ia3 "
                   "write adapters");
    warn_tokens(list, m);
    warn_lengths(list, m, l);
    return list;
}

/* ---- the job
 * --------------------------------------------------------------------------------------- */

static wn_err info(json_t *j, wn_model *m, const wn_model_info_opts *o, const struct lengths *l)
{
    json_t *sentence = NULL, *memory = memory_of(m, l), *trained = json_array();
    wn_err e = shape_of(j, m);
    if (!e && m->sentence)
        e = sentence_of(&sentence, m);
    if (sentence)
        json_object_set_new(j, "sentence", sentence);
    json_object_set_new(j, "tokenizer", tokenizer_of(m));
    json_object_set_new(j, "memory", memory);
    if (o->params)
        json_object_set_new(j, "params", params_of(&m->params));
    json_t *warnings = warnings_of(m, l);
    if (!e && m->output.N)
        e = trained_of(trained, m, o->adapter != NULL, memory, l);
    if (json_array_size(trained))
        json_object_set(j, "trained", trained);
    json_decref(trained);
    json_object_set_new(j, "warnings", warnings);
    return e;
}

wn_err wn_model_info_job(const wn_model_info_opts *o, char **json)
{
    wn_model *m;
    wn_str s = {0};
    struct lengths l;
    *json = NULL;
    WN_TRY(parse_lengths(&l, o->lengths));
    WN_TRY(wn_model_open(&m, o->model,
                         &(wn_model_opts){.precision = o->common.precision,
                                          .adapter = o->adapter,
                                          .headless = true}));
    if (!o->lengths && m->facts.max_positions)
        fit_lengths(&l, m->facts.max_positions);
    json_t *j = json_object();
    wn_err e = j ? info(j, m, o, &l) : WN_ENOMEM;
    if (!e)
        e = wn_json_dump(&s, j, 2, false);
    if (!e)
        e = wn_str_check(&s);
    if (e)
        wn_str_free(&s);
    *json = s.p;
    json_decref(j);
    wn_model_close(m);
    return e;
}

#include "model/model_info.h"

#include <stdarg.h>
#include <stdio.h>

#include "io/manifest.h"
#include "model/internal.h"
#include "token/template.h"

static void put(json_t *o, const char *key, uint64_t v)
{
    json_object_set_new(o, key, json_integer((json_int_t)v));
}

static void put_text(json_t *o, const char *key, const char *text)
{
    json_object_set_new(o, key, text ? json_string(text) : json_null());
}

/* ---- the model ----------------------------------------------------------------------------- */

/* Of matrices as they are multiplied, and of what is kept in float32. */
static uint64_t weights_bytes(wn_model *m)
{
    uint64_t bytes = 0;
    wn_linear *l;
    for (size_t i = 0; (l = wn_model_linear(m, i)); i++)
        bytes += l->mat.N ? wn_mat_bytes(l->mat.kind, l->mat.N, l->mat.K) : 0;
    for (size_t i = 0; i < m->params.n; i++) {
        const wn_param *p = &m->params.p[i];
        bytes += p->value ? (uint64_t)p->rows * p->cols * sizeof(float) : 0;
    }
    return bytes;
}

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
    put(j, "weights_bytes", weights_bytes(m));
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

json_t *wn_model_params_json(const wn_model *m)
{
    const wn_params *ps = &m->params;
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

static void warn_lengths(json_t *list, const wn_model *m, const size_t *length, size_t n)
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
    for (size_t i = 0; most && i < n; i++)
        if (length[i] > most)
            warn(list, "lengths: %zu tokens are more than the model's %zu positions", length[i],
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

json_t *wn_model_warnings(const wn_model *m, const size_t *length, size_t n)
{
    json_t *list = json_array();
    if (m->facts.shape != WN_SHAPE_ENCODER && !m->output.N)
        warn(list, "output matrix: missing, and not tied to the embedding: the model can embed, "
                   "not score, train or answer");
    if (m->files.is_gguf && m->output.N && wn_model_can_save(m))
        warn(list, "GGUF: neither method full nor merge can write this tokenizer; lora and ia3 "
                   "write adapters");
    warn_tokens(list, m);
    warn_lengths(list, m, length, n);
    return list;
}

wn_err wn_model_describe(json_t *j, wn_model *m)
{
    json_t *sentence = NULL;
    WN_TRY(shape_of(j, m));
    if (m->sentence)
        WN_TRY(sentence_of(&sentence, m));
    if (sentence)
        json_object_set_new(j, "sentence", sentence);
    json_object_set_new(j, "tokenizer", tokenizer_of(m));
    return WN_OK;
}

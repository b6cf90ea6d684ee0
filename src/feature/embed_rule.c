/* What an embedding is made by: options, where they say nothing the model's own settings. */
#include <string.h>

#include "feature/embed.h"

static wn_err yes_or_no(bool *out, const char *name, const char *value)
{
    if (strcmp(value, "yes") != 0 && strcmp(value, "no") != 0)
        return wn_fail(WN_EARG, "%s \"%s\": expected yes or no", name, value);
    *out = strcmp(value, "yes") == 0;
    return WN_OK;
}

static wn_err vector_rule(wn_vector_rule *v, const wn_model *m, const wn_embed_opts *o)
{
    const wn_model_facts *f = wn_model_facts_of(m);
    const wn_sentence *s = f->sentence;
    *v = (wn_vector_rule){.D = wn_model_state_width(m, o->layer), .n_pooling = 1};
    if (s) {
        memcpy(v->pooling, s->pooling, sizeof v->pooling);
        v->n_pooling = s->n_pooling;
        v->part = s->part;
        v->n_part = s->n_part;
    }
    if (o->pooling)
        WN_TRY(wn_pooling_parse(v->pooling, &v->n_pooling, o->pooling));
    if (o->normalize)
        WN_TRY(yes_or_no(&v->normalize, "normalize", o->normalize));
    while (o->normalize && v->n_part && v->part[v->n_part - 1].kind == WN_PART_NORMALIZE)
        v->n_part--; /* the option decides in its place */
    for (size_t i = 0; i <= v->n_part; i++) {
        WN_TRY(wn_sentence_width(&v->dim, s, i, v->D, v->n_pooling, f->path));
        v->most = v->dim > v->most ? v->dim : v->most;
    }
    return WN_OK;
}

/* The prompt, and how many tokens it is that the pooling may have to leave out: as the reference
 * counts them, those of the prompt alone with all special tokens but a last one. */
static wn_err prompt_rule(wn_embed_rule *r, const wn_model *m, const wn_embed_opts *o)
{
    const wn_model_facts *f = wn_model_facts_of(m);
    const wn_sentence *s = f->sentence;
    if (o->prompt && o->prompt_name)
        return wn_fail(WN_EUSE, "prompt and prompt-name exclude each other");
    r->prompt = o->prompt;
    if (!o->prompt) {
        WN_TRY(wn_sentence_prompt(&r->prompt, s, o->prompt_name, f->path));
        r->prompt_name = o->prompt_name ? o->prompt_name : s ? s->default_prompt : NULL;
    }
    if (!r->prompt || !*r->prompt || !s || !s->skip_prompt)
        return WN_OK;
    int32_t *ids;
    size_t n, end = wn_tokenizer_facts(wn_model_tokenizer(m))->n_suffix;
    WN_TRY(
        wn_tokenizer_encode(wn_model_tokenizer(m), r->prompt, strlen(r->prompt), true, &ids, &n));
    wn_ids_free(ids);
    r->vector.skip = n - (end > 0);
    return WN_OK;
}

static wn_err encode_rule(wn_embed_rule *r, const wn_model *m, const wn_embed_opts *o)
{
    enum { T5_TOKENS = 512 };
    const wn_model_facts *f = wn_model_facts_of(m);
    size_t own = f->sentence ? f->sentence->max_seq_length : 0,
           most = f->max_positions ? f->max_positions : SIZE_MAX;
    size_t max = o->max_tokens      ? o->max_tokens
                 : own              ? (own < most ? own : most)
                 : f->max_positions ? most
                                    : T5_TOKENS;
    if (max > most)
        return wn_fail(WN_EARG, "max-tokens %zu: the model has %zu positions", max, most);
    r->encode = (wn_encode_rule){.shape = f->shape,
                                 .max_tokens = max,
                                 .tmpl = o->tmpl,
                                 .system = o->system,
                                 .lead = r->prompt};
    if (f->ends_in_eos)
        r->encode.shape = WN_SHAPE_ENCDEC;
    else if (f->sentence) /* whatever the model: special tokens as the post-processor says */
        r->encode.shape = WN_SHAPE_ENCODER;
    return wn_encode_check(wn_model_tokenizer(m), &r->encode);
}

wn_err wn_embed_rule_init(wn_embed_rule *r, const wn_model *m, const wn_embed_opts *o)
{
    const wn_model_facts *f = wn_model_facts_of(m);
    *r = (wn_embed_rule){.layer = o->layer};
    WN_TRY(vector_rule(&r->vector, m, o));
    if (o->text && strcmp(o->text, "prompt") != 0 && strcmp(o->text, "both") != 0)
        return wn_fail(WN_EARG, "text \"%s\": expected prompt or both", o->text);
    r->both = o->text && strcmp(o->text, "both") == 0;
    if (o->layer < 0 || (size_t)o->layer > f->layers)
        return wn_fail(WN_EARG, "layer %d: the model has %zu", o->layer, f->layers);
    WN_TRY(prompt_rule(r, m, o));
    return encode_rule(r, m, o);
}

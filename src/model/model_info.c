/* `winnow model info`: what a model is, what would be trained, and the memory of a step at given
 * lengths. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "io/json.h"
#include "io/manifest.h"
#include "model/model.h"

static json_t *memory_of(const wn_model *m, size_t rows, size_t length)
{
    const wn_model_facts *f = wn_model_facts_of(m);
    size_t tokens = rows * length;
    json_t *j = json_object();
    json_object_set_new(j, "rows", json_integer((json_int_t)rows));
    json_object_set_new(j, "tokens_a_row", json_integer((json_int_t)length));
    json_object_set_new(j, "embed_bytes",
                        json_integer((json_int_t)wn_work_bytes(m, tokens, rows, 0, false)));
    if (f->shape != WN_SHAPE_ENCODER)
        json_object_set_new(j, "train_bytes",
                            json_integer((json_int_t)wn_work_bytes(m, tokens, rows, tokens, true)));
    return j;
}

static json_t *tokenizer_of(const wn_model *m)
{
    const wn_token_facts *t = wn_tokenizer_facts(wn_model_tokenizer(m));
    return json_pack("{s:s, s:I, s:i, s:i, s:i, s:i, s:b, s:b}", "kind", t->kind, "ids",
                     (json_int_t)t->vocab, "bos", (int)t->bos, "eos", (int)t->eos, "unk",
                     (int)t->unk, "pad", (int)t->pad, "adds_space", (int)t->adds_space,
                     "chat_template", t->chat_template != NULL);
}

static json_t *params_of(wn_model *m)
{
    wn_params *ps = wn_model_params(m);
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

/* What --method lora with its defaults would train: it is put on for the counting only. */
static wn_err lora_count(json_t *trained, wn_model *m)
{
    wn_lora_opts o = {.rank = 8, .alpha = 16};
    WN_TRY(wn_model_add_lora(m, &o));
    json_object_set_new(trained, "lora, rank 8, all-linear",
                        json_integer((json_int_t)wn_params_trainable(wn_model_params(m))));
    return WN_OK;
}

static wn_err info(json_t *j, wn_model *m, bool adapter, bool params)
{
    const wn_model_facts *f = wn_model_facts_of(m);
    static const char *const shapes[] = {"encoder", "decoder", "encoder-decoder"};
    char hex[WN_SHA_HEX];
    WN_TRY(wn_model_sha(m, hex));
    json_object_set_new(j, "model", json_string(f->path));
    json_object_set_new(j, "family", json_string(f->family));
    json_object_set_new(j, "shape", json_string(shapes[f->shape]));
    json_object_set_new(j, "sha256", json_string(hex));
    json_object_set_new(j, "dtype", json_string(f->dtype));
    json_object_set_new(j, "precision", json_string(wn_precision_name(f->precision)));
    json_object_set_new(j, "parameters", json_integer((json_int_t)f->parameters));
    json_object_set_new(j, "layers", json_integer((json_int_t)f->layers));
    json_object_set_new(j, "width", json_integer((json_int_t)f->width));
    json_object_set_new(j, "heads", json_integer((json_int_t)f->heads));
    json_object_set_new(j, "vocabulary", json_integer((json_int_t)f->vocab));
    json_object_set_new(j, "positions", json_integer((json_int_t)f->max_positions));
    json_object_set_new(j, "weights_bytes", json_integer((json_int_t)wn_mem_live()));
    json_object_set_new(j, "tokenizer", tokenizer_of(m));
    json_t *memory = json_array();
    json_array_append_new(
        memory,
        memory_of(m, 8, f->max_positions && f->max_positions < 256 ? f->max_positions : 256));
    json_object_set_new(j, "memory", memory);
    if (params)
        json_object_set_new(j, "params", params_of(m));
    if (f->shape == WN_SHAPE_ENCODER)
        return WN_OK;
    json_t *trained = json_object();
    json_object_set_new(j, "trained", trained);
    json_object_set_new(trained, "full", json_integer((json_int_t)f->parameters));
    return adapter ? WN_OK : lora_count(trained, m);
}

wn_err wn_model_info_job(const char *model, const char *adapter, bool params, char **json)
{
    wn_model *m;
    wn_str s = {0};
    *json = NULL;
    WN_TRY(wn_model_open(&m, model, &(wn_model_opts){.adapter = adapter}));
    json_t *j = json_object();
    wn_err e = j ? info(j, m, adapter != NULL, params) : WN_ENOMEM;
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

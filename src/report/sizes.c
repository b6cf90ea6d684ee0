/* Lengths are means over at most SAMPLE rows, evenly spaced over a file, by the tokenizer that will
 * read them, cut as it will be; without a tokenizer a token is taken for four bytes, and said so.
 */
#include "report/sizes.h"

#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "io/file.h"
#include "model/sentence.h"
#include "model/weights.h"
#include "pool/pool.h"
#include "report/section.h"
#include "token/encode.h"

enum { SAMPLE = 400, BYTES_A_TOKEN = 4 };
#define READABLE_BYTES ((uint64_t)1 << 30)

/* What the recipe says of some rows; 0: nothing. */
struct said {
    uint64_t rows, queries, test;
    double bytes, prompt, target, choices;
};

static const wn_field said_fields[] = {
    WN_FIELD(struct said, rows, "rows", WN_KEY_WHOLE),
    WN_FIELD(struct said, bytes, "bytes", WN_KEY_REAL),
    WN_FIELD(struct said, prompt, "prompt_tokens", WN_KEY_REAL),
    WN_FIELD(struct said, target, "target_tokens", WN_KEY_REAL),
    WN_FIELD(struct said, choices, "choices", WN_KEY_REAL),
    {NULL, WN_KEY_OTHER, 0, false},
};
static const wn_field target_fields[] = {
    WN_FIELD(struct said, queries, "queries", WN_KEY_WHOLE),
    WN_FIELD(struct said, test, "test", WN_KEY_WHOLE),
    WN_FIELD(struct said, prompt, "prompt_tokens", WN_KEY_REAL),
    WN_FIELD(struct said, target, "target_tokens", WN_KEY_REAL),
    WN_FIELD(struct said, choices, "choices", WN_KEY_REAL),
    {NULL, WN_KEY_OTHER, 0, false},
};

struct top {
    uint64_t selected;
};
static const wn_field top_fields[] = {
    WN_FIELD(struct top, selected, "selected", WN_KEY_WHOLE),
    {"pool", WN_KEY_OTHER, 0, false},
    {"queries", WN_KEY_OTHER, 0, false},
    {"test", WN_KEY_OTHER, 0, false},
    {"targets", WN_KEY_OTHER, 0, false},
    {"encoder", WN_KEY_OTHER, 0, false},
    {"model", WN_KEY_OTHER, 0, false},
    {NULL, WN_KEY_OTHER, 0, false},
};

struct reader {
    wn_sizes *s;
    const wn_recipe *r;
    json_t *section; /* NULL: the recipe has none */
    wn_tokenizer *encoder, *model;
    size_t embed_max, model_max; /* tokens that a text is cut to */
};

static wn_err say(void *said, const struct reader *d, json_t *o, const wn_field *fields,
                  const char *what)
{
    wn_str where = {0};
    wn_str_printf(&where, "%s: sizes: %s", d->r->path, what);
    wn_err e = wn_str_check(&where);
    if (!e)
        e = wn_section_read(said, o, fields, d->r->path, where.p);
    wn_str_free(&where);
    return e;
}

/* ---- files that are there ---- */

static double count(const wn_tokenizer *t, wn_token_work *w, wn_ids *ids, wn_span text,
                    const wn_token_facts *f, size_t most, wn_err *e)
{
    if (!t)
        return (double)text.len / BYTES_A_TOKEN;
    wn_ids_clear(ids);
    *e = wn_tokenizer_append(t, w, text.p, text.len, ids);
    size_t n = ids->n + (f->n_prefix + f->n_suffix ? f->n_prefix + f->n_suffix : 1);
    return (double)(most && n > most ? most : n);
}

/* Means over a sample; tokens by t, or by bytes. */
static wn_err look(wn_text_size *out, double *embed, const struct reader *d, const wn_pool *rows,
                   uint64_t n)
{
    const wn_tokenizer *t = d->model, *t2 = d->encoder;
    const wn_token_facts *f = t ? wn_tokenizer_facts(t) : NULL;
    const wn_token_facts *f2 = t2 ? wn_tokenizer_facts(t2) : NULL;
    wn_token_work work = {0};
    wn_ids ids = {0};
    wn_row row = {0};
    wn_err e = WN_OK;
    uint64_t m = n < SAMPLE ? n : SAMPLE;
    double sum[5] = {0};
    for (uint64_t i = 0; i < m && !e; i++) {
        e = wn_pool_row(rows, (uint64_t)((unsigned __int128)n * i / m), &row);
        if (e)
            break;
        sum[0] += (double)row.raw.len + 1;
        sum[1] += count(t, &work, &ids, row.prompt, f, d->model_max, &e);
        if (!e)
            sum[4] += count(t2, &work, &ids, row.prompt, f2, d->embed_max, &e);
        double texts = row.n_choices ? (double)row.n_choices : 1, tokens = 0;
        for (size_t k = 0; k < (row.n_choices ? row.n_choices : 1) && !e; k++)
            tokens += count(t, &work, &ids, row.n_choices ? row.choices[k] : row.target, f, 0, &e);
        sum[2] += tokens / texts;
        sum[3] += (double)row.n_choices;
    }
    *out = (wn_text_size){.rows = n, .there = true};
    if (m) {
        out->bytes = sum[0] / (double)m;
        out->prompt = sum[1] / (double)m;
        out->target = sum[2] / (double)m;
        out->choices = sum[3] / (double)m;
        *embed = sum[4] / (double)m;
    }
    wn_row_free(&row);
    wn_ids_release(&ids);
    wn_token_work_free(&work);
    return e;
}

static wn_err look_at(wn_text_size *out, double *embed, const struct reader *d, const char *path,
                      const char *map, uint64_t max, bool strict)
{
    wn_pool *rows;
    WN_TRY(wn_pool_open(&rows, path, map, strict));
    uint64_t n = wn_pool_rows(rows);
    wn_err e = look(out, embed, d, rows, max && max < n ? max : n);
    wn_pool_close(rows);
    return e;
}

static uint64_t bytes_at(const char *path)
{
    char **names;
    size_t n;
    uint64_t sum = 0;
    struct stat st;
    if (!wn_is_dir(path))
        return stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
    if (wn_dir_list(&names, &n, path) != WN_OK)
        return 0;
    for (size_t i = 0; i < n; i++) {
        char *full;
        if (wn_path_join(&full, path, names[i]) != WN_OK)
            break;
        sum += stat(full, &st) == 0 && S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
        wn_free(full);
    }
    wn_names_free(names, n);
    return sum;
}

/* Weighs what is known of several sources. */
static void join(wn_text_size *sum, double *embed, const wn_text_size *one, double one_embed)
{
    double a = (double)sum->rows, b = (double)one->rows, n = a + b > 0 ? a + b : 1;
    sum->bytes = (sum->bytes * a + one->bytes * b) / n;
    sum->prompt = (sum->prompt * a + one->prompt * b) / n;
    sum->target = (sum->target * a + one->target * b) / n;
    *embed = (*embed * a + one_embed * b) / n;
    sum->rows += one->rows;
    sum->there = true;
}

static wn_err look_at_pool(struct reader *d)
{
    const wn_recipe *r = d->r;
    for (size_t i = 0; i < r->n_sources; i++) {
        wn_text_size one;
        double embed = 0;
        if (bytes_at(r->sources[i]) > READABLE_BYTES)
            return wn_fail(WN_EARG,
                           "%s: %llu MB are too many to count for a plan; expected sizes: pool: "
                           "rows, and no file there",
                           r->sources[i], (unsigned long long)bytes_at(r->sources[i]) >> 20);
        WN_TRY(look_at(&one, &embed, d, r->sources[i], r->map, 0, false));
        join(&d->s->pool, &d->s->pool_embed, &one, embed);
    }
    return WN_OK;
}

/* ---- models ---- */

static wn_err config_of_files(json_t **config, const char *path)
{
    if (wn_is_dir(path)) {
        char *file;
        WN_TRY(wn_path_join(&file, path, "config.json"));
        wn_err e = wn_json_load(config, file);
        wn_free(file);
        return e;
    }
    wn_weights w;
    WN_TRY(wn_weights_open(&w, path));
    *config = json_incref(w.config);
    wn_weights_close(&w);
    return WN_OK;
}

static wn_err config_of_recipe(json_t **config, const struct reader *d, const char *key,
                               const char *path)
{
    const json_t *v = json_object_get(d->section, key);
    const char *name = json_string_value(v);
    if (json_is_object(v))
        *config = json_deep_copy(v);
    else if (name && !(*config = wn_shape_config(name)))
        return wn_fail(WN_EARG,
                       "%s: sizes: %s: no shape is called \"%s\"; known are %s, or a mapping as "
                       "config.json has it",
                       d->r->path, key, name, wn_shape_names());
    return *config ? WN_OK
                   : wn_fail(WN_EARG, "%s: %s is not there; expected it, or its shape as sizes: %s",
                             d->r->path, path, key);
}

/* What a model's place says: config, tokenizer, and most tokens of a text (0: no limit). */
static wn_err read_model(json_t **config, const char **from, wn_tokenizer **t, size_t *most,
                         const struct reader *d, const char *key, const char *path)
{
    wn_sentence *sentence = NULL;
    bool there = path && wn_file_exists(path);
    *from = there ? "files" : "recipe";
    if (!there)
        return config_of_recipe(config, d, key, path ? path : key);
    if (wn_is_dir(path))
        WN_TRY(wn_sentence_open(&sentence, path));
    const char *files = sentence ? sentence->model : path;
    wn_err e = config_of_files(config, files);
    if (!e)
        e = wn_tokenizer_open(t, files);
    if (!e && sentence && sentence->lower)
        e = wn_tokenizer_lowercase(*t);
    if (!e && sentence && sentence->max_seq_length && !*most)
        *most = sentence->max_seq_length;
    wn_sentence_close(sentence);
    return e;
}

static void usual_lengths(struct reader *d)
{
    const json_t *c[] = {d->s->encoder, d->s->model};
    size_t *most[] = {&d->embed_max, &d->model_max};
    for (int i = 0; i < 2; i++) {
        const char *type = json_string_value(json_object_get(c[i], "model_type"));
        json_int_t positions = json_integer_value(json_object_get(c[i], "max_position_embeddings"));
        if (type && (strcmp(type, "t5") == 0 || strcmp(type, "mt5") == 0) && !*most[i])
            *most[i] = 512;
        if (positions > 0 && (!*most[i] || *most[i] > (size_t)positions))
            *most[i] = (size_t)positions;
    }
}

static wn_err read_models(struct reader *d)
{
    const wn_recipe *r = d->r;
    d->embed_max = r->embed.o.max_tokens;
    d->model_max = r->train.max_tokens;
    if (wn_recipe_uses_vectors(r))
        WN_TRY(read_model(&d->s->encoder, &d->s->encoder_from, &d->encoder, &d->embed_max, d,
                          "encoder", r->encoder));
    WN_TRY(read_model(&d->s->model, &d->s->model_from, &d->model, &d->model_max, d, "model",
                      r->model));
    usual_lengths(d);
    return WN_OK;
}

/* ---- what the recipe says ---- */

static wn_err missing(const struct reader *d, const char *what, const char *file, const char *key)
{
    return wn_fail(WN_EARG, "%s: %s: %s is not there; expected it, or sizes: %s", d->r->path, what,
                   file, key);
}

static double at_most(double v, size_t most)
{
    return most && v > (double)most ? (double)most : v;
}

static wn_err pool_size(struct reader *d)
{
    wn_sizes *s = d->s;
    struct said said = {0};
    bool there = true;
    WN_TRY(say(&said, d, json_object_get(d->section, "pool"), said_fields, "pool"));
    for (size_t i = 0; i < d->r->n_sources; i++)
        there = there && wn_file_exists(d->r->sources[i]);
    if (there)
        WN_TRY(look_at_pool(d));
    if (!there && (!said.rows || said.prompt <= 0))
        return missing(d, "pool", d->r->sources[0], "pool: rows, prompt_tokens");
    bool model = there && d->model, encoder = there && d->encoder;
    if (!there)
        s->pool.rows = said.rows;
    if (!model && said.prompt > 0)
        s->pool.prompt = at_most(said.prompt, d->model_max);
    if (!model && said.target > 0)
        s->pool.target = said.target;
    if (!encoder && said.prompt > 0)
        s->pool_embed = at_most(said.prompt, d->embed_max);
    if (s->pool.target <= 0)
        s->pool.target = 8;
    if (!there)
        s->pool.bytes =
            said.bytes > 0 ? said.bytes : BYTES_A_TOKEN * (said.prompt + s->pool.target) + 60;
    if (there && (!model || (!encoder && s->encoder)) && said.prompt <= 0)
        wn_str_puts(&s->notes, "a token of the pool is taken for four bytes: no tokenizer is "
                               "there, and sizes: pool: prompt_tokens is not said\n");
    return WN_OK;
}

/* One of a target's files. own: what sizes says of this target, all: of every target. */
static wn_err one_file(wn_text_size *out, double *tokens, const struct reader *d,
                       const wn_recipe_target *t, bool queries, const struct said *own,
                       const struct said *all)
{
    const char *file = queries ? t->queries : t->test;
    uint64_t max = queries ? t->max_queries : t->max_test;
    uint64_t rows = queries ? own->queries : own->test;
    const wn_tokenizer *by = queries ? d->encoder : d->model;
    bool there = wn_file_exists(file);
    double embed = 0, prompt = own->prompt > 0 ? own->prompt : all->prompt;
    rows = rows ? rows : all->rows;
    if (there)
        WN_TRY(look_at(out, &embed, d, file, queries && t->query_map ? t->query_map : t->map, max,
                       true));
    else if (!rows || prompt <= 0)
        return missing(d, t->name, file,
                       queries ? "queries: rows, prompt_tokens" : "test: rows, prompt_tokens");
    if (!there) {
        out->rows = max && max < rows ? max : rows;
        out->choices = own->choices >= 0 ? own->choices : all->choices;
        out->bytes = BYTES_A_TOKEN * prompt + 60;
    }
    if (!there || (!by && prompt > 0)) {
        out->prompt = embed = prompt;
        double target = own->target > 0 ? own->target : all->target;
        out->target = target > 0 ? target : 4;
    }
    *tokens = at_most(queries ? embed : out->prompt, queries ? d->embed_max : d->model_max);
    return WN_OK;
}

static wn_err target_size(struct reader *d, size_t i, const struct said *queries,
                          const struct said *test)
{
    const wn_recipe_target *t = &d->r->target[i];
    wn_target_size *out = &d->s->target[i];
    struct said own = {.choices = -1}; /* 0 says that answers are generated */
    double tokens;
    json_t *o = json_object_get(json_object_get(d->section, "targets"), t->name);
    WN_TRY(say(&own, d, o, target_fields, t->name));
    WN_TRY(one_file(&out->queries, &tokens, d, t, true, &own, queries));
    out->queries.prompt = tokens;
    WN_TRY(one_file(&out->test, &tokens, d, t, false, &own, test));
    out->test.prompt = tokens;
    return WN_OK;
}

static wn_err check_target_names(const struct reader *d)
{
    const char *name;
    json_t *v;
    json_object_foreach(json_object_get(d->section, "targets"), name, v)
    {
        size_t i = 0;
        while (i < d->r->n_targets && strcmp(d->r->target[i].name, name) != 0)
            i++;
        if (i == d->r->n_targets)
            return wn_fail(WN_EARG, "%s: sizes: targets: the recipe has no target \"%s\"",
                           d->r->path, name);
    }
    return WN_OK;
}

static wn_err read_all(struct reader *d)
{
    struct top top = {0};
    struct said queries = {0}, test = {0};
    WN_TRY(say(&top, d, d->section, top_fields, "keys"));
    WN_TRY(say(&queries, d, json_object_get(d->section, "queries"), said_fields, "queries"));
    WN_TRY(say(&test, d, json_object_get(d->section, "test"), said_fields, "test"));
    WN_TRY(check_target_names(d));
    d->s->selected = top.selected;
    WN_TRY(read_models(d));
    WN_TRY(pool_size(d));
    WN_NEW(d->s->target, d->r->n_targets);
    for (size_t i = 0; i < d->r->n_targets; i++)
        WN_TRY(target_size(d, i, &queries, &test));
    d->s->shots = d->r->few.rows ? (double)d->r->few.rows : 32;
    return wn_str_check(&d->s->notes);
}

wn_err wn_sizes_read(wn_sizes *s, const wn_recipe *r)
{
    struct reader d = {.s = s, .r = r, .section = json_object_get(r->tree, "sizes")};
    *s = (wn_sizes){0};
    if (json_is_null(d.section))
        d.section = NULL;
    wn_err e = read_all(&d);
    wn_tokenizer_close(d.encoder);
    wn_tokenizer_close(d.model);
    if (e)
        wn_sizes_free(s);
    return e;
}

void wn_sizes_free(wn_sizes *s)
{
    wn_free(s->target);
    json_decref(s->encoder);
    json_decref(s->model);
    wn_str_free(&s->notes);
    *s = (wn_sizes){0};
}

/* A tiny model of every architecture that GGUF files are read of, as llama.cpp's converter lays
 * them out, against transformers with the same weights. */
#include <dirent.h>
#include <stdlib.h>

#include "golden_model.h"
#include "io/file.h"

#define STATE_LIMIT 5e-5 /* largest difference, of the RMS */
#define LOSS_LIMIT  2e-5 /* relative */

enum { MOST_ROWS = 16 };

static bool has(const wn_safetensors *s, const char *name)
{
    return wn_safetensors_find(s, name) != NULL;
}

static wn_model *open_model(const char *path)
{
    wn_model *m = NULL;
    const wn_model_opts o = {.precision = WN_PRECISION_F32};
    GOLDEN_OK(wn_model_open(&m, path, &o));
    return m;
}

static void check_state(const wn_model *m, wn_work *w, const wn_batch *b, const wn_safetensors *s,
                        int layer, const char *key, const char *name)
{
    size_t n;
    float *want = golden_f32(s, &n, "%s", key), *got = golden_alloc(n, sizeof *got);
    GOLDEN_OK(wn_model_hidden(m, w, b, layer, got));
    GOLDEN_WORST(got, want, n, STATE_LIMIT, "%s: %s", name, key);
}

/* The decoder's side of an encoder-decoder: its start, then the target without its last id. */
static wn_batch targets(const wn_model *m, const wn_safetensors *s, const wn_batch *source)
{
    size_t T;
    int32_t *label = golden_i32(s, &T, "target"), *id = golden_alloc(T, sizeof *id);
    uint32_t *off = (uint32_t *)golden_i32(s, NULL, "target_off"),
             *of = golden_alloc(source->B, sizeof *of);
    for (size_t b = 0; b < source->B; b++) {
        of[b] = (uint32_t)b;
        for (uint32_t t = off[b]; t < off[b + 1]; t++)
            id[t] = t > off[b] ? label[t - 1] : wn_model_facts_of(m)->decoder_start;
    }
    return (wn_batch){.B = source->B,
                      .T = T,
                      .id = id,
                      .off = off,
                      .label = label,
                      .source = source,
                      .source_of = of};
}

/* The model of that path against what is expected of NAME. */
static void check(const char *model, const char *name)
{
    char path[GOLDEN_PATH];
    wn_safetensors *s = NULL;
    wn_work *w = NULL;
    size_t T, n;
    wn_model *m = open_model(model);
    GOLDEN_OK(wn_safetensors_open(&s, golden_path(path, "gguf/%s.safetensors", name)));
    wn_batch rows = {.id = golden_i32(s, &T, "ids"), .off = (uint32_t *)golden_i32(s, &n, "off")};
    rows.T = T;
    rows.B = n - 1;
    if (has(s, "label"))
        rows.label = golden_i32(s, NULL, "label");
    wn_batch b = has(s, "target") ? targets(m, s, &rows) : rows;
    GOLDEN_OK(wn_work_new(&w, m, T > b.T ? T : b.T, rows.B, T + b.T, false));
    check_state(m, w, &rows, s, 1, "hidden.1", name);
    check_state(m, w, &rows, s, 0, "hidden.last", name);
    if (has(s, "nll")) {
        float *want = golden_f32(s, NULL, "nll");
        double nll[MOST_ROWS];
        uint32_t count[MOST_ROWS];
        GOLDEN_OK(wn_model_nll(m, w, &b, nll, count));
        for (size_t i = 0; i < rows.B; i++)
            cr_expect(fabs(nll[i] - want[i]) <= LOSS_LIMIT * want[i],
                      "%s: nll of row %zu: %.9g, expected %.9g", name, i, nll[i], (double)want[i]);
    }
    wn_work_free(w);
    wn_model_close(m);
    wn_safetensors_close(s);
}

static size_t each(void (*fn)(const char *gguf, const char *name))
{
    char path[GOLDEN_PATH], file[GOLDEN_PATH];
    size_t n = 0;
    DIR *d = opendir(golden_path(path, "gguf"));
    cr_assert(d, "%s is missing", path);
    for (struct dirent *e; (e = readdir(d));) {
        size_t len = strlen(e->d_name);
        if (len < 6 || strcmp(e->d_name + len - 5, ".gguf") != 0)
            continue;
        e->d_name[len - 5] = '\0';
        fn(golden_path(file, "gguf/%s.gguf", e->d_name), e->d_name);
        n++;
    }
    closedir(d);
    return n;
}

Test(golden_gguf, states_and_losses_of_every_architecture, .timeout = 120)
{
    cr_expect_geq(each(check), 22);
}

/* Saved as a folder, with the metadata as config.json, and read from there. */
static void check_folder(const char *gguf, const char *name)
{
    char folder[] = "/tmp/winnow-gguf-XXXXXX";
    wn_model *m = NULL;
    const wn_model_opts o = {.precision = WN_PRECISION_F32, .unpacked = true};
    cr_assert(mkdtemp(folder));
    GOLDEN_OK(wn_model_open(&m, gguf, &o));
    GOLDEN_OK(wn_model_can_save(m));
    GOLDEN_OK(wn_model_save(m, folder, &(wn_save_opts){0}));
    wn_model_close(m);
    check(folder, name);
    GOLDEN_OK(wn_remove_tree(folder));
}

Test(golden_gguf, folders_of_every_architecture, .timeout = 120)
{
    cr_expect_geq(each(check_folder), 22);
}

/* Saved configurations use the reference's words: what families call alike here has names of its
 * own there. Expected are the configurations that transformers wrote. */
Test(golden_gguf, configs_in_the_references_words)
{
    static const struct {
        const char *gguf, *folder, *keys[8];
    } same[] = {
        {"gpt2",
         "gpt2",
         {"n_embd", "n_layer", "n_head", "n_positions", "n_inner", "activation_function"}},
        {"bloom", "bloom", {"hidden_size", "n_layer", "n_head", "layer_norm_epsilon"}},
        {"gptneox",
         "gpt-neox",
         {"hidden_size", "num_hidden_layers", "intermediate_size", "layer_norm_eps", "hidden_act",
          "use_parallel_residual"}},
        {"gptneox-serial", "gpt-neox-serial", {"use_parallel_residual", "num_attention_heads"}},
        {"gemma2",
         "gemma2",
         {"attn_logit_softcapping", "final_logit_softcapping", "head_dim", "sliding_window"}},
        {"qwen3", "qwen3", {"head_dim", "num_key_value_heads", "rms_norm_eps"}},
        {"t5-v1.1", "t5-v1.1", {"d_model", "d_kv", "d_ff", "num_layers", "feed_forward_proj"}},
    };
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        char folder[] = "/tmp/winnow-gguf-XXXXXX", path[GOLDEN_PATH];
        wn_model *m = NULL;
        json_t *got = NULL, *want = NULL;
        const wn_model_opts o = {.precision = WN_PRECISION_F32, .unpacked = true};
        cr_assert(mkdtemp(folder));
        GOLDEN_OK(wn_model_open(&m, golden_path(path, "gguf/%s.gguf", same[i].gguf), &o));
        GOLDEN_OK(wn_model_save(m, folder, &(wn_save_opts){0}));
        wn_model_close(m);
        snprintf(path, sizeof path, "%s/config.json", folder);
        GOLDEN_OK(wn_json_load(&got, path));
        GOLDEN_OK(
            wn_json_load(&want, golden_path(path, "families/%s/config.json", same[i].folder)));
        for (const char *const *k = same[i].keys; *k; k++) {
            const json_t *a = json_object_get(got, *k), *b = json_object_get(want, *k);
            cr_assert(b, "%s: %s", same[i].folder, *k);
            if (json_is_number(a) && json_is_number(b))
                cr_expect_float_eq(json_number_value(a), json_number_value(b),
                                   1e-6 * json_number_value(b), "%s: %s", same[i].gguf, *k);
            else
                cr_expect(a && json_equal(a, b), "%s: %s", same[i].gguf, *k);
        }
        json_decref(got);
        json_decref(want);
        GOLDEN_OK(wn_remove_tree(folder));
    }
}

/* Names, rows and layouts of parameters are the Hugging Face checkpoint's: an adapter made there
 * fits. */
Test(golden_gguf, masters_are_in_the_checkpoints_order)
{
    static const struct {
        const char *gguf, *folder, *param;
    } same[] = {
        {"gptneox", "gpt-neox", "gpt_neox.layers.0.attention.query_key_value.weight"},
        {"gptneox", "gpt-neox", "gpt_neox.layers.0.attention.query_key_value.bias"},
        {"gpt2", "gpt2", "transformer.h.1.mlp.c_fc.weight"},
        {"smollm3", "smollm3", "model.layers.0.self_attn.k_proj.weight"},
    };
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        char path[GOLDEN_PATH];
        wn_model *a = NULL, *b = NULL;
        const wn_model_opts o = {.precision = WN_PRECISION_F32, .train_full = true};
        GOLDEN_OK(wn_model_open(&a, golden_path(path, "gguf/%s.gguf", same[i].gguf), &o));
        GOLDEN_OK(wn_model_open(&b, golden_path(path, "families/%s", same[i].folder), &o));
        const wn_param *p = wn_params_find(wn_model_params(a), same[i].param),
                       *q = wn_params_find(wn_model_params(b), same[i].param);
        cr_assert(p && q, "%s", same[i].param);
        cr_expect(p->rows == q->rows && p->cols == q->cols, "%s", same[i].param);
        wn_model_close(a);
        wn_model_close(b);
    }
}

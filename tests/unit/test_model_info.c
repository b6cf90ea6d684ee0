/* The numbers of `winnow model info`: what is trained, as PEFT counts it, and memory beside what
 * jobs really allocate. Every test is a process of its own, so the peak is its job's. */
#include <unistd.h>

#include "base/mem.h"
#include "base/par.h"
#include "golden_model.h"
#include "io/file.h"
#include "train/run.h"
#include "winnow.h"

static json_t *info_of(const char *model, const char *lengths, size_t rank)
{
    char path[GOLDEN_PATH], *text = NULL;
    const wn_model_info_opts o = {.common = {.precision = WN_PRECISION_F32},
                                  .model = golden_path(path, "%s", model),
                                  .lengths = lengths,
                                  .rank = rank};
    GOLDEN_OK(wn_model_info_job(&o, &text));
    json_t *j = json_loads(text, 0, NULL);
    wn_text_free(text);
    return j;
}

static uint64_t trained(const json_t *info, const char *method)
{
    size_t i;
    const json_t *row;
    json_array_foreach(
        json_object_get(info, "trained"), i,
        row) if (strcmp(json_string_value(json_object_get(row, "method")), method) ==
                 0) return (uint64_t)json_integer_value(json_object_get(row, "numbers"));
    return 0;
}

/* Counted by peft.get_peft_model, target_modules="all-linear", r = 8, and by summing up the
 * parameters that from_pretrained makes. */
Test(model_info, counts_as_peft_does)
{
    static const struct {
        const char *model;
        uint64_t parameters, lora;
    } cases[] = {
        {"families/bloom", 11060, 5120},   {"families/gemma3-text", 9436, 6672},
        {"families/gpt-neox", 9308, 3776}, {"families/gpt2", 7264, 3264},
        {"families/mt5", 9946, 7232},      {"families/opt-post-norm", 7566, 4448},
        {"families/phi3", 8808, 3744},     {"families/qwen3", 9300, 5216},
        {"families/smollm3", 11136, 7344}, {"families/t5-v1.0", 10686, 8896},
        {"families/modernbert", 12720, 0}, {"families/distilbert", 9946, 0},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        for (size_t rank = 8; rank <= 24; rank *= 3) {
            json_t *j = info_of(cases[i].model, NULL, rank);
            cr_expect_eq((uint64_t)json_integer_value(json_object_get(j, "parameters")),
                         cases[i].parameters, "%s", cases[i].model);
            cr_expect_eq(trained(j, "lora"), cases[i].lora * rank / 8, "%s: %llu", cases[i].model,
                         (unsigned long long)trained(j, "lora"));
            cr_expect_eq(trained(j, "full"), cases[i].lora ? cases[i].parameters : 0);
            json_decref(j);
        }
    }
}

/* ---- memory ---- */

enum { ROWS = 40, TOKENS = 60, SHORT = 6, STORE = 3 << 19 /* a store being written */ };

/* Rows of so many tokens, prompt and target together. */
static void write_rows(char path[64], size_t tokens)
{
    static char text[1 << 16];
    char word[TOKENS * 2 + 1];
    size_t n = 0;
    for (size_t i = 0; i + 1 < tokens; i++)
        word[i] = i % 2 ? '1' : '2';
    word[tokens - 2] = '\0';
    for (int i = 0; i < ROWS; i++)
        n += (size_t)snprintf(text + n, sizeof text - n,
                              "{\"id\":\"%d\",\"task\":\"t\",\"prompt\":\"%s\",\"target\":\"3\"}\n",
                              i, word);
    snprintf(path, 64, "/tmp/winnow-info-XXXXXX");
    int fd = mkstemp(path);
    cr_assert(fd >= 0);
    cr_assert_eq(write(fd, text, n), (ssize_t)n);
    close(fd);
}

static void near(const char *key, size_t tokens, size_t held)
{
    char lengths[8];
    snprintf(lengths, sizeof lengths, "%zu", tokens);
    json_t *j = info_of("models/llama-tiny", lengths, 0);
    double said =
        json_number_value(json_object_get(json_array_get(json_object_get(j, "memory"), 0), key));
    cr_expect(said > 0.85 * (double)held && said < 1.15 * (double)held,
              "%s: %.0f, %zu were allocated", key, said, held);
    json_decref(j);
}

/* Of rows so short that what is kept of the parameters is the larger part. */
static void check_training(const char *method, const char *key)
{
    char rows[64], model[GOLDEN_PATH];
    write_rows(rows, SHORT);
    const wn_train_opts o = {.common = {.precision = WN_PRECISION_F32},
                             .model = golden_path(model, "models/llama-tiny"),
                             .data = rows,
                             .method = method,
                             .loss_on_all = true,
                             .steps = 2};
    wn_train_run r = {.o = &o, .log = {.fd = -1}}; /* as it stands when all is allocated */
    GOLDEN_OK(wn_train_open(&r));
    GOLDEN_OK(wn_train_plan(&r));
    near(key, SHORT, wn_mem_live());
    wn_train_close(&r);
    unlink(rows);
}

Test(model_info, memory_of_training_everything)
{
    check_training("full", "train_full_bytes");
}

Test(model_info, memory_of_lora)
{
    check_training("lora", "train_lora_bytes");
}

Test(model_info, memory_of_ia3)
{
    check_training("ia3", "train_ia3_bytes");
}

Test(model_info, memory_of_embedding)
{
    char rows[64], model[GOLDEN_PATH], out[80];
    write_rows(rows, TOKENS);
    snprintf(out, sizeof out, "%s.out", rows);
    const wn_embed_opts o = {.common = {.out = out, .precision = WN_PRECISION_F32},
                             .model = golden_path(model, "models/llama-tiny"),
                             .pool = rows};
    wn_par_set_threads(1);
    GOLDEN_OK(wn_embed_job(&o));
    near("embed_bytes", TOKENS, wn_mem_peak() - STORE);
    unlink(rows);
    GOLDEN_OK(wn_remove_tree(out));
}

Test(model_info, memory_of_gradients)
{
    char rows[64], model[GOLDEN_PATH], out[80];
    write_rows(rows, TOKENS);
    snprintf(out, sizeof out, "%s.out", rows);
    const wn_grad_opts o = {.common = {.out = out, .precision = WN_PRECISION_F32},
                            .model = golden_path(model, "models/llama-tiny"),
                            .pool = rows,
                            .params = "all"};
    GOLDEN_OK(wn_grad_job(&o));
    near("grad_bytes", TOKENS, wn_mem_peak() - STORE);
    unlink(rows);
    GOLDEN_OK(wn_remove_tree(out));
}

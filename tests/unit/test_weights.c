/* What of a model's files is refused, and that the line says where it is. */
#include <unistd.h>

#include "golden.h"
#include "io/file.h"
#include "io/gguf.h"
#include "model/model.h"

static char scratch[] = "/tmp/winnow-weights-XXXXXX";

static void make_scratch(void)
{
    cr_assert(mkdtemp(scratch));
}

static void remove_scratch(void)
{
    GOLDEN_OK(wn_remove_tree(scratch));
}

TestSuite(weights, .init = make_scratch, .fini = remove_scratch);

static const char *scratch_file(const char *name)
{
    static char path[GOLDEN_PATH];
    snprintf(path, sizeof path, "%s/%s", scratch, name);
    return path;
}

/* A copy of a golden file in SCRATCH, `bytes` written over it at `at`. */
static void copy(const char *from, const char *name, size_t at, const void *bytes, size_t n)
{
    char path[GOLDEN_PATH], *text;
    size_t len;
    GOLDEN_OK(wn_file_read(&text, &len, golden_path(path, "%s", from), 1 << 24));
    cr_assert_leq(at + n, len);
    memcpy(text + at, bytes, n);
    GOLDEN_OK(wn_file_write(scratch_file(name), text, len));
    wn_free(text);
}

static void refused(const char *path, const char *says)
{
    wn_model *m = NULL;
    cr_expect_neq(wn_model_open(&m, path, NULL), WN_OK, "expected: %s", says);
    cr_expect(strstr(wn_error_message(), says) && !strchr(wn_error_message(), '\n'),
              "expected \"%s\", found \"%s\"", says, wn_error_message());
    cr_expect_null(m);
}

Test(weights, not_a_number_in_a_folder)
{
    static const uint16_t nan16 = 0x7e01, infinity16 = 0x7c00;
    char path[GOLDEN_PATH];
    wn_safetensors *s = NULL;
    wn_map map = {0};
    GOLDEN_OK(wn_safetensors_open(&s, golden_path(path, "families/qwen2/model.safetensors")));
    GOLDEN_OK(wn_map_open(&map, path));
    const wn_tensor *matrix = golden_find(s, "model.layers.1.mlp.up_proj.weight"),
                    *vector = golden_find(s, "model.norm.weight"), *first = wn_safetensors_at(s, 0);
    uint64_t bytes = 0;
    for (size_t i = 0; i < wn_safetensors_count(s); i++)
        bytes += wn_safetensors_at(s, i)->bytes;
    uint64_t head = map.size - bytes;
    for (size_t i = 0; i < wn_safetensors_count(s); i++)
        first = wn_safetensors_at(s, i)->data < first->data ? wn_safetensors_at(s, i) : first;
    copy("families/qwen2/config.json", "config.json", 0, "", 0);
    copy("families/qwen2/tokenizer.json", "tokenizer.json", 0, "", 0);
    size_t at = (size_t)((const char *)matrix->data - (const char *)first->data) + head;
    copy("families/qwen2/model.safetensors", "model.safetensors", at + 2 * (3 * 24 + 5), &nan16, 2);
    refused(scratch,
            "model.layers.1.mlp.up_proj.weight, row 3, column 5: expected a finite number, found "
            "NaN");
    at = (size_t)((const char *)vector->data - (const char *)first->data) + head;
    copy("families/qwen2/model.safetensors", "model.safetensors", at + 2 * 7, &infinity16, 2);
    refused(scratch, "model.norm.weight, element 7: expected a finite number, found infinity");
    wn_map_close(&map);
    wn_safetensors_close(s);
}

Test(weights, quantised_folders)
{
    static const struct {
        const char *member, *says;
    } cases[] = {{"\"quantization_config\": {\"quant_method\": \"gptq\"}, ",
                  "config.json: quantization_config: a checkpoint quantised by \"gptq\""},
                 {"", "tensor model.layers.0.mlp.up_proj.weight_scale: quantised weights"}};
    char path[GOLDEN_PATH], *text;
    size_t len;
    float one = 1;
    GOLDEN_OK(wn_file_read(&text, &len, golden_path(path, "families/qwen2/config.json"), 1 << 20));
    for (size_t i = 0; i < 2; i++) {
        wn_str s = {0};
        wn_str_printf(&s, "{%s%s", cases[i].member, strchr(text, '{') + 1);
        GOLDEN_OK(wn_file_write(scratch_file("config.json"), s.p, s.len));
        wn_str_free(&s);
        wn_tensor t = {.name = "model.layers.0.mlp.up_proj.weight_scale",
                       .dtype = WN_F32,
                       .ndim = 1,
                       .dim = {1},
                       .data = &one,
                       .bytes = 4};
        GOLDEN_OK(wn_safetensors_write(scratch_file("model.safetensors"), &t, 1, NULL));
        refused(scratch, cases[i].says);
    }
    wn_free(text);
}

Test(weights, pickles_are_named)
{
    GOLDEN_OK(wn_file_write(scratch_file("config.json"), "{}", 2));
    GOLDEN_OK(wn_file_write(scratch_file("pytorch_model.bin"), "PK", 2));
    refused(scratch, "found pytorch_model.bin");
}

/* The first place in a file that holds `what`. */
static size_t find(const char *file, const char *what, size_t n)
{
    wn_map map = {0};
    GOLDEN_OK(wn_map_open(&map, file));
    size_t at = 0;
    while (at + n <= map.size && memcmp(map.data + at, what, n) != 0)
        at++;
    cr_assert_leq(at + n, map.size, "%s: it is not there", file);
    wn_map_close(&map);
    return at;
}

static void put_text(wn_str *s, const char *text)
{
    uint64_t n = strlen(text);
    wn_str_add(s, &n, 8);
    wn_str_puts(s, text);
}

/* Experts and senses in a GGUF file are refused by name, whatever the architecture. */
Test(weights, gguf_experts_and_senses)
{
    static const struct {
        const char *arch;
        uint32_t experts;
        const char *says;
    } refusals[] = {{"llama", 8, "architecture \"llama\" with 8 experts is a mixture of experts"},
                    {"qwen3moe", 128, "\"qwen3moe\" with 128 experts is a mixture of experts"},
                    {"clip", 0, "architecture \"clip\" has more senses than text"},
                    {"llama", 0, "metadata key llama.embedding_length is missing"},
                    {"mamba", 0, "architecture \"mamba\" is not supported"}};
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        wn_str s = {0};
        char key[64];
        const uint32_t version = 3, string = 8, u32 = 4;
        const uint64_t tensors = 0, pairs = 2;
        wn_str_puts(&s, "GGUF");
        wn_str_add(&s, &version, 4);
        wn_str_add(&s, &tensors, 8);
        wn_str_add(&s, &pairs, 8);
        put_text(&s, "general.architecture");
        wn_str_add(&s, &string, 4);
        put_text(&s, refusals[i].arch);
        snprintf(key, sizeof key, "%s.expert_count", refusals[i].arch);
        put_text(&s, key);
        wn_str_add(&s, &u32, 4);
        wn_str_add(&s, &refusals[i].experts, 4);
        GOLDEN_OK(wn_file_write(scratch_file("foreign.gguf"), s.p, s.len));
        refused(scratch_file("foreign.gguf"), refusals[i].says);
        wn_str_free(&s);
    }
}

Test(weights, gguf_files)
{
    char path[GOLDEN_PATH];
    const char *gguf = golden_path(path, "gguf/qwen2.gguf");
    static const float nan32 = NAN;
    wn_gguf *g = NULL;
    wn_map map = {0};
    GOLDEN_OK(wn_gguf_open(&g, gguf));
    GOLDEN_OK(wn_map_open(&map, gguf));
    /* the first vector's bytes are found again in the file: gains are about 1, so no others' */
    const wn_tensor *t = wn_gguf_find(g, "blk.1.attn_norm.weight");
    size_t at = find(gguf, t->data, 24 * 4);
    copy("gguf/qwen2.gguf", "m.gguf", at + 4 * 11, &nan32, 4);
    refused(scratch_file("m.gguf"), "tensor blk.1.attn_norm.weight, element 11");
    at = find(gguf, "general.architecture", 20) + 20 + 4 + 8;
    copy("gguf/qwen2.gguf", "m.gguf", at, "quen2", 5);
    refused(scratch_file("m.gguf"),
            "architecture \"quen2\" is not supported in GGUF (known: llama");
    at = find(gguf, "qwen2.block_count", 17);
    copy("gguf/qwen2.gguf", "m.gguf", at, "qwen2.block_coint", 17);
    refused(scratch_file("m.gguf"), "metadata key qwen2.block_count is missing");
    /* a count of layers that the file has not, or that no file could have */
    static const uint32_t three = 3, many = 1u << 30;
    copy("gguf/qwen2.gguf", "m.gguf", at + 17 + 4, &three, 4);
    refused(scratch_file("m.gguf"), "tensor model.layers.2.");
    copy("gguf/qwen2.gguf", "m.gguf", at + 17 + 4, &many, 4);
    refused(scratch_file("m.gguf"), "num_hidden_layers: expected a size");
    static const uint32_t thousands = 100000;
    copy("gguf/qwen2.gguf", "m.gguf", at + 17 + 4, &thousands, 4);
    refused(scratch_file("m.gguf"), "100000 layers: the file has 26 tensors");
    at = find(gguf, "blk.0.ffn_down.weight", 21);
    copy("gguf/qwen2.gguf", "m.gguf", at, "blk.0.ffn_dawn.weight", 21);
    refused(scratch_file("m.gguf"), "tensor blk.0.ffn_down.weight is missing");
    static const uint32_t mxfp4 = 39;
    copy("gguf/qwen2.gguf", "m.gguf", at + 21 + 4 + 16, &mxfp4, 4);
    refused(scratch_file("m.gguf"), "tensor type mxfp4 is not supported");
    wn_map_close(&map);
    wn_gguf_close(g);
}

/* libFuzzer target: bytes as a tokenizer file (tokenizer.json, SentencePiece model, GGUF, or one of
 * the older files, told by the first byte), then what is left as a text for it. Any tokenizer that
 * opens must encode any text, and decode what it encoded. Seeds: tests/goldens/tokenizers. */
#include "fuzz.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "token/tokenizer.h"

static void use(const wn_tokenizer *t, const char *text, size_t len)
{
    int32_t *id;
    size_t n;
    char *back;
    if (wn_tokenizer_encode(t, text, len, true, &id, &n))
        return;
    for (size_t i = 0; i < n; i++)
        WN_ASSERT(id[i] >= 0 && (size_t)id[i] < wn_tokenizer_vocab(t));
    if (!wn_tokenizer_decode(t, id, n, false, &back))
        wn_free(back);
    wn_ids_free(id);
}

/* What the first byte says, the file that it is, and the file that is opened. M, W and T are
 * written without it, into a folder of older kinds: merges.txt, vocab.txt, tokenizer_config.json.
 */
static const struct {
    char first;
    bool skip;
    const char *file, *open;
} kinds[] = {{'G', false, "model.gguf", "model.gguf"},
             {'{', false, "tokenizer.json", "tokenizer.json"},
             {'M', true, "old/merges.txt", "old/vocab.json"},
             {'W', true, "words/vocab.txt", "words/vocab.txt"},
             {'T', true, "flags/tokenizer_config.json", "flags/vocab.json"},
             {0, false, "tokenizer.model", "tokenizer.model"}};

static bool put(const char *folder, const char *name, const void *data, size_t size)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "wb");
    if (!f)
        return false;
    bool whole = fwrite(data, 1, size, f) == size;
    return fclose(f) == 0 && whole;
}

static bool prepare(char *folder)
{
    static const char *const folders[] = {"old", "words", "flags"};
    static const char vocab[] = "{\"a\":0,\"b\":1,\"\u0120\":2,\"ab\":3,\"<s>\":4,\"\u0120a\":5}";
    static const char *const model[] = {"{\"model_type\":\"opt\"}", "{\"model_type\":\"bert\"}"};
    char path[128];
    if (!mkdtemp(folder))
        return false;
    for (int i = 0; i < 3; i++) {
        const char *config = model[i == 1];
        snprintf(path, sizeof path, "%s/%s", folder, folders[i]);
        if (mkdir(path, 0700) || !put(path, "config.json", config, strlen(config)) ||
            (i != 1 && !put(path, "vocab.json", vocab, sizeof vocab - 1)) ||
            (i != 1 && !put(path, "merges.txt", "a b\n", 4)))
            return false;
    }
    return true;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed)
{
    return fuzz_mutate_numbers(data, size, most, seed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char folder[] = "/tmp/wn_fuzz_XXXXXX";
    static bool ready;
    static const char tough[] = "The caf\xc3\xa9 \xe2\x96\x81 1234\t\n\n  it's "
                                "[MASK]<s>\xf0\x9f\x98\x80\xff e\xcc\x81\xcc\xa3";
    if (!ready && !(ready = prepare(folder)))
        return 0;
    size_t kind = 0;
    while (kinds[kind].first && (!size || data[0] != (uint8_t)kinds[kind].first))
        kind++;
    bool skip = kinds[kind].skip;
    char path[128];
    wn_tokenizer *t;
    size_t before = wn_mem_live();
    if (!put(folder, kinds[kind].file, data + skip, size - skip))
        return 0;
    snprintf(path, sizeof path, "%s/%s", folder, kinds[kind].open);
    if (!wn_tokenizer_open(&t, path)) {
        use(t, tough, sizeof tough - 1);
        use(t, (const char *)data, size < 4096 ? size : 4096);
        wn_tokenizer_close(t);
    }
    WN_ASSERT(wn_mem_live() == before);
    return 0;
}

/* libFuzzer target: bytes as a tokenizer file (tokenizer.json, SentencePiece model or GGUF, told by
 * the first byte), then what is left as a text for it. Any tokenizer that opens must encode any
 * text, and decode what it encoded. Seeds: tests/goldens/tokenizers. */
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>

#include "token/tokenizer.h"

static void use(const wn_tokenizer *t, const char *text, size_t len)
{
    int32_t *id;
    size_t n;
    char *back;
    if (wn_tokenizer_encode(t, text, len, true, &id, &n))
        return;
    for (size_t i = 0; i < n; i++)
        WN_ASSERT(id[i] >= 0);
    if (!wn_tokenizer_decode(t, id, n, false, &back))
        wn_free(back);
    wn_ids_free(id);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char folder[] = "/tmp/wn_fuzz_XXXXXX";
    static char path[3][64];
    static const char tough[] = "The caf\xc3\xa9 \xe2\x96\x81 1234\t\n\n  it's "
                                "[MASK]<s>\xf0\x9f\x98\x80\xff e\xcc\x81\xcc\xa3";
    if (!path[0][0]) {
        if (!mkdtemp(folder))
            return 0;
        snprintf(path[0], sizeof path[0], "%s/tokenizer.json", folder);
        snprintf(path[1], sizeof path[1], "%s/tokenizer.model", folder);
        snprintf(path[2], sizeof path[2], "%s/model.gguf", folder);
    }
    int kind = size && data[0] == 'G' ? 2 : size && data[0] == '{' ? 0 : 1;
    wn_tokenizer *t;
    size_t before = wn_mem_live();
    FILE *f = fopen(path[kind], "wb");
    if (!f)
        return 0;
    fwrite(data, 1, size, f);
    fclose(f);
    if (!wn_tokenizer_open(&t, path[kind])) {
        use(t, tough, sizeof tough - 1);
        use(t, (const char *)data, size < 4096 ? size : 4096);
        wn_tokenizer_close(t);
    }
    WN_ASSERT(wn_mem_live() == before);
    return 0;
}

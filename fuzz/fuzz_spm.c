/* libFuzzer target: bytes as a SentencePiece .model; what opens must encode any text and decode
 * what it encoded. Seeds: the models of tests/goldens/tokenizers. */
#include "fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

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
    if (!wn_tokenizer_decode(t, id, n, true, &back))
        wn_free(back);
    wn_ids_free(id);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static char path[] = "/tmp/wn_fuzz_XXXXXX.model";
    static const char tough[] = "  The caf\xc3\xa9 \xe2\x96\x81 \xef\xbd\x81\xe3\x8c\x94 12\t\n<s>"
                                "<0x41><extra_id_0>\xf0\x9f\x98\x80\xff e\xcc\x81";
    static bool made;
    wn_tokenizer *t;
    size_t before = wn_mem_live();
    if (!made) {
        int fd = mkstemps(path, 6);
        if (fd < 0)
            return 0;
        close(fd);
        made = true;
    }
    FILE *f = fopen(path, "wb");
    if (!f)
        return 0;
    fwrite(data, 1, size, f);
    fclose(f);
    if (!wn_tokenizer_open(&t, path)) {
        use(t, tough, sizeof tough - 1);
        use(t, (const char *)data, size < 1024 ? size : 1024);
        wn_tokenizer_close(t);
    }
    WN_ASSERT(wn_mem_live() == before);
    return 0;
}

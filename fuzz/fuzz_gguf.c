#include "fuzz.h"

#include "io/gguf.h"
#include "io/hash.h"

static volatile uint64_t sink;

static void touch_array(const wn_gguf *g, const char *key)
{
    size_t n;
    wn_span s;
    int64_t v;
    double d;
    if (!wn_gguf_array(g, key, &n))
        return;
    for (size_t i = 0; i <= n && i < 1000; i++) {
        if (wn_gguf_array_string(g, key, i, &s)) {
            WN_ASSERT(i < n);
            sink += wn_hash64(s.p, s.len, 0); /* reads every byte */
        }
        if (wn_gguf_array_i64(g, key, i, &v))
            WN_ASSERT(i < n);
        if (wn_gguf_array_f64(g, key, i, &d))
            WN_ASSERT(i < n);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    static const char *const keys[] = {"k",
                                       "general.alignment",
                                       "k.strings",
                                       "k.ints",
                                       "k.floats",
                                       "k.u64",
                                       "general.architecture",
                                       "tokenizer.ggml.tokens"};
    wn_gguf *g;
    size_t live = wn_mem_live();
    if (wn_gguf_open_memory(&g, bytes, size, "fuzz") == WN_OK) {
        for (size_t i = 0; i < wn_gguf_count(g); i++) {
            const wn_tensor *t = wn_gguf_at(g, i);
            fuzz_touch(t);
            WN_ASSERT(wn_gguf_find(g, t->name) == t);
        }
        for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
            int64_t v;
            double d;
            bool b;
            wn_span s;
            wn_gguf_i64(g, keys[i], &v);
            wn_gguf_f64(g, keys[i], &d);
            wn_gguf_bool(g, keys[i], &b);
            wn_gguf_string(g, keys[i], &s);
            touch_array(g, keys[i]);
        }
        wn_gguf_close(g);
    }
    WN_ASSERT(wn_mem_live() == live);
    return 0;
}

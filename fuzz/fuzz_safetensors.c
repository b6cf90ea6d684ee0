#include "fuzz.h"

#include "io/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    wn_safetensors *s;
    size_t live = wn_mem_live();
    if (wn_safetensors_open_memory(&s, bytes, size, "fuzz") == WN_OK) {
        for (size_t i = 0; i < wn_safetensors_count(s); i++) {
            const wn_tensor *t = wn_safetensors_at(s, i);
            fuzz_touch(t);
            WN_ASSERT(wn_safetensors_find(s, t->name) == t);
        }
        wn_safetensors_close(s);
    }
    WN_ASSERT(wn_mem_live() == live);
    return 0;
}

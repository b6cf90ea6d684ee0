#include "fuzz.h"

#include "io/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    json_t *v, *again;
    size_t live = wn_mem_live();
    if (wn_yaml_parse(&v, (const char *)bytes, size, "fuzz") == WN_OK) {
        /* Every tree that YAML gives is JSON. */
        wn_str s = {0};
        WN_ASSERT(wn_json_dump(&s, v, 2, false) == WN_OK);
        WN_ASSERT(wn_json_parse(&again, s.p, s.len, "again") == WN_OK);
        json_decref(again);
        json_decref(v);
        wn_str_free(&s);
    }
    WN_ASSERT(wn_mem_live() == live);
    return 0;
}

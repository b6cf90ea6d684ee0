/* JSON values, and rows of JSON Lines: what parses is written and parses again to the same tree,
 * and an object's raw members are its members. */
#include "fuzz.h"

#include <string.h>

#include "io/json.h"

static void check_members(const char *text, size_t len, const json_t *v)
{
    wn_span key, value;
    size_t pos = 0, n = 0;
    while (wn_json_member(text, len, &pos, &key, &value)) {
        WN_ASSERT(key.p >= text && key.p + key.len <= text + len);
        WN_ASSERT(value.p >= text && value.p + value.len <= text + len);
        n++;
        if (!v)
            continue;
        json_t *one;
        WN_ASSERT(wn_json_parse(&one, value.p, value.len, "member") == WN_OK);
        json_decref(one);
    }
    if (json_is_object(v))
        WN_ASSERT(n == json_object_size(v));
}

static void check_text(const char *text, size_t len)
{
    json_t *v, *again;
    wn_str a = {0}, b = {0};
    wn_err err = wn_json_parse(&v, text, len, "fuzz");
    check_members(text, len, v);
    if (err != WN_OK)
        return;
    WN_ASSERT(wn_json_dump(&a, v, 0, true) == WN_OK);
    WN_ASSERT(wn_json_parse(&again, a.p, a.len, "again") == WN_OK);
    WN_ASSERT(wn_json_dump(&b, again, 0, true) == WN_OK);
    WN_ASSERT(a.len == b.len && memcmp(a.p, b.p, a.len) == 0);
    const char *s;
    uint64_t u;
    wn_json_get_string(&s, v, "prompt", true, "fuzz");
    wn_json_get_u64(&u, v, "id", true, "fuzz");
    json_decref(v);
    json_decref(again);
    wn_str_free(&a);
    wn_str_free(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    const char *text = (const char *)bytes, *end = text + size;
    size_t live = wn_mem_live();
    check_text(text, size);
    for (const char *p = text; p < end;) {
        const char *nl = memchr(p, '\n', (size_t)(end - p));
        if (!nl)
            break;
        check_text(p, (size_t)(nl - p));
        p = nl + 1;
    }
    WN_ASSERT(wn_mem_live() == live);
    return 0;
}

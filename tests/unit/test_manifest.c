#include <criterion/criterion.h>
#include <string.h>

#include "base/mem.h"
#include "io/manifest.h"

static json_t *parse(const char *text)
{
    json_t *v;
    cr_assert_eq(wn_json_parse(&v, text, strlen(text), "test"), WN_OK, "%s", wn_error_text());
    return v;
}

Test(manifest, starts_with_what_every_artefact_says)
{
    json_t *m;
    cr_assert_eq(wn_manifest_new(&m, "winnow-x-1",
                                 &(wn_common){.seed = 7, .precision = WN_PRECISION_BF16}, "avx2"),
                 WN_OK);
    json_t *want = parse("{\"format\": \"winnow-x-1\", \"version\": \"" WN_VERSION
                         "\", \"seed\": 7, \"precision\": \"bf16\", \"kernel\": \"avx2\"}");
    cr_assert(json_equal(m, want));
    json_decref(m);
    json_decref(want);
}

Test(manifest, names_the_first_difference)
{
    static const struct {
        const char *old, *now, *text; /* text NULL: equal */
    } c[] = {
        {"{\"a\": 1, \"b\": {\"c\": [1, 2]}}", "{\"b\": {\"c\": [1, 2]}, \"a\": 1}", NULL},
        {"{\"a\": 1, \"b\": 2}", "{\"b\": 3, \"a\": 4}", "S: a is 1 there, but 4 here"},
        {"{\"o\": {\"k\": \"x\"}}", "{\"o\": {\"k\": \"y\"}}",
         "S: o.k is \"x\" there, but \"y\" here"},
        {"{}", "{\"k\": true}", "S: k is absent there, but true here"},
        {"{\"o\": {\"k\": 1}}", "{\"o\": {}}", "S: o.k is 1 there, but absent here"},
        {"{\"skip\": 1}", "{\"skip\": 2}", NULL},
        {"{\"o\": {\"skip\": 1}}", "{\"o\": {\"skip\": 2}}", "S: o.skip is 1 there, but 2 here"}};
    const char *const ignore[] = {"skip", NULL};
    for (size_t i = 0; i < sizeof c / sizeof *c; i++) {
        json_t *a = parse(c[i].old), *b = parse(c[i].now);
        wn_err err = wn_manifest_match(a, b, "S", ignore);
        cr_assert_eq(err, c[i].text ? WN_EARG : WN_OK, "case %zu", i);
        if (c[i].text)
            cr_assert_str_eq(wn_error_text(), c[i].text);
        json_decref(a);
        json_decref(b);
    }
    cr_assert_eq(wn_mem_live(), 0);
}

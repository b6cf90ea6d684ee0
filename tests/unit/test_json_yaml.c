#include "test_io_util.h"

#include "io/json.h"

TestSuite(yaml, .init = scratch_make, .fini = scratch_remove);

static void yaml_is(const char *text, const char *want)
{
    json_t *v;
    wn_str s = {0};
    OK(wn_yaml_parse(&v, text, strlen(text), "r.yaml"));
    OK(wn_json_dump(&s, v, 0, false));
    cr_assert_str_eq(s.p, want, "%s gave %s", text, s.p);
    json_decref(v);
    wn_str_free(&s);
}

static wn_err bad(const char *text)
{
    json_t *v;
    wn_err err = wn_yaml_parse(&v, text, strlen(text), "r.yaml");
    cr_assert(err == WN_OK || v == NULL);
    json_decref(v);
    return err;
}

Test(yaml, shapes)
{
    yaml_is("", "null");
    yaml_is("# nothing\n", "null");
    yaml_is("a: 1\nb:\n  - x\n  - {c: [1, 2]}\nd:\n", "{\"a\": 1, \"b\": [\"x\", {\"c\": [1, 2]}], "
                                                      "\"d\": null}");
    yaml_is("---\n- 1\n...\n", "[1]");
    yaml_is("text: |\n  two\n  lines\n", "{\"text\": \"two\\nlines\\n\"}");
    yaml_is("{\"json\": [true, null, -1.5e3]}", "{\"json\": [true, null, -1500.0]}");
}

/* YAML 1.2's core schema. */
Test(yaml, scalars)
{
    yaml_is("[~, null, Null, true, False, TRUE]", "[null, null, null, true, false, true]");
    yaml_is("[no, yes, on, off, nULL, tRue]",
            "[\"no\", \"yes\", \"on\", \"off\", \"nULL\", \"tRue\"]");
    yaml_is("[0, -7, +7, 012, 0x1F, 0o17, 9223372036854775807]",
            "[0, -7, 7, 12, 31, 15, 9223372036854775807]");
    yaml_is("[1e-4, 1., .5, -.5e1, 0.10, +1.5, 007.5, 9223372036854775808]",
            "[0.0001, 1.0, 0.5, -5.0, 0.1, 1.5, 7.5, 9.223372036854776e+18]");
    yaml_is("[., -, 1.2.3, 1e, 0x, 0xg, 1_000, 1 2, 2024-01-01, e5]",
            "[\".\", \"-\", \"1.2.3\", \"1e\", \"0x\", \"0xg\", \"1_000\", \"1 2\", "
            "\"2024-01-01\", \"e5\"]");
    yaml_is("['1', \"true\", !!str 5, ! 6, '']", "[\"1\", \"true\", \"5\", \"6\", \"\"]");
    yaml_is("1: a\ntrue: b\n", "{\"1\": \"a\", \"true\": \"b\"}");
}

Test(yaml, refusals)
{
    FAILS(bad("a: &x 1\nb: *x\n"), WN_EFORMAT, "r.yaml:1: YAML anchors and aliases");
    FAILS(bad("b: *x\n"), WN_EFORMAT, "r.yaml:1:");
    FAILS(bad("- &x {a: 1}\n"), WN_EFORMAT, "anchors");
    FAILS(bad("- &x [a]\n"), WN_EFORMAT, "anchors");
    FAILS(bad("&x a: 1\n"), WN_EFORMAT, "anchors");
    FAILS(bad("a: 1\nb: 2\na: 3\n"), WN_EFORMAT, "r.yaml:3: key a stands there twice");
    FAILS(bad("a: !!int 3\n"), WN_EFORMAT, "tags");
    FAILS(bad("a: !foo {b: 1}\n"), WN_EFORMAT, "tags");
    FAILS(bad("? [a]\n: 1\n"), WN_EFORMAT, "expected a plain word as key");
    FAILS(bad("a: .inf\n"), WN_EFORMAT, "finite");
    FAILS(bad("a: 1e999\n"), WN_EFORMAT, "r.yaml:1:");
    FAILS(bad("a: 1\n---\nb: 2\n"), WN_EFORMAT, "expected one YAML document");
    FAILS(bad("a: [1\n"), WN_EFORMAT, "r.yaml:2: bad YAML at column 1");
    FAILS(bad("a: \xff\n"), WN_EFORMAT, "r.yaml: bad YAML at byte 3");
    FAILS(bad("a:\n\t- 1\n"), WN_EFORMAT, "bad YAML");
    char deep[1000];
    memset(deep, '[', sizeof deep);
    deep[999] = '\0';
    FAILS(bad(deep), WN_EFORMAT, "nested deeper than 64");
    deep[64] = '\0';
    memset(deep + 32, ']', 32);
    OK(bad(deep));
}

Test(yaml, load)
{
    json_t *v;
    put_text(scratch("r.yaml"), "a: 1\n");
    OK(wn_yaml_load(&v, scratch("r.yaml")));
    cr_assert_eq(json_integer_value(json_object_get(v, "a")), 1);
    json_decref(v);
    put_text(scratch("r.yaml"), "a: [\n");
    FAILS(wn_yaml_load(&v, scratch("r.yaml")), WN_EFORMAT, scratch("r.yaml"));
    FAILS(wn_yaml_load(&v, scratch("none")), WN_EIO, "none: cannot open");
}

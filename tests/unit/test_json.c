#include "test_io_util.h"

#include <float.h>
#include <locale.h>
#include <math.h>

#include "base/rng.h"
#include "io/json.h"

TestSuite(json, .init = scratch_make, .fini = scratch_remove);

static wn_err parse(json_t **v, const char *text)
{
    return wn_json_parse(v, text, strlen(text), "rows.jsonl:7");
}

static void round_trip(const char *text, const char *want)
{
    json_t *v;
    wn_str s = {0};
    OK(parse(&v, text));
    OK(wn_json_dump(&s, v, 0, false));
    cr_assert_str_eq(s.p, want);
    json_decref(v);
    wn_str_free(&s);
}

Test(json, round_trips)
{
    round_trip("{\"b\":1,\"a\":[true,false,null,\"x\"]}",
               "{\"b\": 1, \"a\": [true, false, null, \"x\"]}");
    round_trip(" [ ] ", "[]");
    round_trip("{}", "{}");
    round_trip("\"\\u00e9\\n\\u0001\\\"\\\\/\\/\"", "\"\xc3\xa9\\n\\u0001\\\"\\\\//\"");
    round_trip("\"a\\u0000b\"", "\"a\\u0000b\"");
    round_trip("\"\\ud83d\\ude00\"", "\"\xf0\x9f\x98\x80\"");
    round_trip("[0.1, 1e-5, 3.0, 1e300, -0.0]", "[0.1, 1e-05, 3.0, 1e+300, -0.0]");
    round_trip("\xef\xbb\xbf{\"a\": 1}", "{\"a\": 1}");
}

Test(json, integers_beyond_64_bits_become_reals_and_only_those)
{
    json_t *v;
    OK(parse(&v,
             "{\"a\": 9223372036854775807, \"b\": 9223372036854775808, \"9999999999999999999\":"
             " \"99999999999999999999\", \"c\": -9223372036854775808, \"d\": [-9223372036854775809,"
             " 1.25, 100000000000000000000e2, 0.12345678901234567890123], \"e\": 3}"));
    cr_assert(json_is_integer(json_object_get(v, "a")));
    cr_assert_eq(json_integer_value(json_object_get(v, "a")), INT64_MAX);
    cr_assert(json_is_real(json_object_get(v, "b")));
    cr_assert_eq(json_real_value(json_object_get(v, "b")), 0x1p63);
    cr_assert_str_eq(json_string_value(json_object_get(v, "9999999999999999999")),
                     "99999999999999999999");
    cr_assert(json_is_integer(json_object_get(v, "c")));
    const json_t *d = json_object_get(v, "d");
    cr_assert_eq(json_real_value(json_array_get(d, 0)), -0x1p63);
    cr_assert_eq(json_real_value(json_array_get(d, 1)), 1.25);
    cr_assert_eq(json_real_value(json_array_get(d, 2)), 1e22);
    cr_assert_eq(json_real_value(json_array_get(d, 3)), 0.12345678901234567890123);
    cr_assert(json_is_integer(json_object_get(v, "e")));
    json_decref(v);
    FAILS(parse(&v, "[1e999, 99999999999999999999]"), WN_EFORMAT, "real number overflow");
    cr_assert_null(v);
}

Test(json, errors_name_the_place)
{
    json_t *v;
    FAILS(parse(&v, "{\"a\": }"), WN_EFORMAT, "rows.jsonl:7: bad JSON at column");
    FAILS(parse(&v, ""), WN_EFORMAT, "rows.jsonl:7: bad JSON");
    FAILS(parse(&v, "{\"a\": 1, \"a\": 2}"), WN_EFORMAT, "duplicate object key");
    FAILS(parse(&v, "{} x"), WN_EFORMAT, "end of file expected");
    FAILS(parse(&v, "\"\xff\""), WN_EFORMAT, "unable to decode byte 0xff");
    FAILS(parse(&v, "\"\\ud800\""), WN_EFORMAT, "Unicode");
    FAILS(parse(&v, "[NaN]"), WN_EFORMAT, "bad JSON");
    put_text(scratch("c.json"), "{\n\"a\": 1,\n\"b\": x\n}\n");
    FAILS(wn_json_load(&v, scratch("c.json")), WN_EFORMAT, "c.json:3: bad JSON at column 6");
    FAILS(wn_json_load(&v, scratch("none")), WN_EIO, "none: cannot open");
    char deep[10000];
    memset(deep, '[', sizeof deep);
    FAILS(wn_json_parse(&v, deep, sizeof deep, "deep"), WN_EFORMAT, "depth");
    put_text(scratch("d.json"), "{\"x\": [1]}");
    OK(wn_json_load(&v, scratch("d.json")));
    json_decref(v);
}

static void members(const char *text, const char *want)
{
    wn_str got = {0};
    wn_span k, v;
    size_t pos = 0;
    while (wn_json_member(text, strlen(text), &pos, &k, &v))
        wn_str_printf(&got, "%.*s=%.*s;", (int)k.len, k.p, (int)v.len, v.p);
    cr_assert_str_eq(got.p ? got.p : "", want, "%s", text);
    wn_str_free(&got);
}

Test(json, raw_members)
{
    members("{}", "");
    members("  { \"a\" : 1 , \"b\":\"x,}\\\"\", \"c\":{\"d\":[1,\"]\"]} ,\"e\\u0041\":1.50E+1}\r",
            "a=1;b=\"x,}\\\"\";c={\"d\":[1,\"]\"]};e\\u0041=1.50E+1;");
    members("{\"a\":null\n,\"b\":[]}", "a=null;b=[];");
    members("\xef\xbb\xbf{\"a\":1}", "a=1;");
    /* What is no object ends at once or early, and is never read past its end. */
    members("", "");
    members("[1]", "");
    members("{\"a\"", "");
    members("{\"a\":", "");
    members("{\"a", "");
    members("{\"a\\", "");
    members("{\"a\":\"b", "a=\"b;");
}

Test(json, strings_are_escaped_minimally)
{
    wn_str s = {0};
    wn_json_string(&s, "a\"\\/\b\f\n\r\t\x01\x1f\x7f\xc3\xa9\0z", 16);
    cr_assert_str_eq(s.p, "\"a\\\"\\\\/\\b\\f\\n\\r\\t\\u0001\\u001f\x7f\xc3\xa9\\u0000z\"");
    wn_str_clear(&s);
    wn_json_cstring(&s, "");
    cr_assert_str_eq(s.p, "\"\"");
    wn_str_free(&s);
}

static void f32_is(float v, const char *want)
{
    wn_str s = {0};
    wn_json_f32(&s, v);
    cr_assert_str_eq(s.p, want);
    wn_str_free(&s);
}

static void f64_is(double v, const char *want)
{
    wn_str s = {0};
    wn_json_f64(&s, v);
    cr_assert_str_eq(s.p, want);
    wn_str_free(&s);
}

Test(json, numbers_are_short)
{
    f32_is(3, "3");
    f32_is(0.1f, "0.1");
    f32_is(1e-5f, "1e-05");
    f32_is(16777216, "16777216");
    f32_is(0x1p-149f, "1e-45");
    f32_is(FLT_MAX, "3.4028235e+38");
    f32_is(1.0f / 3, "0.33333334");
    f32_is(-0.0f, "-0.0");
    f32_is(NAN, "null");
    f32_is(-INFINITY, "null");
    f64_is(0.1, "0.1");
    f64_is(1.0 / 3, "0.3333333333333333");
    f64_is(123456789012, "123456789012");
    f64_is(0x1p-1074, "5e-324");
    f64_is(0.1 + 0.2, "0.30000000000000004");
    f64_is(INFINITY, "null");
}

Test(json, numbers_read_back)
{
    wn_str s = {0};
    for (uint64_t i = 0; i < 20000; i++) {
        uint64_t r = wn_rng_u64(1, WN_STREAM_TEST, i);
        uint32_t low = (uint32_t)r;
        float f;
        double d;
        memcpy(&f, &low, sizeof f);
        memcpy(&d, &r, sizeof d);
        if (isfinite(f)) {
            wn_str_clear(&s);
            wn_json_f32(&s, f);
            cr_assert_eq(strtof(s.p, NULL), f);
        }
        if (isfinite(d)) {
            wn_str_clear(&s);
            wn_json_f64(&s, d);
            cr_assert_eq(strtod(s.p, NULL), d);
        }
    }
    wn_str_free(&s);
}

Test(json, dump_indented_and_sorted)
{
    json_t *v;
    wn_str s = {0};
    OK(parse(&v, "{\"b\": {\"z\": [], \"y\": {}}, \"a\": [1, [2]]}"));
    OK(wn_json_dump(&s, v, 2, true));
    cr_assert_str_eq(s.p, "{\n  \"a\": [\n    1,\n    [\n      2\n    ]\n  ],\n  \"b\": {\n"
                          "    \"y\": {},\n    \"z\": []\n  }\n}");
    wn_str_clear(&s);
    OK(wn_json_dump(&s, v, 0, true));
    cr_assert_str_eq(s.p, "{\"a\": [1, [2]], \"b\": {\"y\": {}, \"z\": []}}");
    json_decref(v);
    wn_str_free(&s);
}

Test(json, typed_access)
{
    json_t *o;
    const char *text = "default";
    double d = -1;
    uint64_t u = 5;
    bool b = false;
    OK(parse(&o, "{\"s\": \"x\", \"i\": 3, \"r\": 1.5, \"t\": true, \"n\": null, \"neg\": -1,"
                 " \"million\": 1e6, \"nul\": \"a\\u0000\", \"big\": 1e17}"));
    OK(wn_json_get_string(&text, o, "none", false, "f"));
    OK(wn_json_get_string(&text, o, "n", false, "f"));
    cr_assert_str_eq(text, "default");
    OK(wn_json_get_string(&text, o, "s", true, "f"));
    cr_assert_str_eq(text, "x");
    OK(wn_json_get_number(&d, o, "i", true, "f"));
    cr_assert_eq(d, 3);
    OK(wn_json_get_number(&d, o, "r", true, "f"));
    cr_assert_eq(d, 1.5);
    OK(wn_json_get_u64(&u, o, "none", false, "f"));
    cr_assert_eq(u, 5);
    OK(wn_json_get_u64(&u, o, "i", true, "f"));
    cr_assert_eq(u, 3);
    OK(wn_json_get_u64(&u, o, "million", true, "f"));
    cr_assert_eq(u, 1000000);
    OK(wn_json_get_bool(&b, o, "t", true, "f"));
    cr_assert(b);
    FAILS(wn_json_get_string(&text, o, "none", true, "f.json"), WN_EFORMAT,
          "f.json: none: expected a string, found nothing");
    FAILS(wn_json_get_string(&text, o, "n", true, "f"), WN_EFORMAT,
          "n: expected a string, found null");
    FAILS(wn_json_get_string(&text, o, "i", false, "f"), WN_EFORMAT, "found an integer");
    FAILS(wn_json_get_string(&text, o, "nul", false, "f"), WN_EFORMAT, "without NUL");
    FAILS(wn_json_get_number(&d, o, "s", false, "f"), WN_EFORMAT,
          "expected a number, found a string");
    FAILS(wn_json_get_u64(&u, o, "neg", false, "f"), WN_EFORMAT, "whole number from 0, found -1");
    FAILS(wn_json_get_u64(&u, o, "r", false, "f"), WN_EFORMAT, "found 1.5");
    FAILS(wn_json_get_u64(&u, o, "big", false, "f"), WN_EFORMAT, "found 1e+17");
    FAILS(wn_json_get_bool(&b, o, "i", false, "f"), WN_EFORMAT, "true or false, found an integer");
    FAILS(wn_json_get_bool(&b, json_object_get(o, "i"), "x", false, "f"), WN_EFORMAT,
          "expected an object with x");
    json_decref(o);
}

/* Jansson is given this allocator in this process only, so that its failures can be tried too. */
Test(json, allocations_that_fail)
{
    static const char text[] =
        "{\"a\": [1, 2.5, \"x\", {\"b\": 99999999999999999999}], \"c\": null}";
    json_set_alloc_funcs(wn_malloc, wn_free);
    json_t *v;
    OK(parse(&v, "{}")); /* seeds the hash once */
    json_decref(v);
    put_text(scratch("t"), text);
    size_t live = wn_mem_live();
    int k = 0;
    for (;; k++) {
        wn_str s = {0};
        wn_mem_fail_after(k);
        wn_err err = wn_json_load(&v, scratch("t"));
        if (err == WN_OK)
            err = wn_json_dump(&s, v, 2, true);
        wn_mem_fail_after(-1);
        json_decref(v);
        wn_str_free(&s);
        cr_assert_eq(wn_mem_live(), live, "allocation %d: %s", k, wn_error_text());
        if (err == WN_OK)
            break;
        /* Jansson reports some failed allocations as a value that it misses. */
        cr_assert(err == WN_ENOMEM || err == WN_EFORMAT, "allocation %d: %s", k, wn_error_text());
        cr_assert_lt(k, 200);
    }
    cr_assert_gt(k, 10);
}

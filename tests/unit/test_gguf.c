#include "test_io_util.h"

#include "io/gguf.h"

TestSuite(gguf, .init = scratch_make, .fini = scratch_remove);

Test(gguf, reads_what_the_reference_wrote)
{
    wn_gguf *g;
    int64_t i;
    double d;
    bool b;
    wn_span s;
    size_t n, live = wn_mem_live();
    OK(wn_gguf_open(&g, golden("types.gguf")));
    cr_assert_str_eq(wn_gguf_path(g), golden("types.gguf"));
    static const struct {
        const char *key;
        int64_t v;
    } ints[] = {{"k.u8", 200},          {"k.i8", -100},        {"k.u16", 60000},
                {"k.i16", -30000},      {"k.u32", 4000000000}, {"k.i32", -2000000000},
                {"k.i64", -(1ll << 62)}};
    for (size_t k = 0; k < sizeof ints / sizeof *ints; k++) {
        cr_assert(wn_gguf_i64(g, ints[k].key, &i));
        cr_assert_eq(i, ints[k].v);
        cr_assert(wn_gguf_f64(g, ints[k].key, &d));
        cr_assert_eq(d, (double)ints[k].v);
    }
    cr_assert_not(wn_gguf_i64(g, "k.u64", &i), "beyond int64");
    cr_assert(wn_gguf_f64(g, "k.u64", &d));
    cr_assert_eq(d, 0x1p63 + 5);
    cr_assert(wn_gguf_f64(g, "k.f32", &d));
    cr_assert_eq(d, 0.1f);
    cr_assert(wn_gguf_f64(g, "k.f64", &d));
    cr_assert_eq(d, 0.1);
    cr_assert_not(wn_gguf_i64(g, "k.f64", &i));
    cr_assert(wn_gguf_bool(g, "k.bool", &b) && b);
    cr_assert_not(wn_gguf_bool(g, "k.u8", &b));
    cr_assert(wn_gguf_string(g, "k.string", &s));
    cr_assert(wn_span_is(s, "gr\xc3\xbc\xc3\x9f"
                            "e"));
    cr_assert(wn_gguf_string(g, "general.architecture", &s) && wn_span_is(s, "llama"));
    cr_assert_not(wn_gguf_string(g, "k.u8", &s));
    cr_assert_not(wn_gguf_string(g, "missing", &s));
    cr_assert(wn_gguf_array(g, "k.strings", &n));
    cr_assert_eq(n, 4);
    static const char *const words[] = {"a", "", "ccc", "\xc3\xa9"};
    for (size_t k = 0; k < 4; k++) {
        cr_assert(wn_gguf_array_string(g, "k.strings", k, &s));
        cr_assert(wn_span_is(s, words[k]));
    }
    cr_assert_not(wn_gguf_array_string(g, "k.strings", 4, &s));
    cr_assert_not(wn_gguf_array_i64(g, "k.strings", 0, &i));
    cr_assert_not(wn_gguf_array_string(g, "k.ints", 0, &s));
    cr_assert(wn_gguf_array_i64(g, "k.ints", 1, &i) && i == -2);
    cr_assert(wn_gguf_array_f64(g, "k.ints", 2, &d) && d == 3);
    cr_assert_not(wn_gguf_array_i64(g, "k.ints", 3, &i));
    cr_assert(wn_gguf_array_f64(g, "k.floats", 1, &d) && d == -1.25);
    cr_assert_not(wn_gguf_array_i64(g, "k.floats", 1, &i));
    cr_assert_not(wn_gguf_array(g, "k.u8", &n));
    const wn_tensor *t = wn_gguf_find(g, "f32");
    cr_assert_eq(t->ndim, 2);
    cr_assert_eq(t->dim[0], 3, "slowest first");
    cr_assert_eq(t->dim[1], 5);
    cr_assert_null(wn_gguf_find(g, "none"));
    wn_gguf_close(g);
    wn_gguf_close(NULL);
    cr_assert_eq(wn_mem_live(), live);
}

Test(gguf, cut_anywhere)
{
    char *all;
    size_t n;
    wn_gguf *g;
    OK(wn_file_read(&all, &n, golden("types.gguf"), 1 << 20));
    OK(wn_gguf_open_memory(&g, all, n, "m"));
    const wn_tensor *last = wn_gguf_at(g, wn_gguf_count(g) - 1);
    size_t end = (size_t)((const char *)last->data - all) + last->bytes;
    wn_gguf_close(g);
    for (size_t k = 0; k < end; k++) {
        FAILS(wn_gguf_open_memory(&g, all, k, "cut"), WN_EFORMAT, "cut: ");
        cr_assert_null(g);
    }
    wn_free(all);
}

/* ---- files made by hand ---- */

static wn_str f;

static void num(uint64_t v, int bytes)
{
    for (int i = 0; i < bytes; i++)
        wn_str_putc(&f, (char)(v >> 8 * i));
}

static void text(const char *s)
{
    num(strlen(s), 8);
    wn_str_puts(&f, s);
}

static void head(uint32_t version, uint64_t tensors, uint64_t pairs)
{
    wn_str_clear(&f);
    wn_str_puts(&f, "GGUF");
    num(version, 4);
    num(tensors, 8);
    num(pairs, 8);
}

static void tensor(const char *name, uint32_t ndim, uint64_t d0, uint64_t d1, uint32_t type,
                   uint64_t offset)
{
    text(name);
    num(ndim, 4);
    for (uint32_t i = 0; i < ndim; i++)
        num(i == 0 ? d0 : i == 1 ? d1 : 1, 8);
    num(type, 4);
    num(offset, 8);
}

static void data(size_t n)
{
    while (f.len % 32)
        wn_str_putc(&f, 0);
    for (size_t i = 0; i < n; i++)
        wn_str_putc(&f, 0);
}

static wn_err opens(void)
{
    wn_gguf *g;
    wn_err err = wn_gguf_open_memory(&g, f.p, f.len, "m.gguf");
    wn_gguf_close(g);
    return err;
}

Test(gguf, versions)
{
    for (uint32_t v = 0; v < 6; v++) {
        head(v, 0, 0);
        if (v == 2 || v == 3)
            OK(opens());
        else
            FAILS(opens(), WN_EFORMAT, "m.gguf: expected GGUF version 2 or 3, found");
    }
    head(3u << 24, 0, 0);
    FAILS(opens(), WN_EFORMAT, "big-endian");
    wn_str_clear(&f);
    wn_str_puts(&f, "GGML and more");
    FAILS(opens(), WN_EFORMAT, "m.gguf: expected a GGUF file");
    wn_str_free(&f);
}

Test(gguf, hostile_tensors)
{
    static const struct {
        const char *name;
        uint32_t ndim;
        uint64_t d0, d1;
        uint32_t type;
        uint64_t offset;
        const char *part;
    } bad[] = {
        {"w", 1, 8, 0, 21, 0, "m.gguf: tensor w: tensor type iq3_s is not supported"},
        {"w", 1, 8, 0, 39, 0, "tensor type mxfp4 is not supported"},
        {"w", 1, 8, 0, 28, 0, "tensor type f64 is not supported"},
        {"w", 1, 8, 0, 1000, 0, "tensor type 1000 is not supported"},
        {"w", 5, 1, 1, 0, 0, "at most 4 dims, found 5"},
        {"w", 1, 9, 0, 0, 0, "36 bytes at 0 of the data, but the file holds 32"},
        {"w", 1, 8, 0, 0, 32, "32 bytes at 32 of the data"},
        {"w", 1, 8, 0, 0, 0xffffffffffffffe0u, "at 18446744073709551584 of the data"},
        {"w", 1, 1, 0, 0, 4, "offset of a multiple of 32, found 4"},
        {"w", 2, 1ull << 40, 1ull << 40, 0, 0, "product is too big"},
        {"w", 2, 1ull << 32, 1ull << 32, 0, 0, "product is too big"},
        {"w", 1, 1ull << 62, 0, 0, 0, "a dim of 4611686018427387904 is too big"},
        {"w", 2, 16, 2, 8, 0, "rows of a multiple of 32 elements for q8_0, found 16"},
        {"w", 0, 0, 0, 8, 0, "rows of a multiple of 32"},
        {"", 1, 8, 0, 0, 0, "expected a name"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        head(3, 1, 0);
        tensor(bad[i].name, bad[i].ndim, bad[i].d0, bad[i].d1, bad[i].type, bad[i].offset);
        data(32);
        FAILS(opens(), WN_EFORMAT, bad[i].part);
    }
    head(3, 1, 0);
    tensor("w", 1, 8, 0, 0, 0);
    data(32);
    OK(opens());
    head(3, 2, 0);
    tensor("w", 1, 8, 0, 0, 0);
    tensor("w", 1, 8, 0, 0, 32);
    data(64);
    FAILS(opens(), WN_EFORMAT, "tensor w stands there twice");
    head(3, 2, 0);
    tensor("w", 1, 16, 0, 0, 0);
    tensor("v", 1, 8, 0, 0, 32);
    data(64);
    FAILS(opens(), WN_EFORMAT, "tensors w and v overlap");
    wn_str_free(&f);
}

Test(gguf, hostile_counts_and_pairs)
{
    head(3, UINT64_MAX, 0);
    FAILS(opens(), WN_EFORMAT, "cut short");
    head(3, 0, UINT64_MAX);
    FAILS(opens(), WN_EFORMAT, "cut short");
    head(3, 0, 1);
    num(UINT64_MAX, 8);
    FAILS(opens(), WN_EFORMAT, "cut short at byte 32: expected a key");
    head(3, 0, 1);
    text("k");
    num(13, 4);
    FAILS(opens(), WN_EFORMAT, "key k: value kind 13 is not supported");
    for (int elem = 0; elem <= 13; elem++) {
        head(3, 0, 1);
        text("k");
        num(9, 4);
        num((uint64_t)elem, 4);
        num(1ull << 61, 8);
        data(100);
        FAILS(opens(), WN_EFORMAT,
              elem == 9 || elem == 13 ? "is not supported"
                                      : "an array of 2305843009213693952 elements does not fit");
    }
    head(3, 0, 1);
    text("k");
    num(9, 4);
    num(8, 4);
    num(3, 8);
    text("a");
    num(1000, 8);
    data(100);
    FAILS(opens(), WN_EFORMAT, "expected a string of an array");
    head(3, 0, 2);
    for (int i = 0; i < 2; i++) {
        text("k");
        num(0, 4);
        num(1, 1);
    }
    FAILS(opens(), WN_EFORMAT, "key k stands there twice");
    head(3, 0, 1);
    text("split.count");
    num(2, 4);
    num(3, 2);
    FAILS(opens(), WN_EFORMAT, "expected a whole model, found one of 3 parts");
    static const uint64_t alignments[] = {0, 3, 48, 1ull << 30};
    for (int i = 0; i < 4; i++) {
        head(3, 0, 1);
        text("general.alignment");
        num(4, 4);
        num(alignments[i], 4);
        FAILS(opens(), WN_EFORMAT, "general.alignment: expected a power of two");
    }
    wn_str_free(&f);
}

Test(gguf, alignment_of_the_file)
{
    head(3, 1, 1);
    text("general.alignment");
    num(4, 4);
    num(64, 4);
    tensor("w", 1, 1, 0, 0, 64);
    while (f.len % 64)
        wn_str_putc(&f, 1);
    for (int i = 0; i < 64; i++)
        wn_str_putc(&f, 2);
    num(0x3f800000, 4);
    wn_gguf *g;
    float y;
    OK(wn_gguf_open_memory(&g, f.p, f.len, "m"));
    OK(wn_tensor_to_f32(&y, wn_gguf_at(g, 0), 0, 1));
    cr_assert_eq(y, 1);
    wn_gguf_close(g);
    wn_str_free(&f);
}

Test(gguf, allocations_that_fail)
{
    size_t live = wn_mem_live();
    int k = 0;
    for (;; k++) {
        wn_gguf *g;
        wn_mem_fail_after(k);
        wn_err err = wn_gguf_open(&g, golden("types.gguf"));
        wn_mem_fail_after(-1);
        wn_gguf_close(g);
        cr_assert_eq(wn_mem_live(), live);
        if (err == WN_OK)
            break;
        cr_assert_eq(err, WN_ENOMEM, "%s", wn_error_text());
        cr_assert_lt(k, 100);
    }
    cr_assert_gt(k, 5);
}

#include "test_io_util.h"

#include "io/safetensors.h"

TestSuite(safetensors, .init = scratch_make, .fini = scratch_remove);

static wn_tensor view(const char *name, wn_dtype type, uint64_t rows, uint64_t cols,
                      const void *data)
{
    return (wn_tensor){.name = name,
                       .dtype = type,
                       .ndim = 2,
                       .dim = {rows, cols},
                       .data = data,
                       .bytes = rows * cols * wn_dtype_block_bytes(type)};
}

Test(safetensors, reads_what_the_reference_wrote)
{
    static const struct {
        const char *name;
        wn_dtype type;
        int ndim;
        uint64_t count;
    } want[] = {{"f32", WN_F32, 2, 12}, {"f16", WN_F16, 2, 12},   {"bf16", WN_BF16, 2, 12},
                {"i64", WN_I64, 1, 3},  {"i32", WN_I32, 1, 2},    {"u8", WN_U8, 1, 2},
                {"bool", WN_U8, 1, 3},  {"scalar", WN_F32, 0, 1}, {"empty", WN_F32, 2, 0}};
    wn_safetensors *s;
    size_t live = wn_mem_live();
    OK(wn_safetensors_open(&s, golden("plain.safetensors")));
    cr_assert_eq(wn_safetensors_count(s), 9);
    cr_assert_str_eq(wn_safetensors_path(s), golden("plain.safetensors"));
    for (size_t i = 0; i < 9; i++) {
        const wn_tensor *t = wn_safetensors_find(s, want[i].name);
        cr_assert_not_null(t);
        cr_assert_eq(t->dtype, want[i].type);
        cr_assert_eq(t->ndim, want[i].ndim);
        cr_assert_eq(wn_tensor_count(t), want[i].count);
        cr_assert_eq(wn_safetensors_find(s, wn_safetensors_at(s, i)->name),
                     wn_safetensors_at(s, i));
    }
    for (int i = 0; i < 3; i++) {
        float y[12];
        const wn_tensor *t = wn_safetensors_find(s, want[i].name);
        cr_assert_eq(t->dim[0], 3);
        cr_assert_eq(t->dim[1], 4);
        OK(wn_tensor_to_f32(y, t, 0, 12));
        for (int k = 0; k < 12; k++)
            cr_assert_eq(y[k], (float)k / 8 - 0.5f);
    }
    cr_assert_null(wn_safetensors_find(s, "none"));
    wn_safetensors_close(s);
    wn_safetensors_close(NULL);
    cr_assert_eq(wn_mem_live(), live);
    FAILS(wn_safetensors_open(&s, golden("f64.safetensors")), WN_EFORMAT,
          "tensor f64: tensor type F64 is not supported");
}

Test(safetensors, shards)
{
    wn_safetensors *s;
    float y;
    static const float first[] = {-0.5f, 0.5f, 1.5f};
    for (int way = 0; way < 2; way++) {
        OK(wn_safetensors_open(&s,
                               golden(way ? "sharded" : "sharded/model.safetensors.index.json")));
        cr_assert_eq(wn_safetensors_count(s), 3);
        for (int i = 0; i < 3; i++) {
            OK(wn_tensor_to_f32(&y, wn_safetensors_find(s, (char[]){(char)('a' + i), 0}), 0, 1));
            cr_assert_eq(y, first[i]);
        }
        wn_safetensors_close(s);
    }
}

static void put_index(const char *map)
{
    wn_str s = {0};
    wn_str_printf(&s, "{\"weight_map\": %s}", map);
    put_text(scratch("model.safetensors.index.json"), s.p);
    wn_str_free(&s);
}

Test(safetensors, bad_shards)
{
    wn_safetensors *s;
    float x[2] = {1, 2};
    wn_tensor a = view("a", WN_F32, 1, 2, x), b = view("b", WN_F32, 1, 2, x);
    OK(wn_safetensors_write(scratch("one"), &a, 1, NULL));
    OK(wn_safetensors_write(scratch("two"), &b, 1, NULL));
    OK(wn_safetensors_write(scratch("again"), &a, 1, NULL));
    FAILS(wn_safetensors_open(&s, scratch_dir), WN_EIO, "expected model.safetensors or");
    put_index("{\"a\": \"one\", \"b\": \"two\"}");
    OK(wn_safetensors_open(&s, scratch_dir));
    wn_safetensors_close(s);
    put_index("{\"a\": \"two\", \"b\": \"one\"}");
    FAILS(wn_safetensors_open(&s, scratch_dir), WN_EFORMAT, "found it in another shard");
    put_index("{\"a\": \"one\", \"c\": \"two\"}");
    FAILS(wn_safetensors_open(&s, scratch_dir), WN_EFORMAT,
          "c: expected it in two, found it nowhere");
    put_index("{\"a\": \"one\", \"b\": \"again\"}");
    FAILS(wn_safetensors_open(&s, scratch_dir), WN_EFORMAT, "tensor a stands there twice");
    put_index("{\"a\": \"one\", \"b\": \"gone\"}");
    FAILS(wn_safetensors_open(&s, scratch_dir), WN_EIO, "gone: cannot open");
    static const char *const bad[] = {"{\"a\": \"../one\"}", "{\"a\": \"/etc/passwd\"}",
                                      "{\"a\": \"\"}", "{\"a\": 1}", "{\"a\": \"..\"}"};
    for (int i = 0; i < 5; i++) {
        put_index(bad[i]);
        FAILS(wn_safetensors_open(&s, scratch_dir), WN_EFORMAT, "a: expected a file name without");
    }
    put_index("{}");
    FAILS(wn_safetensors_open(&s, scratch_dir), WN_EFORMAT, "weight_map: expected an object");
    put_index("[]");
    FAILS(wn_safetensors_open(&s, scratch_dir), WN_EFORMAT, "weight_map: expected an object");
    put_text(scratch("model.safetensors.index.json"), "[1]");
    FAILS(wn_safetensors_open(&s, scratch_dir), WN_EFORMAT, "weight_map: expected an object");
}

Test(safetensors, cut_anywhere)
{
    char *all;
    size_t n;
    wn_safetensors *s;
    OK(wn_file_read(&all, &n, golden("plain.safetensors"), 1 << 20));
    for (size_t k = 0; k < n; k++) {
        FAILS(wn_safetensors_open_memory(&s, all, k, "cut"), WN_EFORMAT, "cut: ");
        cr_assert_null(s);
    }
    put(scratch("t.safetensors"), all, n - 1);
    FAILS(wn_safetensors_open(&s, scratch("t.safetensors")), WN_EFORMAT, "t.safetensors: ");
    wn_free(all);
}

static wn_err with_header(const char *header, size_t data)
{
    wn_safetensors *s;
    char file[4096] = {0};
    size_t n = strlen(header);
    file[0] = (char)(n & 255);
    file[1] = (char)(n >> 8);
    memcpy(file + 8, header, n);
    wn_err err = wn_safetensors_open_memory(&s, file, 8 + n + data, "mem");
    wn_safetensors_close(s);
    return err;
}

#define ENTRY(type, shape, range)                                                                  \
    "{\"dtype\":\"" type "\",\"shape\":" shape ",\"data_offsets\":" range "}"

Test(safetensors, hostile_headers)
{
    OK(with_header("{\"a\":" ENTRY("F32", "[2]", "[0,8]") "}   ", 8));
    OK(with_header("{}", 0));
    OK(with_header("{\"__metadata__\":{\"format\":\"pt\"}}", 0));
    static const struct {
        const char *header, *part;
    } bad[] = {
        {"{\"a\":" ENTRY("F32", "[2]", "[0,4]") "}", "needs 8 bytes, data_offsets span 4"},
        {"{\"a\":" ENTRY("F32", "[2]", "[8,0]") "}", "expected [begin, end]"},
        {"{\"a\":" ENTRY("F32", "[2]", "[0]") "}", "expected [begin, end]"},
        {"{\"a\":" ENTRY("F32", "[2]", "[8,16]") "}",
         "ends at byte 16 of the data, but the file holds 8"},
        {"{\"a\":" ENTRY("F32", "[1]", "[4,8]") "}", "begin at 0 of the data, found 4"},
        {"{\"a\":" ENTRY("F32", "[1]", "[0,4]") "}", "need 4 bytes of data, found 8"},
        {"{\"a\":" ENTRY("F32", "[2]", "[0,8]") ",\"b\":" ENTRY("F32", "[1]", "[4,8]") "}",
         "overlap"},
        {"{\"a\":" ENTRY("F32", "[2]", "[0,8]") ",\"a\":" ENTRY("F32", "[2]", "[0,8]") "}",
         "duplicate"},
        {"{\"a\":" ENTRY("F8_E8M0", "[8]", "[0,8]") "}", "tensor type F8_E8M0 is not supported"},
        {"{\"a\":" ENTRY("F32", "[4611686018427387904,4]", "[0,8]") "}", "too big"},
        {"{\"a\":" ENTRY("F32", "[1099511627776,1099511627776]", "[0,8]") "}",
         "product is too big"},
        {"{\"a\":" ENTRY("F32", "[2199023255552,0]", "[0,0]") "}", "too big"},
        {"{\"a\":" ENTRY("F32", "[1,1,1,1,2]", "[0,8]") "}", "at most 4"},
        {"{\"a\":" ENTRY("F32", "[-2]", "[0,8]") "}", "whole numbers from 0"},
        {"{\"a\":" ENTRY("F32", "[2.0]", "[0,8]") "}", "whole numbers from 0"},
        {"{\"a\":" ENTRY("F32", "2", "[0,8]") "}", "shape: expected an array"},
        {"{\"a\":{\"shape\":[2],\"data_offsets\":[0,8]}}",
         "dtype: expected a string, found nothing"},
        {"{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,8]}}", "shape"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", "data_offsets"},
        {"{\"a\":1}", "expected an object"},
        {"{\"\":" ENTRY("F32", "[2]", "[0,8]") "}", "expected a name"},
        {"[]", "expected a JSON object"},
        {"{\"a\":", "bad JSON"},
        {"", "bad JSON"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        FAILS(with_header(bad[i].header, 8), WN_EFORMAT, bad[i].part);
}

Test(safetensors, header_longer_than_the_file)
{
    wn_safetensors *s;
    FAILS(wn_safetensors_open_memory(&s, "\xff\xff\xff\xff\xff\xff\xff\xff{}", 10, "m"), WN_EFORMAT,
          "header of 18446744073709551615 bytes in a file of 10");
    FAILS(wn_safetensors_open_memory(&s, "\x03\0\0\0\0\0\0\0{}", 10, "m"), WN_EFORMAT,
          "header of 3 bytes in a file of 10");
    FAILS(wn_safetensors_open_memory(&s, "", 0, "m"), WN_EFORMAT, "found 0 bytes");
}

Test(safetensors, writes_what_it_reads)
{
    float x[6] = {1, -2, 3, -4, 5, 6};
    uint16_t h[3] = {0x3c00, 0x4000, 0xc000};
    int64_t ids[2] = {-1, 7};
    wn_tensor t[3] = {view("z.weight", WN_F32, 2, 3, x), view("a \"q\"", WN_F16, 3, 1, h),
                      view("ids", WN_I64, 1, 2, ids)};
    t[2].ndim = 1;
    t[2].dim[0] = 2;
    const char *const meta[] = {"format", "pt", "note", "a\nb", NULL};
    OK(wn_safetensors_write(scratch("w.safetensors"), t, 3, meta));
    wn_safetensors *s;
    OK(wn_safetensors_open(&s, scratch("w.safetensors")));
    cr_assert_eq(wn_safetensors_count(s), 3);
    for (size_t i = 0; i < 3; i++) {
        const wn_tensor *r = wn_safetensors_at(s, i);
        cr_assert_str_eq(r->name, t[i].name);
        cr_assert_eq(r->dtype, t[i].dtype);
        cr_assert_eq(r->ndim, t[i].ndim);
        cr_assert_eq(r->bytes, t[i].bytes);
        cr_assert_arr_eq((const char *)r->data, (const char *)t[i].data, t[i].bytes);
    }
    cr_assert_eq((uintptr_t)wn_safetensors_at(s, 0)->data % 8, 0);
    wn_safetensors_close(s);
    OK(wn_safetensors_write(scratch("none.safetensors"), NULL, 0, NULL));
    OK(wn_safetensors_open(&s, scratch("none.safetensors")));
    cr_assert_eq(wn_safetensors_count(s), 0);
    wn_safetensors_close(s);
}

Test(safetensors, write_refuses)
{
    float x[32] = {0};
    wn_tensor t[2] = {view("a", WN_F32, 1, 2, x), view("a", WN_F32, 1, 2, x)};
    FAILS(wn_safetensors_write(scratch("w"), t, 2, NULL), WN_EFORMAT,
          "tensor a stands there twice");
    t[0].bytes = 4;
    FAILS(wn_safetensors_write(scratch("w"), t, 1, NULL), WN_EARG, "expected 8 bytes, found 4");
    t[0] = view("a", WN_F32, 1, 32, x);
    t[0].dtype = WN_Q8_0;
    FAILS(wn_safetensors_write(scratch("w"), t, 1, NULL), WN_EARG, "type q8_0 cannot be written");
    FAILS(wn_safetensors_write("/dev/full", t + 1, 1, NULL), WN_EIO, "No space left");
    cr_assert_eq(names_in(scratch_dir), 0);
}

Test(safetensors, allocations_that_fail)
{
    wn_safetensors *s;
    size_t live = wn_mem_live();
    for (int way = 0; way < 2; way++) {
        const char *path = golden(way ? "sharded" : "plain.safetensors");
        int k = 0;
        for (;; k++) {
            wn_mem_fail_after(k);
            wn_err err = wn_safetensors_open(&s, path);
            wn_mem_fail_after(-1);
            if (err == WN_OK)
                wn_safetensors_close(s);
            cr_assert_eq(wn_mem_live(), live);
            if (err == WN_OK)
                break;
            cr_assert_eq(err, WN_ENOMEM, "%s", wn_error_text());
            cr_assert_lt(k, 100);
        }
        cr_assert_gt(k, 5);
    }
    float x[2] = {1, 2};
    wn_tensor t = view("a", WN_F32, 1, 2, x);
    for (int k = 0;; k++) {
        wn_mem_fail_after(k);
        wn_err err = wn_safetensors_write(scratch("w"), &t, 1, NULL);
        wn_mem_fail_after(-1);
        cr_assert_eq(wn_mem_live(), live);
        if (err == WN_OK)
            break;
        cr_assert_eq(err, WN_ENOMEM);
        cr_assert_lt(k, 100);
    }
    cr_assert_eq(names_in(scratch_dir), 1);
}

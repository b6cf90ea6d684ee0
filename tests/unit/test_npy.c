#include "test_io_util.h"

#include "io/npy.h"

TestSuite(npy, .init = scratch_make, .fini = scratch_remove);

static void check_sevenths(const char *name, int width, double tolerance)
{
    wn_npy a;
    float y[12];
    OK(wn_npy_open(&a, golden(name)));
    cr_assert_eq(a.ndim, 2);
    cr_assert_eq(a.rows, 3);
    cr_assert_eq(a.cols, 4);
    cr_assert_eq(a.kind, 'f');
    cr_assert_eq(a.width, width);
    OK(wn_npy_f32(y, &a, 0, 3));
    for (int i = 0; i < 12; i++)
        cr_assert_float_eq(y[i], i / 7.0, tolerance);
    OK(wn_npy_f32(y, &a, 2, 1));
    cr_assert_float_eq(y[0], 8 / 7.0, tolerance);
    FAILS(wn_npy_f32(y, &a, 2, 2), WN_EARG, "within 3 rows, found 2 + 2");
    FAILS(wn_npy_f32(y, &a, 4, 0), WN_EARG, "within 3 rows");
    wn_npy_close(&a);
    wn_npy_close(&a);
}

Test(npy, floats)
{
    check_sevenths("f4.npy", 4, 1e-7);
    check_sevenths("v2.npy", 4, 1e-7);
    check_sevenths("f8.npy", 8, 1e-7);
    check_sevenths("f2.npy", 2, 1e-3);
}

Test(npy, integers)
{
    wn_npy a;
    float y[8];
    OK(wn_npy_open(&a, golden("i4.npy")));
    cr_assert_eq(a.ndim, 1);
    cr_assert_eq(a.rows, 5);
    cr_assert_eq(a.cols, 1);
    cr_assert_eq(a.kind, 'i');
    int32_t v;
    memcpy(&v, a.data + 16, 4);
    cr_assert_eq(v, 4);
    FAILS(wn_npy_f32(y, &a, 0, 1), WN_EARG, "expected floating-point numbers, found i4");
    wn_npy_close(&a);
    OK(wn_npy_open(&a, golden("i8.npy")));
    cr_assert_eq(a.width, 8);
    cr_assert_eq(a.cols, 3);
    wn_npy_close(&a);
}

Test(npy, refusals_by_name)
{
    wn_npy a;
    FAILS(wn_npy_open(&a, golden("fortran.npy")), WN_EFORMAT, "expected C order, found Fortran");
    FAILS(wn_npy_open(&a, golden("big.npy")), WN_EFORMAT, "found >f4");
    FAILS(wn_npy_open(&a, golden("three.npy")), WN_EFORMAT, "expected 1 or 2 dims, found more");
    FAILS(wn_npy_open(&a, golden("struct.npy")), WN_EFORMAT, "structured types are not supported");
    FAILS(wn_npy_open(&a, golden("plain.safetensors")), WN_EFORMAT, "expected a .npy file");
    FAILS(wn_npy_open(&a, scratch("none")), WN_EIO, "cannot open");
    cr_assert_null(a.data);
}

Test(npy, cut_anywhere)
{
    char *all;
    size_t n;
    wn_npy a;
    OK(wn_file_read(&all, &n, golden("f4.npy"), 1 << 20));
    for (size_t k = 0; k < n; k++) {
        put(scratch("t"), all, k);
        FAILS(wn_npy_open(&a, scratch("t")), WN_EFORMAT, "t: ");
    }
    wn_free(all);
}

static wn_err with_header(wn_npy *a, const char *header, size_t data)
{
    wn_str s = {0};
    wn_str_add(&s, "\x93NUMPY\1\0", 8);
    wn_str_putc(&s, (char)(strlen(header) & 255));
    wn_str_putc(&s, (char)(strlen(header) >> 8));
    wn_str_puts(&s, header);
    for (size_t i = 0; i < data; i++)
        wn_str_putc(&s, 0);
    put(scratch("t"), s.p, s.len);
    wn_str_free(&s);
    return wn_npy_open(a, scratch("t"));
}

Test(npy, hostile_headers)
{
    wn_npy a;
    OK(with_header(&a, "{'shape':(2,),'descr':\"<f4\",'fortran_order':False}", 8));
    wn_npy_close(&a);
    OK(with_header(&a, "{'shape':(0,5),'descr':'<f4','fortran_order':False,}\n", 0));
    wn_npy_close(&a);
    static const char *const bad[] = {
        "{'shape':(1099511627776,1099511627776),'descr':'<f4','fortran_order':False}",
        "{'shape':(4294967296,4294967296),'descr':'<f4','fortran_order':False}",
        "{'shape':(99999999999999999999999,),'descr':'<f4','fortran_order':False}",
        "{'shape':(2,),'shape':(1,),'descr':'<f4','fortran_order':False}",
        "{'shape':(-1,),'descr':'<f4','fortran_order':False}",
        "{'shape':(),'descr':'<f4','fortran_order':False}",
        "{'shape':(3,),'descr':'<f4','fortran_order':False}",
        "{'shape':(1,),'descr':'<f4','fortran_order':False}",
        "{'shape':(2,),'descr':'<f4'}",
        "{'shape':(2,),'descr':'<f4','fortran_order':Maybe}",
        "{'shape':(2,),'descr':'|u1','fortran_order':False}",
        "{'shape':(2,),'descr':'<f4<f4<f4<f4<f4<f4<f4','fortran_order':False}",
        "{'shape':(2,),'descr':'<f4','fortran_order':False}x",
        "{'shape':(2,),'other':1,'descr':'<f4','fortran_order':False}",
        "{'shape':(2,), 'desc",
        "",
        "{",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        FAILS(with_header(&a, bad[i], 8), WN_EFORMAT, "t: ");
}

Test(npy, header_is_numpys)
{
    wn_out o;
    wn_npy a;
    float x[6] = {0, 1, 2, 3, 4, 5}, y[6];
    OK(wn_out_open(&o, scratch("x.npy")));
    OK(wn_npy_header(&o, 3, 2));
    cr_assert_eq(o.written % 64, 0);
    OK(wn_out_write(&o, x, sizeof x));
    OK(wn_out_commit(&o));
    OK(wn_npy_open(&a, scratch("x.npy")));
    cr_assert_eq(a.rows, 3);
    cr_assert_eq(a.cols, 2);
    OK(wn_npy_f32(y, &a, 0, 3));
    cr_assert_arr_eq(x, y, sizeof x);
    wn_npy_close(&a);
    /* The same header as NumPy's own file of that shape and type. */
    char *mine, *theirs;
    size_t n, m;
    OK(wn_out_open(&o, scratch("h.npy")));
    OK(wn_npy_header(&o, 3, 4));
    OK(wn_out_commit(&o));
    OK(wn_file_read(&mine, &n, scratch("h.npy"), 1000));
    OK(wn_file_read(&theirs, &m, golden("f4.npy"), 1000));
    cr_assert_eq(n, 128);
    cr_assert_arr_eq(mine, theirs, n);
    wn_free(mine);
    wn_free(theirs);
}

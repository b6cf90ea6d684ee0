#include "test_io_util.h"

#include <zlib.h>
#include <zstd.h>

TestSuite(lines, .init = scratch_make, .fini = scratch_remove);

/* Reads all; lines joined with '|' go to `got`. Returns the final error. */
static wn_err join(wn_str *got, const char *path, uint64_t *count)
{
    wn_lines *l;
    wn_err err = wn_lines_open(&l, path);
    if (err != WN_OK)
        return err;
    wn_span line;
    uint64_t n = 0;
    while (wn_lines_next(l, &line, &err)) {
        cr_assert_eq(wn_lines_number(l), ++n);
        wn_str_add(got, line.p, line.len);
        wn_str_putc(got, '|');
    }
    wn_err again;
    cr_assert_not(wn_lines_next(l, &line, &again), "the end stays the end");
    wn_lines_close(l);
    if (count)
        *count = n;
    return err;
}

static void expect_lines(const void *bytes, size_t n, const char *want)
{
    wn_str got = {0};
    put(scratch("t"), bytes, n);
    OK(join(&got, scratch("t"), NULL));
    cr_assert_str_eq(got.p ? got.p : "", want);
    wn_str_free(&got);
}

static size_t gz(char *out, size_t room, const char *text, size_t n)
{
    z_stream z = {0};
    cr_assert_eq(deflateInit2(&z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    z.next_in = (Bytef *)text;
    z.avail_in = (uInt)n;
    z.next_out = (Bytef *)out;
    z.avail_out = (uInt)room;
    cr_assert_eq(deflate(&z, Z_FINISH), Z_STREAM_END);
    size_t len = room - z.avail_out;
    deflateEnd(&z);
    return len;
}

static size_t zst(char *out, size_t room, const char *text, size_t n)
{
    size_t r = ZSTD_compress(out, room, text, n, 3);
    cr_assert_not(ZSTD_isError(r));
    return r;
}

#define LINES(text, want) expect_lines(text, sizeof text - 1, want)

Test(lines, plain)
{
    LINES("", "");
    LINES("a", "a|");
    LINES("a\n", "a|");
    LINES("\n", "|");
    LINES("a\n\nb", "a||b|");
    LINES("a\r\nb\r", "a|b|");
    LINES("a\r\r\n\r\n", "a\r||");
    LINES("\x1f", "\x1f|");
    LINES("\x28\xb5\x2f", "\x28\xb5\x2f|");
}

/* Lengths around the size of the buffers, twice over. */
Test(lines, long_lines)
{
    wn_str text = {0}, got = {0}, want = {0};
    static const size_t len[] = {131071, 131072, 0, 131073, 262144, 1, 1000000, 5, 262143};
    for (int round = 0; round < 2; round++) {
        for (size_t i = 0; i < sizeof len / sizeof *len; i++) {
            for (size_t k = 0; k < len[i]; k++) {
                wn_str_putc(&text, (char)('a' + (k + i) % 26));
                wn_str_putc(&want, (char)('a' + (k + i) % 26));
            }
            wn_str_putc(&text, '\n');
            wn_str_putc(&want, '|');
        }
    }
    put(scratch("t"), text.p, text.len);
    OK(join(&got, scratch("t"), NULL));
    cr_assert(got.len == want.len && memcmp(got.p, want.p, got.len) == 0);
    char *packed = wn_malloc(text.len + 1000);
    for (int kind = 0; kind < 2; kind++) {
        size_t n = kind ? zst(packed, text.len + 1000, text.p, text.len)
                        : gz(packed, text.len + 1000, text.p, text.len);
        put(scratch("t"), packed, n);
        wn_str_clear(&got);
        OK(join(&got, scratch("t"), NULL));
        cr_assert(got.len == want.len && memcmp(got.p, want.p, got.len) == 0);
    }
    wn_free(packed);
    wn_str_free(&text);
    wn_str_free(&got);
    wn_str_free(&want);
}

typedef size_t pack(char *out, size_t room, const char *text, size_t n);

static void check_packed(pack *p, const char *name)
{
    char out[4096];
    size_t n = p(out, sizeof out, "one\ntw", 6);
    size_t whole = n + p(out + n, sizeof out - n, "o\nthree", 7);
    expect_lines(out, whole, "one|two|three|");
    size_t none = p(out, sizeof out, "", 0);
    expect_lines(out, none, "");
    n = p(out, sizeof out, "one\ntwo\nthree\n", 14);
    /* Cut anywhere: whatever lines come first, it ends with an error that names the file. */
    for (size_t k = 4; k < n; k++) {
        wn_str got = {0};
        put(scratch(name), out, k);
        FAILS(join(&got, scratch(name), NULL), WN_EFORMAT, name);
        cr_assert(got.len <= 14);
        wn_str_free(&got);
    }
    for (size_t k = 0; k < 4; k++) {
        put(scratch(name), out, k);
        wn_lines *l;
        if (k != 2 && k != 3)
            FAILS(wn_lines_open(&l, scratch(name)), WN_EFORMAT, "expected a compressed stream");
    }
    /* A second member cut short is as bad as the first. */
    whole = n + p(out + n, sizeof out - n, "four\n", 5);
    wn_str got = {0};
    put(scratch(name), out, whole - 3);
    FAILS(join(&got, scratch(name), NULL), WN_EFORMAT, "damaged");
    wn_str_free(&got);
}

Test(lines, gzip)
{
    check_packed(gz, "x.gz");
}

Test(lines, zstd)
{
    check_packed(zst, "x.zst");
}

Test(lines, damage_is_found)
{
    char text[2000], out[4096];
    for (size_t i = 0; i < sizeof text; i++)
        text[i] = (char)(i * i % 251 % 7 ? 'a' + i * 7919 % 26 : '\n');
    size_t n = gz(out, sizeof out, text, sizeof text);
    wn_str got = {0};
    out[n - 8] ^= 1; /* the checksum */
    put(scratch("t"), out, n);
    FAILS(join(&got, scratch("t"), NULL), WN_EFORMAT, "damaged gzip stream");
    out[n - 8] ^= 1;
    memcpy(out + n, "garbage", 7);
    put(scratch("t"), out, n + 7);
    FAILS(join(&got, scratch("t"), NULL), WN_EFORMAT, "damaged gzip stream");
    n = zst(out, sizeof out, text, sizeof text);
    out[n / 2] ^= 0x55;
    out[n / 2 + 1] ^= 0x55;
    put(scratch("t"), out, n);
    FAILS(join(&got, scratch("t"), NULL), WN_EFORMAT, "damaged zstd stream");
    wn_str_free(&got);
}

Test(lines, standard_input_through_a_slow_pipe)
{
    int fd[2];
    char out[200];
    size_t n = gz(out, sizeof out, "one\ntwo\n", 8);
    cr_assert_eq(pipe(fd), 0);
    if (fork() == 0) {
        for (size_t i = 0; i < n; i++) {
            if (write(fd[1], out + i, 1) != 1)
                _exit(1);
            usleep(200);
        }
        _exit(0);
    }
    close(fd[1]);
    dup2(fd[0], 0);
    wn_str got = {0};
    OK(join(&got, "-", NULL));
    cr_assert_str_eq(got.p, "one|two|");
    wn_str_free(&got);
}

Test(lines, errors)
{
    wn_lines *l;
    FAILS(wn_lines_open(&l, scratch("none")), WN_EIO, "none: cannot open");
    cr_assert_null(l);
    FAILS(wn_lines_open(&l, scratch_dir), WN_EIO, "cannot read: Is a directory");
    wn_lines_close(NULL);
}

/* A bomb: 300 MB of one line, packed into some kilobytes. */
Test(lines, too_long_a_line, .timeout = 60)
{
    size_t n = 300u << 20;
    char *text = calloc(n, 1), *out = malloc(1 << 20);
    memcpy(text, "first\n", 6);
    put(scratch("t"), out, zst(out, 1 << 20, text, n));
    free(text);
    free(out);
    wn_str got = {0};
    FAILS(join(&got, scratch("t"), NULL), WN_EFORMAT, "t:2: expected a line of at most");
    wn_str_free(&got);
}

Test(lines, allocations_that_fail)
{
    char *text = wn_calloc(300000, 1);
    memset(text, 'x', 300000);
    put(scratch("t"), text, 300000);
    wn_free(text);
    size_t live = wn_mem_live();
    for (int k = 0;; k++) {
        wn_lines *l;
        wn_span line;
        wn_mem_fail_after(k);
        wn_err err = wn_lines_open(&l, scratch("t"));
        if (err == WN_OK)
            while (wn_lines_next(l, &line, &err))
                ;
        wn_mem_fail_after(-1);
        wn_lines_close(l);
        cr_assert_eq(wn_mem_live(), live);
        if (err == WN_OK)
            break;
        cr_assert_eq(err, WN_ENOMEM);
        cr_assert_lt(k, 20);
    }
}

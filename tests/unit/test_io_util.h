/* Scratch folders, golden paths and the checks that tests of base and io share. */
#ifndef TEST_IO_UTIL_H
#define TEST_IO_UTIL_H

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "io/file.h"

#define OK(expr)                                                                                   \
    do {                                                                                           \
        wn_err ok_err_ = (expr);                                                                   \
        cr_assert_eq(ok_err_, WN_OK, "%s: %s", #expr, wn_error_text());                            \
    } while (0)

/* The call fails with that code and its text has that part. */
#define FAILS(expr, code, part)                                                                    \
    do {                                                                                           \
        wn_error_set_text("");                                                                     \
        wn_err fails_err_ = (expr);                                                                \
        cr_assert_eq(fails_err_, (code), "%s gave %d: %s", #expr, (int)fails_err_,                 \
                     wn_error_text());                                                             \
        cr_assert(strstr(wn_error_text(), (part)), "%s: expected \"%s\" in \"%s\"", #expr, (part), \
                  wn_error_text());                                                                \
        cr_assert_null(strchr(wn_error_text(), '\n'), "one line: %s", wn_error_text());            \
    } while (0)

static char scratch_dir[256];

static inline void scratch_make(void)
{
    const char *base = getenv("TMPDIR");
    snprintf(scratch_dir, sizeof scratch_dir, "%s/winnow-test-XXXXXX", base ? base : "/tmp");
    cr_assert_not_null(mkdtemp(scratch_dir));
}

static inline void scratch_remove(void)
{
    OK(wn_remove_tree(scratch_dir));
}

/* A path in the scratch folder; up to eight are valid at once. */
static inline const char *scratch(const char *name)
{
    static char path[8][512];
    static int at;
    char *p = path[at++ % 8];
    snprintf(p, sizeof path[0], "%s/%s", scratch_dir, name);
    return p;
}

static inline const char *golden(const char *name)
{
    static char path[4][1024];
    static int at;
    char *p = path[at++ % 4];
    const char *root = getenv("WN_TEST_ROOT");
    snprintf(p, sizeof path[0], "%s/tests/goldens/io/%s", root ? root : ".", name);
    return p;
}

static inline void put(const char *path, const void *bytes, size_t n)
{
    FILE *f = fopen(path, "wb");
    cr_assert_not_null(f, "%s", path);
    cr_assert_eq(fwrite(bytes, 1, n, f), n);
    cr_assert_eq(fclose(f), 0);
}

static inline void put_text(const char *path, const char *text)
{
    put(path, text, strlen(text));
}

static inline size_t names_in(const char *dir)
{
    char **names;
    size_t n;
    OK(wn_dir_list(&names, &n, dir));
    wn_names_free(names, n);
    return n;
}

#endif

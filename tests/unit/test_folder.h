/* A folder for a test's files, and the checks that tests of jobs share. */
#ifndef TEST_FOLDER_H
#define TEST_FOLDER_H

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "io/file.h"

static char dir[64];

static inline void set_up(void)
{
    strcpy(dir, "/tmp/wn_test_XXXXXX");
    cr_assert(mkdtemp(dir));
}

static inline void tear_down(void)
{
    wn_remove_tree(dir);
    cr_assert_eq(wn_mem_live(), 0, "%zu bytes leaked", wn_mem_live());
}

static inline void ok(wn_err err)
{
    cr_assert_eq(err, WN_OK, "%s", wn_error_text());
}

/* The path of a file in the test's folder; the same text for the same name. */
static inline const char *at(const char *name)
{
    static char path[64][128];
    char want[128];
    int i = 0;
    snprintf(want, sizeof want, "%s/%s", dir, name);
    while (path[i][0] && strcmp(path[i], want) != 0)
        i++;
    cr_assert_lt(i, 64);
    return strcpy(path[i], want);
}

#endif

/* What the pool's tests share: a scratch folder a test, files in it, and pools made from them. */
#ifndef TEST_POOL_FILES_H
#define TEST_POOL_FILES_H

#include <criterion/criterion.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/par.h"
#include "io/file.h"
#include "io/json.h"
#include "pool/pool_info.h"
#include "pool/pool.h"
#include "winnow.h"

static char scratch[64];

static inline void scratch_open(void)
{
    strcpy(scratch, "/tmp/winnow-test-XXXXXX");
    cr_assert(mkdtemp(scratch));
}

static inline void scratch_close(void)
{
    wn_remove_tree(scratch);
    cr_expect_eq(wn_mem_live(), 0, "%zu bytes are still held", wn_mem_live());
}

/* A path in the scratch folder; eight may be in use at a time. */
static inline const char *in(const char *name)
{
    static char paths[8][128];
    static int next;
    char *p = paths[next++ % 8];
    snprintf(p, sizeof paths[0], "%s/%s", scratch, name);
    return p;
}

static inline const char *put(const char *name, const char *text)
{
    const char *path = in(name);
    cr_assert_eq(wn_file_write(path, text, strlen(text)), WN_OK, "%s", wn_error_message());
    return path;
}

static inline char *slurp(const char *path, size_t *len)
{
    char *text;
    cr_assert_eq(wn_file_read(&text, len, path, 1 << 28), WN_OK, "%s", wn_error_message());
    return text;
}

static inline wn_err build(const char *out, const char *source, const char *map, const char *dedup)
{
    wn_pool_build_opts o = {
        .common.out = out, .sources = &source, .n_sources = 1, .map = map, .dedup = dedup};
    return wn_pool_build_job(&o);
}

static inline void must_build(const char *out, const char *source, const char *map,
                              const char *dedup)
{
    cr_assert_eq(build(out, source, map, dedup), WN_OK, "%s", wn_error_message());
}

static inline json_t *info_of(const char *pool, const char *map)
{
    char *text;
    json_t *j;
    cr_assert_eq(wn_pool_info(&text, pool, map, NULL, NULL), WN_OK, "%s", wn_error_message());
    cr_assert_eq(wn_json_parse(&j, text, strlen(text), "info"), WN_OK, "%s", wn_error_message());
    wn_free(text);
    return j;
}

static inline long long number_of(const json_t *j, const char *key)
{
    return json_integer_value(json_object_get(j, key));
}

static inline void expect_span(wn_span s, const char *text)
{
    cr_expect(wn_span_is(s, text), "expected \"%s\", found \"%.*s\"", text, (int)s.len, s.p);
}

#define expect_error(e, part)                                                                      \
    do {                                                                                           \
        cr_assert_neq((e), WN_OK, "expected a failure with \"%s\"", part);                         \
        cr_expect(strstr(wn_error_message(), part), "expected \"%s\" in \"%s\"", part,             \
                  wn_error_message());                                                             \
    } while (0)

#endif

#include <criterion/criterion.h>
#include <math.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>

#include "base/err.h"
#include "base/interval.h"
#include "base/keyed.h"
#include "base/mem.h"
#include "base/str.h"

/* ---- errors ---- */

Test(err, text_and_code)
{
    cr_assert_eq(wn_fail(WN_EIO, "%s: %d", "file", 7), WN_EIO);
    cr_assert_str_eq(wn_error_text(), "file: 7");
    cr_assert_str_eq(wn_error_message(), "file: 7");
    cr_assert_str_eq(wn_strerror(WN_EIO), "input or output failed");
    cr_assert_str_eq(wn_strerror(WN_OK), "ok");
    cr_assert_str_eq(wn_strerror((wn_err)99), "unknown error");
}

static wn_err leaf(void)
{
    return wn_fail(WN_EFORMAT, "row 3: expected a prompt");
}

static wn_err middle(void)
{
    return wn_context(leaf(), "%s", "pool.jsonl");
}

static wn_err top(int *reached)
{
    WN_TRY(middle());
    *reached = 1;
    return WN_OK;
}

Test(err, context_stands_in_front)
{
    int reached = 0;
    cr_assert_eq(wn_context(top(&reached), "select"), WN_EFORMAT);
    cr_assert_str_eq(wn_error_text(), "select: pool.jsonl: row 3: expected a prompt");
    cr_assert_eq(reached, 0);
    cr_assert_eq(wn_context(WN_OK, "nothing"), WN_OK);
    cr_assert_str_eq(wn_error_text(), "select: pool.jsonl: row 3: expected a prompt");
}

Test(err, long_texts_are_cut)
{
    char big[3 * WN_ERROR_TEXT_BYTES];
    memset(big, 'a', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    wn_fail(WN_EARG, "%s", big);
    cr_assert_eq(strlen(wn_error_text()), WN_ERROR_TEXT_BYTES - 1);
    wn_context(WN_EARG, "front");
    cr_assert_eq(strlen(wn_error_text()), WN_ERROR_TEXT_BYTES - 1);
    cr_assert_eq(strncmp(wn_error_text(), "front: aaa", 10), 0);
    wn_context(WN_EARG, "%s", big);
    cr_assert_eq(strlen(wn_error_text()), WN_ERROR_TEXT_BYTES - 1);
}

static void *other_thread(void *p)
{
    (void)p;
    wn_fail(WN_EIO, "of the other thread");
    return NULL;
}

Test(err, texts_are_of_a_thread)
{
    pthread_t t;
    wn_fail(WN_EIO, "mine");
    cr_assert_eq(pthread_create(&t, NULL, other_thread, NULL), 0);
    pthread_join(t, NULL);
    cr_assert_str_eq(wn_error_text(), "mine");
}

/* ---- memory ---- */

Test(mem, aligned_counted_and_freed)
{
    size_t before = wn_mem_live();
    char *p = wn_malloc(1000);
    cr_assert_eq((uintptr_t)p % 64, 0);
    cr_assert_eq(wn_mem_live(), before + 1000);
    memset(p, 7, 1000);
    p = wn_realloc(p, 3000);
    cr_assert_eq(wn_mem_live(), before + 3000);
    cr_assert_eq(p[999], 7);
    p = wn_realloc(p, 10);
    cr_assert_eq(p[9], 7);
    cr_assert_geq(wn_mem_peak(), before + 3000);
    wn_free(p);
    wn_free(NULL);
    cr_assert_eq(wn_mem_live(), before);
    void *none = wn_malloc(0);
    cr_assert_not_null(none);
    wn_free(none);
}

Test(mem, calloc_zeroes_and_refuses_a_wrap)
{
    int *p = wn_calloc(100, sizeof *p);
    for (int i = 0; i < 100; i++)
        cr_assert_eq(p[i], 0);
    wn_free(p);
    cr_assert_null(wn_calloc(SIZE_MAX / 2, 3));
    cr_assert(strstr(wn_error_text(), "out of memory"));
    cr_assert_null(wn_malloc(SIZE_MAX - 10));
}

Test(mem, the_nth_allocation_fails_once)
{
    for (int n = 0; n < 3; n++) {
        wn_mem_fail_after(n);
        for (int i = 0; i < 5; i++) {
            void *p = wn_malloc(8);
            cr_assert_eq(p == NULL, i == n);
            wn_free(p);
        }
    }
    char *keep = wn_strdup("keep");
    wn_mem_fail_after(0);
    cr_assert_null(wn_realloc(keep, 100));
    wn_mem_fail_after(-1);
    cr_assert_str_eq(keep, "keep");
    wn_free(keep);
}

Test(mem, grow_doubles_and_survives_failure)
{
    uint64_t *v = NULL;
    size_t n = 0, cap = 0;
    for (; n < 1000; n++) {
        cr_assert(WN_GROW(v, n, cap));
        v[n] = n;
    }
    for (size_t i = 0; i < n; i++)
        cr_assert_eq(v[i], i);
    n = cap;
    size_t had = cap;
    wn_mem_fail_after(0);
    cr_assert_not(WN_GROW(v, n, cap));
    wn_mem_fail_after(-1);
    cr_assert_eq(cap, had);
    cr_assert_eq(v[999], 999);
    wn_free(v);
}

static void carve(wn_arena *a, char **x, char **y)
{
    *x = wn_arena_push(a, 100);
    *y = wn_arena_push(a, 1);
}

Test(arena, plan_then_carve)
{
    size_t before = wn_mem_live();
    wn_arena plan = {0}, a;
    char *x, *y;
    carve(&plan, &x, &y);
    cr_assert_null(x);
    cr_assert_eq(plan.used, 192);
    cr_assert_eq(wn_arena_init(&a, plan.used), WN_OK);
    carve(&a, &x, &y);
    cr_assert_eq((uintptr_t)x % 64, 0);
    cr_assert_eq(y - x, 128);
    memset(x, 1, 100);
    y[0] = 2;
    size_t mark = wn_arena_mark(&a);
    cr_assert_eq(mark, a.size);
    wn_arena_reset(&a, 128);
    cr_assert_eq((char *)wn_arena_push(&a, 64), y);
    wn_arena_free(&a);
    cr_assert_eq(wn_mem_live(), before);
}

Test(arena, overflow_aborts, .signal = 6)
{
    wn_arena a;
    cr_assert_eq(wn_arena_init(&a, 64), WN_OK);
    wn_arena_push(&a, 65);
}

/* ---- strings ---- */

Test(str, appends_of_all_kinds)
{
    wn_str s = {0};
    wn_str_puts(&s, "ab");
    wn_str_putc(&s, '\0');
    wn_str_add(&s, "cd", 2);
    wn_str_printf(&s, "%d-%s", 12, "x");
    cr_assert_eq(s.len, 9);
    cr_assert_eq(memcmp(s.p, "ab\0cd12-x", 10), 0);
    for (int i = 0; i < 10000; i++)
        wn_str_putc(&s, 'z');
    cr_assert_eq(s.len, 10009);
    cr_assert_eq(s.p[s.len], '\0');
    cr_assert_eq(wn_str_check(&s), WN_OK);
    wn_str_clear(&s);
    cr_assert_eq(s.len, 0);
    cr_assert_str_eq(s.p, "");
    wn_str_free(&s);
    cr_assert_null(s.p);
}

Test(str, a_failed_append_is_remembered)
{
    wn_str s = {0};
    wn_str_puts(&s, "ab");
    char big[200];
    memset(big, 'x', sizeof big);
    wn_mem_fail_after(0);
    wn_str_add(&s, big, sizeof big);
    wn_mem_fail_after(-1);
    wn_str_puts(&s, "more");
    cr_assert_str_eq(s.p, "ab");
    cr_assert_eq(wn_str_check(&s), WN_ENOMEM);
    wn_str_free(&s);
}

Test(str, spans)
{
    cr_assert(wn_span_is((wn_span){"abcd", 2}, "ab"));
    cr_assert_not(wn_span_is((wn_span){"abcd", 3}, "ab"));
    cr_assert_not(wn_span_is((wn_span){"abcd", 2}, "ac"));
    cr_assert(wn_span_is((wn_span){"", 0}, ""));
}

/* numpy.quantile of 0, 1, ..., n - 1 is q * (n - 1). */
Test(interval, quantiles_lie_between_order_statistics)
{
    double v[200], low, high;
    for (size_t n = 1; n <= 200; n += n < 5 ? 1 : 39) {
        for (size_t i = 0; i < n; i++)
            v[i] = (double)((i * 7 + 3) % n); /* a permutation where 7 does not divide n */
        if (n % 7 == 0)
            continue;
        wn_interval95(&low, &high, v, n);
        cr_expect_float_eq(low, 0.025 * (double)(n - 1), 1e-12, "%zu: %g", n, low);
        cr_expect_float_eq(high, 0.975 * (double)(n - 1), 1e-12, "%zu: %g", n, high);
    }
    wn_interval95(&low, &high, v, 0);
    cr_expect(isnan(low) && isnan(high));
}

/* Sorted by key, equal keys by row; each place found is that of a linear search. */
Test(keyed, sorted_and_found)
{
    wn_keyed x[50];
    for (size_t n = 0; n <= 50; n++) {
        for (size_t i = 0; i < n; i++)
            x[i] = (wn_keyed){(i * 37 + 11) % 23 * 2 + 1, i * 29 % 53};
        wn_keyed_sort(x, n);
        for (size_t i = 1; i < n; i++)
            cr_assert(x[i - 1].key < x[i].key ||
                      (x[i - 1].key == x[i].key && x[i - 1].row < x[i].row));
        for (uint64_t key = 0; key <= 47; key++) {
            uint64_t at = 0;
            while (at < n && x[at].key < key)
                at++;
            cr_assert_eq(wn_keyed_find(x, n, key), at);
        }
    }
}

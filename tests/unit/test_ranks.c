/* Deals and agreements in one process; and in several, where there is MPI: this program then starts
 * itself with mpirun, WN_RANKS_TEST naming what each rank does, and reads what rank 0 says. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/par.h"
#include "base/ranks.h"

/* ---- a deal whose chunk i is 64 (i + 1) numbers: up to 256 kB, beyond what is sent at once ----
 */

struct sums {
    uint64_t next, numbers;
    long fails_at, refused_at; /* chunk; -1: none */
    int made;
};

static wn_err make(void *ctx, uint64_t chunk, wn_str *result)
{
    struct sums *s = ctx;
    s->made++;
    if (chunk % (uint64_t)wn_ranks() != (uint64_t)wn_rank())
        return wn_fail(WN_EARG, "chunk %d is another rank's", (int)chunk);
    if (s->fails_at >= 0 && chunk >= (uint64_t)s->fails_at)
        return wn_fail(WN_EFORMAT, "chunk %d is bad", (int)chunk);
    for (uint64_t i = 0; i < 64 * (chunk + 1); i++) {
        uint64_t v = chunk * 100000 + i;
        wn_str_add(result, &v, sizeof v);
    }
    wn_ranks_poll();
    return WN_OK;
}

static wn_err take(void *ctx, uint64_t chunk, const char *result, size_t n)
{
    struct sums *s = ctx;
    if (wn_rank() != 0 || chunk != s->next++ || n != 64 * (chunk + 1) * sizeof(uint64_t))
        return wn_fail(WN_EARG, "chunk %d of %zu bytes came to rank %d", (int)chunk, n, wn_rank());
    if (s->refused_at >= 0 && chunk == (uint64_t)s->refused_at)
        return wn_fail(WN_EIO, "chunk %d is refused", (int)chunk);
    for (uint64_t i = 0; i < 64 * (chunk + 1); i++, result += sizeof(uint64_t)) {
        uint64_t v;
        memcpy(&v, result, sizeof v);
        if (v != chunk * 100000 + i)
            return wn_fail(WN_EARG, "chunk %d holds %d", (int)chunk, (int)v);
        s->numbers++;
    }
    return WN_OK;
}

static wn_err deal(struct sums *s, uint64_t chunks)
{
    return wn_ranks_deal(&(wn_deal){s, chunks, make, take});
}

/* ---- what a rank does ---- */

static wn_err all_of_it(void)
{
    struct sums s = {.fails_at = -1, .refused_at = -1};
    uint64_t number = wn_rank() == 0 ? 77 : 0;
    wn_str text = {0};
    if (wn_rank() == 0)
        wn_str_puts(&text, "from rank 0");
    else
        wn_str_puts(&text, "something longer than what rank 0 has");
    WN_TRY(deal(&s, 0));
    WN_TRY(deal(&s, 1));
    s.next = 0;
    WN_TRY(deal(&s, 500));
    WN_TRY(wn_ranks_agree(WN_OK));
    WN_TRY(wn_ranks_share(&number, sizeof number));
    WN_TRY(wn_ranks_share_str(&text));
    bool right = number == 77 && strcmp(text.p, "from rank 0") == 0;
    WN_TRY(wn_ranks_agree(right ? WN_OK : wn_fail(WN_EARG, "%d, %s", (int)number, text.p)));
    if (wn_rank() == 0)
        printf("%d ranks, %d made here, %d numbers", wn_ranks(), s.made, (int)s.numbers);
    wn_str_free(&text);
    return WN_OK;
}

static wn_err act(const char *what)
{
    struct sums s = {.fails_at = -1, .refused_at = -1};
    if (strcmp(what, "all") == 0)
        return all_of_it();
    if (strcmp(what, "agree") == 0)
        return wn_ranks_agree(wn_rank() ? wn_fail(WN_EIO, "rank's %d own", wn_rank()) : WN_OK);
    if (strcmp(what, "bad chunk") == 0) {
        s.fails_at = 70;
        return deal(&s, 1000000);
    }
    if (strcmp(what, "refused") == 0) {
        s.refused_at = 40;
        return deal(&s, 1000000);
    }
    if (strcmp(what, "alone") == 0 && wn_rank() == 1)
        return wn_fail(WN_EIO, "only here");
    if (strcmp(what, "alone") == 0) /* waits for what never comes */
        return deal(&s, 1000000);
    return wn_fail(WN_EARG, "no test \"%s\"", what);
}

__attribute__((constructor)) static void be_a_rank(void)
{
    const char *what = getenv("WN_RANKS_TEST");
    if (!what)
        return;
    wn_err e = wn_ranks_start();
    if (!e)
        e = wn_ranks_name(act(what));
    if (e && (wn_rank() == 0 || !wn_ranks_told()))
        printf("%s", wn_error_text());
    fflush(stdout);
    wn_ranks_end(e != WN_OK);
    _exit(e ? 1 : 0);
}

/* ---- the tests ---- */

/* Exit status of n ranks; what they printed in out. */
static int run(char *out, size_t size, int n, const char *what)
{
    char command[512], self[256];
    ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);
    cr_assert_gt(len, 0);
    self[len] = '\0';
    snprintf(command, sizeof command,
             "OMPI_MCA_btl_vader_single_copy_mechanism=none WN_RANKS_TEST='%s' timeout -k 1 60 "
             "mpirun --allow-run-as-root --oversubscribe -n %d '%s' 2>/dev/null",
             what, n, self);
    FILE *f = popen(command, "r");
    cr_assert_not_null(f);
    size_t got = fread(out, 1, size - 1, f);
    out[got] = '\0';
    return pclose(f);
}

static bool has_mpirun(void)
{
    if (wn_ranks_built() && system("mpirun --version 2>/dev/null | grep -q 'Open MPI'") == 0)
        return true;
    cr_skip_test("built without MPI, or no mpirun of Open MPI here");
    return false;
}

Test(ranks, one_process_is_one_rank)
{
    struct sums s = {.fails_at = -1, .refused_at = -1};
    uint64_t number = 5;
    wn_str text = {0};
    cr_assert_eq(wn_ranks_start(), WN_OK);
    cr_assert_eq(wn_rank(), 0);
    cr_assert_eq(wn_ranks(), 1);
    cr_assert_eq(deal(&s, 40), WN_OK);
    cr_assert_eq(s.made, 40);
    cr_assert_eq(s.numbers, 64 * 40 * 41 / 2);
    cr_assert_eq(wn_ranks_share(&number, sizeof number), WN_OK);
    wn_str_puts(&text, "mine");
    cr_assert_eq(wn_ranks_share_str(&text), WN_OK);
    cr_assert(number == 5 && strcmp(text.p, "mine") == 0);
    wn_str_free(&text);
    s = (struct sums){.fails_at = 3, .refused_at = -1};
    cr_assert_eq(wn_ranks_agree(wn_ranks_name(deal(&s, 40))), WN_EFORMAT);
    cr_assert_str_eq(wn_error_text(), "chunk 3 is bad");
    cr_assert(!wn_ranks_told());
    wn_ranks_end(true); /* nothing was started: nothing ends */
}

Test(ranks, launchers_are_known_by_their_variables)
{
    cr_assert_eq(wn_ranks_launched(), 1);
    setenv("SLURM_STEP_NUM_TASKS", "6", 1);
    cr_assert_eq(wn_ranks_launched(), 6);
    setenv("PMI_SIZE", "3", 1);
    cr_assert_eq(wn_ranks_launched(), 3);
    setenv("OMPI_COMM_WORLD_SIZE", "2", 1);
    cr_assert_eq(wn_ranks_launched(), 2);
    setenv("OMPI_COMM_WORLD_SIZE", "", 1);
    cr_assert_eq(wn_ranks_launched(), 3);
    setenv("WN_RANKS", "1", 1);
    cr_assert_eq(wn_ranks_launched(), 1);
    cr_assert_eq(wn_ranks_start(), WN_OK);
    cr_assert_eq(wn_ranks(), 1);
}

Test(ranks, cores_are_shared)
{
    int all = wn_par_threads();
    wn_par_set_sharers(2);
    cr_assert_eq(wn_par_threads(), all > 1 ? all / 2 : 1);
    wn_par_set_sharers(1000000);
    cr_assert_eq(wn_par_threads(), 1);
    wn_par_set_threads(7);
    cr_assert_eq(wn_par_threads(), 7);
}

Test(ranks, several_share_and_deal)
{
    char out[2048];
    for (int n = 2; has_mpirun() && n <= 3; n++) {
        char want[64];
        snprintf(want, sizeof want, "%d ranks, %d made here, %d numbers", n, 1 + (500 + n - 1) / n,
                 64 * (1 + 500 * 501 / 2));
        cr_assert_eq(run(out, sizeof out, n, "all"), 0, "%s", out);
        cr_assert_str_eq(out, want);
    }
}

/* However it ends, one line says why, and nobody is left waiting. */
Test(ranks, failures_end_all)
{
    static const char *const cases[][2] = {{"agree", "rank 1: rank's 1 own"},
                                           {"bad chunk", "rank 1: chunk 70 is bad"},
                                           {"refused", "rank 0: chunk 40 is refused"},
                                           {"alone", "rank 1: only here"}};
    char out[2048];
    for (size_t i = 0; has_mpirun() && i < 4; i++) {
        cr_assert_neq(run(out, sizeof out, 3, cases[i][0]), 0);
        cr_assert_str_eq(out, cases[i][1]);
    }
}

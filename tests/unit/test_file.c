#include "test_io_util.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

TestSuite(file, .init = scratch_make, .fini = scratch_remove);

/* A user who may not write everywhere; the tests may run as root. */
static void be_nobody(void)
{
    if (geteuid() == 0)
        cr_assert_eq(seteuid(65534), 0);
}

static void be_root_again(void)
{
    if (getuid() == 0)
        cr_assert_eq(seteuid(0), 0);
}

static void limit_file_size(rlim_t bytes)
{
    signal(SIGXFSZ, SIG_IGN);
    struct rlimit r;
    getrlimit(RLIMIT_FSIZE, &r);
    r.rlim_cur = bytes;
    cr_assert_eq(setrlimit(RLIMIT_FSIZE, &r), 0);
}

static void no_file_limit(void)
{
    struct rlimit r;
    getrlimit(RLIMIT_FSIZE, &r);
    r.rlim_cur = r.rlim_max;
    setrlimit(RLIMIT_FSIZE, &r);
}

/* ---- reading ---- */

Test(file, map)
{
    wn_map m;
    put(scratch("a"), "he\0llo", 6);
    OK(wn_map_open(&m, scratch("a")));
    cr_assert_eq(m.size, 6);
    cr_assert_eq(memcmp(m.data, "he\0llo", 6), 0);
    cr_assert_str_eq(m.path, scratch("a"));
    wn_map_close(&m);
    wn_map_close(&m);
    put(scratch("empty"), "", 0);
    OK(wn_map_open(&m, scratch("empty")));
    cr_assert_eq(m.size, 0);
    cr_assert_str_eq(m.data, "");
    wn_map_close(&m);
    FAILS(wn_map_open(&m, scratch("none")), WN_EIO, "none: cannot open: No such file");
    FAILS(wn_map_open(&m, scratch_dir), WN_EIO, "expected a regular file, found a folder");
    FAILS(wn_map_open(&m, "/dev/null"), WN_EIO, "found a pipe or device");
    wn_mem_fail_after(0);
    FAILS(wn_map_open(&m, scratch("a")), WN_ENOMEM, "out of memory");
    wn_map_close(&m);
}

Test(file, read_whole)
{
    char *text;
    size_t n, live = wn_mem_live();
    put_text(scratch("a"), "hello");
    OK(wn_file_read(&text, &n, scratch("a"), 5));
    cr_assert_eq(n, 5);
    cr_assert_str_eq(text, "hello");
    wn_free(text);
    FAILS(wn_file_read(&text, &n, scratch("a"), 4), WN_EFORMAT, "at most 4 bytes, found more");
    cr_assert_null(text);
    put_text(scratch("b"), "");
    OK(wn_file_read(&text, NULL, scratch("b"), 100));
    cr_assert_str_eq(text, "");
    wn_free(text);
    FAILS(wn_file_read(&text, &n, scratch("none"), 4), WN_EIO, "none: cannot open");
    FAILS(wn_file_read(&text, &n, scratch_dir, 4), WN_EIO, "cannot read");
    for (int k = 0;; k++) {
        wn_mem_fail_after(k);
        wn_err err = wn_file_read(&text, &n, scratch("a"), 100);
        wn_mem_fail_after(-1);
        if (err == WN_OK)
            break;
        cr_assert_eq(err, WN_ENOMEM);
        cr_assert_lt(k, 10);
    }
    wn_free(text);
    cr_assert_eq(wn_mem_live(), live);
}

/* ---- folders ---- */

Test(file, folders)
{
    char *p;
    OK(wn_mkdirs(scratch("x/y//z")));
    cr_assert(wn_is_dir(scratch("x/y/z")));
    OK(wn_mkdirs(scratch("x/y/z/")));
    put_text(scratch("x/file"), "1");
    put_text(scratch("x/y/.hidden"), "1");
    cr_assert_eq(symlink("/etc", scratch("x/link")), 0);
    FAILS(wn_mkdirs(scratch("x/file/z")), WN_EIO, "x/file: expected a folder, found a file");
    FAILS(wn_mkdirs(scratch("x/file")), WN_EIO, "x/file: expected a folder, found a file");
    cr_assert(wn_file_exists(scratch("x/file")));
    cr_assert_not(wn_is_dir(scratch("x/file")));
    OK(wn_remove_tree(scratch("x")));
    cr_assert_not(wn_file_exists(scratch("x")));
    cr_assert(wn_file_exists("/etc"));
    OK(wn_remove_tree(scratch("x")));
    OK(wn_path_join(&p, "a", "b"));
    cr_assert_str_eq(p, "a/b");
    wn_free(p);
    OK(wn_path_join(&p, "a/", "b"));
    cr_assert_str_eq(p, "a/b");
    wn_free(p);
    OK(wn_path_join(&p, "", "b"));
    cr_assert_str_eq(p, "b");
    wn_free(p);
    OK(wn_path_join(&p, "a", "/b"));
    cr_assert_str_eq(p, "/b");
    wn_free(p);
    cr_assert_str_eq(wn_path_base("a/b/c.txt"), "c.txt");
    cr_assert_str_eq(wn_path_base("c.txt"), "c.txt");
}

Test(file, list_is_sorted_bytewise)
{
    static const char *const made[] = {"b", "a", "B", "10", "9", "\xc3\xa9"};
    static const char *const want[] = {"10", "9", "B", "a", "b", "\xc3\xa9"};
    for (int i = 0; i < 6; i++)
        put_text(scratch(made[i]), "");
    char **names;
    size_t n, live = wn_mem_live();
    OK(wn_dir_list(&names, &n, scratch_dir));
    cr_assert_eq(n, 6);
    for (int i = 0; i < 6; i++)
        cr_assert_str_eq(names[i], want[i]);
    wn_names_free(names, n);
    for (int k = 0; k < 7; k++) {
        wn_mem_fail_after(k);
        FAILS(wn_dir_list(&names, &n, scratch_dir), WN_ENOMEM, "out of memory");
    }
    wn_mem_fail_after(-1);
    cr_assert_eq(wn_mem_live(), live);
    FAILS(wn_dir_list(&names, &n, scratch("none")), WN_EIO, "none");
}

/* ---- outputs that appear whole ---- */

static void expect_text(const char *path, const char *want)
{
    char *text;
    OK(wn_file_read(&text, NULL, path, 1 << 20));
    cr_assert_str_eq(text, want);
    wn_free(text);
}

Test(file, output_appears_at_commit)
{
    wn_out o;
    size_t live = wn_mem_live();
    put_text(scratch("a"), "old");
    OK(wn_out_open(&o, scratch("a")));
    OK(wn_out_write(&o, "new", 3));
    OK(wn_out_printf(&o, " %d", 7));
    cr_assert_eq(o.written, 5);
    fflush(o.f);
    expect_text(scratch("a"), "old");
    OK(wn_out_commit(&o));
    wn_out_abort(&o);
    expect_text(scratch("a"), "new 7");
    cr_assert_eq(names_in(scratch_dir), 1);
    OK(wn_file_write(scratch("b"), "x", 1));
    expect_text(scratch("b"), "x");
    cr_assert_eq(wn_mem_live(), live);
}

Test(file, abort_leaves_the_old_file)
{
    wn_out o;
    put_text(scratch("a"), "old");
    OK(wn_out_open(&o, scratch("a")));
    OK(wn_out_write(&o, "new", 3));
    wn_out_abort(&o);
    wn_out_abort(&o);
    expect_text(scratch("a"), "old");
    cr_assert_eq(names_in(scratch_dir), 1);
}

/* What a killed run left is used again, not mixed in. */
Test(file, a_stale_temporary_is_emptied)
{
    put_text(scratch("a.tmp"), "left by a killed run, and longer");
    OK(wn_file_write(scratch("a"), "new", 3));
    expect_text(scratch("a"), "new");
    cr_assert_eq(names_in(scratch_dir), 1);
}

Test(file, two_writers_of_one_output)
{
    wn_out a, b;
    OK(wn_out_open(&a, scratch("a")));
    OK(wn_out_write(&a, "first", 5));
    fflush(a.f);
    FAILS(wn_out_open(&b, scratch("a")), WN_EIO, "another process is writing it");
    OK(wn_out_commit(&a));
    expect_text(scratch("a"), "first");
}

Test(file, output_errors_name_the_path)
{
    wn_out o;
    FAILS(wn_out_open(&o, scratch_dir), WN_EIO, "expected a file to write, found a folder");
    wn_out_abort(&o);
    FAILS(wn_out_open(&o, scratch("none/a")), WN_EIO, "none/a.tmp: cannot create: No such file");
    for (int k = 0; k < 2; k++) {
        wn_mem_fail_after(k);
        FAILS(wn_out_open(&o, scratch("a")), WN_ENOMEM, "out of memory");
        wn_mem_fail_after(-1);
    }
    cr_assert_eq(names_in(scratch_dir), 0);
}

Test(file, device_that_is_full)
{
    wn_out o;
    char block[20000] = {0};
    OK(wn_out_open(&o, "/dev/full"));
    OK(wn_out_write(&o, "x", 1));
    FAILS(wn_out_commit(&o), WN_EIO, "/dev/full: cannot write: No space left");
    OK(wn_out_open(&o, "/dev/full"));
    FAILS(wn_out_write(&o, block, sizeof block), WN_EIO, "/dev/full: cannot write: No space left");
    wn_out_abort(&o);
    cr_assert(wn_file_exists("/dev/full"));
}

Test(file, full_disk_leaves_nothing)
{
    static char block[100000];
    put_text(scratch("a"), "old");
    limit_file_size(50000);
    FAILS(wn_file_write(scratch("a"), block, sizeof block), WN_EIO,
          "a: cannot write: File too large");
    wn_out o;
    OK(wn_out_open(&o, scratch("a")));
    wn_err err = WN_OK;
    for (int i = 0; i < 1000 && err == WN_OK; i++)
        err = wn_out_write(&o, block, 100);
    cr_assert_eq(err == WN_OK ? wn_out_commit(&o) : err, WN_EIO);
    wn_out_abort(&o);
    no_file_limit();
    expect_text(scratch("a"), "old");
    cr_assert_eq(names_in(scratch_dir), 1);
}

/* A caller that ignores every write still cannot commit a file with a hole. */
Test(file, an_ignored_failure_fails_the_commit)
{
    static char block[100000];
    wn_out o;
    limit_file_size(50000);
    OK(wn_out_open(&o, scratch("a")));
    cr_assert_neq(wn_out_write(&o, block, sizeof block), WN_OK);
    no_file_limit();
    FAILS(wn_out_commit(&o), WN_EIO, "a: cannot write");
    cr_assert_eq(names_in(scratch_dir), 0);
}

Test(file, read_only_folder)
{
    wn_out o;
    wn_append a;
    OK(wn_mkdirs(scratch("ro")));
    chmod(scratch_dir, 0755);
    chmod(scratch("ro"), 0555);
    be_nobody();
    FAILS(wn_out_open(&o, scratch("ro/a")), WN_EIO, "ro/a.tmp: cannot create: Permission denied");
    FAILS(wn_append_open(&a, scratch("ro/a"), 0), WN_EIO, "ro/a: cannot open for writing");
    FAILS(wn_mkdirs(scratch("ro/x/y")), WN_EIO, "ro/x: cannot make the folder");
    be_root_again();
}

Test(file, standard_output)
{
    int fd[2];
    cr_assert_eq(pipe(fd), 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(fd[1], 1);
        wn_out o;
        int bad = wn_out_open(&o, "-") != WN_OK || wn_out_printf(&o, "hi") != WN_OK ||
                  wn_out_commit(&o) != WN_OK;
        _exit(bad);
    }
    close(fd[1]);
    char got[8] = {0};
    cr_assert_eq(read(fd[0], got, 7), 2);
    cr_assert_str_eq(got, "hi");
    int status;
    waitpid(child, &status, 0);
    cr_assert_eq(status, 0);
    close(fd[0]);
}

/* ---- appending ---- */

Test(file, append_keeps_what_is_asked)
{
    wn_append a, b;
    OK(wn_append_open(&a, scratch("log"), 0));
    OK(wn_append_write(&a, "one\ntwo\nthr", 11));
    OK(wn_append_sync(&a));
    cr_assert_eq(a.size, 11);
    FAILS(wn_append_open(&b, scratch("log"), 0), WN_EIO, "another process is writing it");
    wn_append_close(&a);
    wn_append_close(&a);
    OK(wn_append_open(&a, scratch("log"), 8));
    OK(wn_append_write(&a, "three\n", 6));
    wn_append_close(&a);
    expect_text(scratch("log"), "one\ntwo\nthree\n");
    FAILS(wn_append_open(&a, scratch("log"), 15), WN_EFORMAT,
          "log: expected at least 15 bytes, found 14");
    wn_append_close(&a);
    wn_append zero = {0};
    wn_append_close(&zero);
    cr_assert_neq(fcntl(0, F_GETFD), -1);
}

Test(file, append_to_a_full_disk)
{
    static char block[1000];
    wn_append a;
    OK(wn_append_open(&a, scratch("log"), 0));
    limit_file_size(500);
    FAILS(wn_append_write(&a, block, sizeof block), WN_EIO, "log: cannot write");
    no_file_limit();
    wn_append_close(&a);
}

Test(file, rename_across_nothing)
{
    put_text(scratch("a"), "x");
    OK(wn_rename(scratch("a"), scratch("b")));
    expect_text(scratch("b"), "x");
    FAILS(wn_rename(scratch("a"), scratch("c")), WN_EIO, "No such file");
    OK(wn_dir_sync(scratch_dir));
    FAILS(wn_dir_sync(scratch("b")), WN_EIO, "cannot open the folder");
}

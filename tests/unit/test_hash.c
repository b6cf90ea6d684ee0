#include "test_io_util.h"

#include "io/hash.h"

TestSuite(hash, .init = scratch_make, .fini = scratch_remove);

static const char ABC[] = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
static const char NONE[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/* FIPS 180-2's example and the empty text. */
Test(hash, sha256_known_answers)
{
    char hex[WN_SHA_HEX];
    OK(wn_sha_bytes(hex, "abc", 3));
    cr_assert_str_eq(hex, ABC);
    OK(wn_sha_bytes(hex, "", 0));
    cr_assert_str_eq(hex, NONE);
    wn_sha *s;
    OK(wn_sha_new(&s));
    wn_sha_add(s, "a", 1);
    wn_sha_add(s, "bc", 2);
    wn_sha_hex(s, hex);
    cr_assert_str_eq(hex, ABC);
}

Test(hash, of_a_file)
{
    char hex[WN_SHA_HEX], same[WN_SHA_HEX];
    put_text(scratch("abc"), "abc");
    OK(wn_sha_file(hex, scratch("abc")));
    cr_assert_str_eq(hex, ABC);
    size_t n = 1000003;
    char *big = wn_calloc(n, 1);
    put(scratch("big"), big, n);
    OK(wn_sha_bytes(same, big, n));
    OK(wn_sha_file(hex, scratch("big")));
    cr_assert_str_eq(hex, same);
    wn_free(big);
    FAILS(wn_sha_file(hex, scratch("none")), WN_EIO, "none: cannot open");
    FAILS(wn_sha_file(hex, scratch_dir), WN_EIO, "cannot read");
    size_t live = wn_mem_live();
    for (int k = 0; k < 2; k++) {
        wn_mem_fail_after(k);
        FAILS(wn_sha_file(hex, scratch("abc")), WN_ENOMEM, "out of memory");
        wn_mem_fail_after(-1);
    }
    cr_assert_eq(wn_mem_live(), live);
}

/* XXH3's own value for the empty text with seed 0. */
Test(hash, xxh3)
{
    cr_assert_eq(wn_hash64("", 0, 0), 0x2d06800538d394c2u);
    wn_hash128 h = wn_hash("", 0, 0);
    cr_assert_eq(h.hi, 0x99aa06d3014798d8u);
    cr_assert_eq(h.lo, 0x6001c324468d497fu);
    cr_assert_neq(wn_hash64("a", 1, 0), wn_hash64("a", 1, 1));
    cr_assert_neq(wn_hash64("a", 1, 0), wn_hash64("b", 1, 0));
}

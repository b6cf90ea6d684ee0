#include "io/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>
#ifdef __x86_64__
#include <xxh_x86dispatch.h> /* the same functions in the widest vectors there are: 11 GB/s to 16 */
#endif

#include "base/mem.h"
#include "io/file.h"

enum { SHA_BYTES = 32, STEP = 1 << 18 };

struct wn_sha {
    EVP_MD_CTX *ctx;
};

wn_err wn_sha_new(wn_sha **out)
{
    *out = NULL;
    wn_sha *s;
    WN_NEW(s, 1);
    s->ctx = EVP_MD_CTX_new();
    if (!s->ctx || EVP_DigestInit_ex(s->ctx, EVP_sha256(), NULL) != 1) {
        EVP_MD_CTX_free(s->ctx);
        wn_free(s);
        return wn_fail(WN_ENOMEM, "out of memory: a SHA-256 state");
    }
    *out = s;
    return WN_OK;
}

void wn_sha_add(wn_sha *s, const void *bytes, size_t n)
{
    WN_ASSERT(EVP_DigestUpdate(s->ctx, bytes, n) == 1);
}

void wn_sha_hex(wn_sha *s, char hex[WN_SHA_HEX])
{
    static const char digit[] = "0123456789abcdef";
    unsigned char raw[SHA_BYTES];
    WN_ASSERT(EVP_DigestFinal_ex(s->ctx, raw, NULL) == 1);
    EVP_MD_CTX_free(s->ctx);
    wn_free(s);
    for (int i = 0; i < SHA_BYTES; i++) {
        hex[2 * i] = digit[raw[i] >> 4];
        hex[2 * i + 1] = digit[raw[i] & 15];
    }
    hex[2 * SHA_BYTES] = '\0';
}

wn_err wn_sha_bytes(char hex[WN_SHA_HEX], const void *bytes, size_t n)
{
    wn_sha *s;
    WN_TRY(wn_sha_new(&s));
    wn_sha_add(s, bytes, n);
    wn_sha_hex(s, hex);
    return WN_OK;
}

static wn_err add_file(wn_sha *s, char *step, int fd, const char *path)
{
    for (;;) {
        ssize_t got = read(fd, step, STEP);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return wn_fail(WN_EIO, "%s: cannot read: %s", path, strerror(errno));
        if (got == 0)
            return WN_OK;
        wn_sha_add(s, step, (size_t)got);
    }
}

wn_err wn_sha_file(char hex[WN_SHA_HEX], const char *path)
{
    hex[0] = '\0';
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return wn_fail(WN_EIO, "%s: cannot open: %s", path, strerror(errno));
    wn_sha *s = NULL;
    char *step = wn_malloc(STEP);
    wn_err err = step ? wn_sha_new(&s) : WN_ENOMEM;
    if (err == WN_OK)
        err = add_file(s, step, fd, path);
    char done[WN_SHA_HEX];
    if (s)
        wn_sha_hex(s, done);
    if (err == WN_OK)
        memcpy(hex, done, sizeof done);
    wn_free(step);
    close(fd);
    return err;
}

wn_err wn_git_blob_file(char hex[WN_SHA_HEX], const char *path)
{
    wn_map map = {0};
    char head[48];
    unsigned char sum[EVP_MAX_MD_SIZE];
    unsigned n = 0;
    WN_TRY(wn_map_open(&map, path));
    size_t len = (size_t)snprintf(head, sizeof head, "blob %llu", (unsigned long long)map.size) + 1;
    EVP_MD_CTX *ctx = EVP_MD_CTX_new();
    bool done = ctx && EVP_DigestInit_ex(ctx, EVP_sha1(), NULL) == 1 &&
                EVP_DigestUpdate(ctx, head, len) == 1 &&
                EVP_DigestUpdate(ctx, map.data, (size_t)map.size) == 1 &&
                EVP_DigestFinal_ex(ctx, sum, &n) == 1;
    EVP_MD_CTX_free(ctx);
    wn_map_close(&map);
    if (!done)
        return wn_fail(WN_ENOMEM, "out of memory: a SHA-1 state");
    for (unsigned i = 0; i < n && 2 * i + 2 < WN_SHA_HEX; i++)
        snprintf(hex + 2 * i, 3, "%02x", sum[i]);
    return WN_OK;
}

wn_hash128 wn_hash(const void *bytes, size_t n, uint64_t seed)
{
    XXH128_hash_t h = XXH3_128bits_withSeed(bytes, n, seed);
    return (wn_hash128){.lo = h.low64, .hi = h.high64};
}

uint64_t wn_hash64(const void *bytes, size_t n, uint64_t seed)
{
    return XXH3_64bits_withSeed(bytes, n, seed);
}

/* Hashes: SHA-256 (libcrypto) for manifests, XXH3 (xxHash) for duplicates and n-grams. */
#ifndef WN_IO_HASH_H
#define WN_IO_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum { WN_SHA_HEX = 65 }; /* 64 digits and NUL */

typedef struct wn_sha wn_sha;
wn_err wn_sha_new(wn_sha **s);
void wn_sha_add(wn_sha *s, const void *bytes, size_t n);
void wn_sha_hex(wn_sha *s, char hex[WN_SHA_HEX]); /* finishes and frees */

wn_err wn_sha_bytes(char hex[WN_SHA_HEX], const void *bytes, size_t n);
wn_err wn_sha_file(char hex[WN_SHA_HEX], const char *path);
/* What git calls the file's contents: the SHA-1 of "blob SIZE", NUL and its bytes. */
wn_err wn_git_blob_file(char hex[WN_SHA_HEX], const char *path);

typedef struct wn_hash128 {
    uint64_t lo, hi;
} wn_hash128;
wn_hash128 wn_hash(const void *bytes, size_t n, uint64_t seed);
uint64_t wn_hash64(const void *bytes, size_t n, uint64_t seed);

#endif

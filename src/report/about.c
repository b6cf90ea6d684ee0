/* What this build is and runs on: version, compiler, libraries as loaded, processor. */
#include <jansson.h>
#include <openssl/crypto.h>
#include <oneapi/dnnl/dnnl.h>
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdio.h>
#include <utf8proc.h>
#include <xxhash.h>
#include <yaml.h>
#include <zlib.h>
#include <zstd.h>

#include "base/mem.h"
#include "base/par.h"
#include "base/ranks.h"
#include "io/json.h"
#include "kernel/kernel.h"

static wn_err libraries(json_t *o)
{
    const dnnl_version_t *dnnl = dnnl_version();
    char onednn[48], xxh[32], pcre[64] = "";
    unsigned x = XXH_versionNumber();
    snprintf(onednn, sizeof onednn, "%d.%d.%d", dnnl->major, dnnl->minor, dnnl->patch);
    snprintf(xxh, sizeof xxh, "%u.%u.%u", x / 10000, x / 100 % 100, x % 100);
    if (pcre2_config(PCRE2_CONFIG_VERSION, NULL) <= (int)sizeof pcre)
        pcre2_config(PCRE2_CONFIG_VERSION, pcre);
    json_t *libs = json_pack(
        "{s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s,s:s}", "jansson", jansson_version_str(), "libcrypto",
        OpenSSL_version(OPENSSL_VERSION_STRING), "libyaml", yaml_get_version_string(), "oneDNN",
        onednn, "pcre2", pcre, "utf8proc", utf8proc_version(), "xxhash", xxh, "zlib", zlibVersion(),
        "zstd", ZSTD_versionString());
    return libs != NULL && json_object_set_new(o, "libraries", libs) == 0
               ? WN_OK
               : wn_fail_nomem(0, "about");
}

#if defined(__clang__)
#define COMPILER "clang " __clang_version__
#else
#define COMPILER "gcc " __VERSION__
#endif

#if defined(__SANITIZE_ADDRESS__)
#define SANITIZED true
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITIZED true
#endif
#endif
#ifndef SANITIZED
#define SANITIZED false
#endif

wn_err wn_about(char **json)
{
    *json = NULL;
    char cpu[512];
    wn_cpu_features(cpu, sizeof cpu);
    json_t *o =
        json_pack("{s:s,s:s,s:b,s:s,s:s,s:b,s:i,s:b}", "version", WN_VERSION, "compiler", COMPILER,
                  "sanitized", SANITIZED, "cpu", cpu, "kernel", wn_kernel_name(), "fast_bf16",
                  wn_cpu_fast_bf16(), "threads", wn_par_threads(), "mpi", wn_ranks_built());
    wn_err err = o ? libraries(o) : wn_fail_nomem(0, "about");
    wn_str s = {0};
    if (err == WN_OK)
        err = wn_json_dump(&s, o, 2, false);
    json_decref(o);
    if (err != WN_OK)
        wn_str_free(&s);
    *json = s.p;
    return err;
}

void wn_text_free(char *text)
{
    wn_free(text);
}

#include "io/http.h"

#include <curl/curl.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>

#include "base/mem.h"
#include "io/file.h"

enum { TRIES = 5, REDIRECTS = 10, CONNECT_SEC = 30, STALLED_SEC = 60 };

struct wn_http {
    CURL *curl;
    char *token;
    long status;
    char etag[160], linked[160];
    char error[CURL_ERROR_SIZE];
    /* what the running request fills */
    wn_str *text;
    size_t limit;
    wn_append *file;
    const char *path;
    uint64_t from; /* where the asked range begins */
    wn_http_seen seen;
    void *ctx;
    wn_err failed;
};

wn_err wn_http_new(wn_http **out, const char *token)
{
    *out = NULL;
    wn_http *h;
    WN_NEW(h, 1);
    h->curl = curl_easy_init();
    h->token = token ? wn_strdup(token) : NULL;
    if (!h->curl || (token && !h->token)) {
        wn_http_free(h);
        return wn_fail_nomem(sizeof *h, "a connection");
    }
    *out = h;
    return WN_OK;
}

void wn_http_free(wn_http *h)
{
    if (!h)
        return;
    curl_easy_cleanup(h->curl);
    wn_free(h->token);
    wn_free(h);
}

long wn_http_status(const wn_http *h)
{
    return h->status;
}

const char *wn_http_etag(const wn_http *h)
{
    return h->linked[0] ? h->linked : h->etag;
}

/* ---- one request ---- */

static void keep_tag(char out[160], const char *value, size_t n)
{
    size_t k = 0;
    for (size_t i = 0; i < n && k + 1 < 160; i++)
        if (value[i] == '"')
            break;
        else if (value[i] > ' ')
            out[k++] = value[i];
    out[k] = '\0';
}

/* A redirecting hub tells the file's own tag as X-Linked-ETag, beside that of the redirection. */
static size_t on_header(char *line, size_t size, size_t n, void *ctx)
{
    wn_http *h = ctx;
    size_t len = size * n;
    static const char own[] = "etag:", linked[] = "x-linked-etag:";
    for (int k = 0; k < 2; k++) {
        const char *name = k ? linked : own;
        size_t skip = strlen(name);
        if (len <= skip || strncasecmp(line, name, skip) != 0)
            continue;
        while (skip < len && strchr(" \tW/\"", line[skip]))
            skip++;
        keep_tag(k ? h->linked : h->etag, line + skip, len - skip);
    }
    return len;
}

static wn_err take(wn_http *h, const char *bytes, size_t n)
{
    long status = 0;
    curl_easy_getinfo(h->curl, CURLINFO_RESPONSE_CODE, &status);
    if (status != 200 && status != 206)
        return WN_OK; /* an error's page */
    if (h->text) {
        if (h->text->len + n > h->limit)
            return wn_fail(WN_EFORMAT, "an answer of more than %zu bytes", h->limit);
        wn_str_add(h->text, bytes, n);
        return wn_str_check(h->text);
    }
    if (status == 200 && h->from) { /* all of it again */
        wn_append_close(h->file);
        WN_TRY(wn_append_open(h->file, h->path, 0));
        h->from = 0;
    }
    WN_TRY(wn_append_write(h->file, bytes, n));
    return h->seen ? h->seen(h->ctx, h->file->size) : WN_OK;
}

static size_t on_body(char *bytes, size_t size, size_t n, void *ctx)
{
    wn_http *h = ctx;
    h->failed = take(h, bytes, size * n);
    return h->failed ? 0 : size * n;
}

/* Errors of curl stay for the caller; those of our own side are in h->failed. */
static CURLcode request(wn_http *h, const char *url)
{
    CURL *c = h->curl;
    h->status = 0;
    h->etag[0] = h->linked[0] = h->error[0] = '\0';
    h->failed = WN_OK;
    curl_easy_reset(c);
    curl_easy_setopt(c, CURLOPT_URL, url);
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(c, CURLOPT_MAXREDIRS, (long)REDIRECTS);
    curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_SEC);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L);
    curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, (long)STALLED_SEC);
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_USERAGENT, "winnow/" WN_VERSION);
    curl_easy_setopt(c, CURLOPT_ERRORBUFFER, h->error);
    curl_easy_setopt(c, CURLOPT_HEADERFUNCTION, on_header);
    curl_easy_setopt(c, CURLOPT_HEADERDATA, h);
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, on_body);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, h);
    if (h->token) {
        curl_easy_setopt(c, CURLOPT_HTTPAUTH, (long)CURLAUTH_BEARER);
        curl_easy_setopt(c, CURLOPT_XOAUTH2_BEARER, h->token);
    }
    char range[32]; /* not CURLOPT_RESUME_FROM: that fails where the server sends all */
    snprintf(range, sizeof range, "%llu-", (unsigned long long)h->from);
    if (h->from)
        curl_easy_setopt(c, CURLOPT_RANGE, range);
    CURLcode code = curl_easy_perform(c);
    curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &h->status);
    return code;
}

static wn_err unreachable(const wn_http *h, const char *url, CURLcode code)
{
    return wn_fail(WN_EIO, "%s: %s", url, h->error[0] ? h->error : curl_easy_strerror(code));
}

static bool passes(const wn_http *h, CURLcode code)
{
    return code != CURLE_OK ? code != CURLE_UNSUPPORTED_PROTOCOL && code != CURLE_URL_MALFORMAT &&
                                  code != CURLE_TOO_MANY_REDIRECTS && !h->failed
                            : h->status == 429 || h->status >= 500;
}

/* A quarter of a second, then twice as long each time. */
static void pause_before(int again)
{
    struct timespec t = {(1 << again) / 8, (1 << again) % 8 * 125000000L};
    nanosleep(&t, NULL);
}

/* ---- texts and files ---- */

wn_err wn_http_text(wn_str *text, wn_http *h, const char *url, size_t limit)
{
    CURLcode code = CURLE_OK;
    h->text = text;
    h->limit = limit;
    h->from = 0;
    for (int again = 0; again < TRIES; again++) {
        wn_str_clear(text);
        code = request(h, url);
        if (!passes(h, code) || again + 1 == TRIES)
            break;
        pause_before(again + 1);
    }
    h->text = NULL;
    if (h->failed)
        return h->failed;
    if (code != CURLE_OK)
        return unreachable(h, url, code);
    if (h->status != 200)
        return wn_fail(WN_EIO, "%s: expected status 200, found %ld", url, h->status);
    return WN_OK;
}

static wn_err file_once(wn_http *h, const char *url, const char *path, CURLcode *code)
{
    struct stat st;
    wn_append file = {0};
    h->from = stat(path, &st) == 0 ? (uint64_t)st.st_size : 0;
    WN_TRY(wn_append_open(&file, path, h->from));
    h->file = &file;
    h->path = path;
    *code = request(h, url);
    wn_err e = h->failed ? h->failed : wn_append_sync(&file);
    wn_append_close(&file);
    h->file = NULL;
    return e;
}

wn_err wn_http_file(wn_http *h, const char *url, const char *path, wn_http_seen seen, void *ctx)
{
    CURLcode code = CURLE_OK;
    h->seen = seen;
    h->ctx = ctx;
    for (int again = 0; again < TRIES; again++) {
        WN_TRY(file_once(h, url, path, &code));
        if (code == CURLE_OK && h->status == 416) { /* nothing behind what is there */
            WN_TRY(wn_remove_tree(path));
            continue;
        }
        if (!passes(h, code) || again + 1 == TRIES)
            break;
        pause_before(again + 1);
    }
    if (code != CURLE_OK)
        return unreachable(h, url, code);
    if (h->status != 200 && h->status != 206)
        return wn_fail(WN_EIO, "%s: expected status 200, found %ld", url, h->status);
    return WN_OK;
}

/* Reading over HTTP(S) with libcurl: short texts and large files that go on where they stopped. */
#ifndef WN_IO_HTTP_H
#define WN_IO_HTTP_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"

typedef struct wn_http wn_http;

/* token: sent as "Authorization: Bearer" to the first server, not to others it redirects to; NULL:
 * none. One thread at a time. */
wn_err wn_http_new(wn_http **out, const char *token);
void wn_http_free(wn_http *h);

/* The status of the last answer (0: none came) and its ETag without quotes ("": none), the first
 * server's where it redirects. */
long wn_http_status(const wn_http *h);
const char *wn_http_etag(const wn_http *h);

/* The whole text at url, refused above `limit` bytes. A status other than 200 is WN_EIO, its text
 * naming url and status; wn_http_status tells which. */
wn_err wn_http_text(wn_str *text, wn_http *h, const char *url, size_t limit);

/* Told of every piece: bytes of the file so far. Anything but WN_OK stops. */
typedef wn_err (*wn_http_seen)(void *ctx, uint64_t bytes);
/* url to the file at path. What is there already is the beginning: only the rest is asked for; a
 * server that cannot do that sends all, which then replaces it. Broken connections, 429 and 5xx
 * are tried again a few times, each going on from what has come. On failure the part stays. */
wn_err wn_http_file(wn_http *h, const char *url, const char *path, wn_http_seen seen, void *ctx);

#endif

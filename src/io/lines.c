/* Lines of plain, gzip and Zstandard streams. One buffer of raw bytes, one of text; a line is
 * handed out as a span of the text buffer, which is moved down and refilled only when no whole line
 * is left. What the stream is, its first bytes say, not its name. Several gzip members or Zstandard
 * frames in a row are one stream, as their own tools treat them; an end of file inside of one is an
 * error. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "base/mem.h"
#include "io/file.h"

enum { RAW_BYTES = 1 << 17, FIRST_TEXT = 1 << 17 };
enum kind { PLAIN, GZIP, ZSTD };

struct wn_lines {
    int fd;
    char *path;
    enum kind kind;
    z_stream z;
    ZSTD_DStream *zs;
    bool inside; /* in the midst of a gzip member or a Zstandard frame */
    bool raw_end, text_end, stop, drop_mark;
    char *raw; /* bytes as read: raw[raw_at, raw_len) are not consumed yet */
    size_t raw_at, raw_len;
    char *text; /* text[at, len) is not handed out; text[at, seen) has no newline */
    size_t at, seen, len, cap;
    uint64_t number;
};

static wn_err fill_raw(wn_lines *l)
{
    if (l->raw_at < l->raw_len || l->raw_end)
        return WN_OK;
    ssize_t got;
    do
        got = read(l->fd, l->raw, RAW_BYTES);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return wn_fail(WN_EIO, "%s: cannot read: %s", l->path, strerror(errno));
    l->raw_at = 0;
    l->raw_len = (size_t)got;
    l->raw_end = got == 0;
    return WN_OK;
}

static wn_err damaged(const wn_lines *l, const char *what)
{
    return wn_fail(WN_EFORMAT, "%s: damaged %s stream after line %llu: %s", l->path,
                   l->kind == GZIP ? "gzip" : "zstd", (unsigned long long)l->number, what);
}

static wn_err inflate_some(wn_lines *l)
{
    if (!l->inside) {
        inflateReset(&l->z);
        l->inside = true;
    }
    size_t room = l->cap - l->len;
    l->z.next_in = (Bytef *)(l->raw + l->raw_at);
    l->z.avail_in = (uInt)(l->raw_len - l->raw_at);
    l->z.next_out = (Bytef *)(l->text + l->len);
    l->z.avail_out = (uInt)(room < UINT_MAX ? room : UINT_MAX);
    uInt before = l->z.avail_out;
    int r = inflate(&l->z, Z_NO_FLUSH);
    l->raw_at = l->raw_len - l->z.avail_in;
    l->len += before - l->z.avail_out;
    if (r == Z_STREAM_END)
        l->inside = false;
    else if (r == Z_MEM_ERROR)
        return wn_fail_nomem(0, "a gzip stream");
    else if (r != Z_OK && r != Z_BUF_ERROR)
        return damaged(l, l->z.msg ? l->z.msg : "bad data");
    return WN_OK;
}

static wn_err unzstd_some(wn_lines *l)
{
    ZSTD_inBuffer in = {l->raw, l->raw_len, l->raw_at};
    ZSTD_outBuffer out = {l->text, l->cap, l->len};
    size_t r = ZSTD_decompressStream(l->zs, &out, &in);
    l->raw_at = in.pos;
    l->len = out.pos;
    if (ZSTD_isError(r))
        return damaged(l, ZSTD_getErrorName(r));
    l->inside = r != 0;
    return WN_OK;
}

/* Text for at least one more byte, or text_end. There is room. */
static wn_err fill_text(wn_lines *l)
{
    size_t had = l->len;
    while (l->len == had) {
        WN_TRY(fill_raw(l));
        /* A decompressor may still hold text when all raw bytes are in it: it is asked until it
         * gives nothing. */
        if (l->raw_end && l->raw_at >= l->raw_len && (l->kind == PLAIN || !l->inside)) {
            l->text_end = true;
            return WN_OK;
        }
        if (l->kind == PLAIN) {
            size_t n = l->raw_len - l->raw_at, room = l->cap - l->len;
            n = n < room ? n : room;
            memcpy(l->text + l->len, l->raw + l->raw_at, n);
            l->raw_at += n;
            l->len += n;
            continue;
        }
        WN_TRY(l->kind == GZIP ? inflate_some(l) : unzstd_some(l));
        if (l->raw_end && l->len == had && l->inside)
            return damaged(l, "it ends early");
    }
    return WN_OK;
}

static bool ends_with(const char *s, const char *tail)
{
    size_t n = strlen(s), k = strlen(tail);
    return n >= k && strcmp(s + n - k, tail) == 0;
}

/* The first bytes, however slowly a pipe delivers them. */
static wn_err peek(wn_lines *l)
{
    while (l->raw_len < 4) {
        ssize_t got = read(l->fd, l->raw + l->raw_len, RAW_BYTES - l->raw_len);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return wn_fail(WN_EIO, "%s: cannot read: %s", l->path, strerror(errno));
        if (got == 0)
            break;
        l->raw_len += (size_t)got;
    }
    return WN_OK;
}

static wn_err begin(wn_lines *l)
{
    WN_TRY(peek(l));
    const unsigned char *b = (const unsigned char *)l->raw;
    if (l->raw_len >= 2 && b[0] == 0x1f && b[1] == 0x8b)
        l->kind = GZIP;
    else if (l->raw_len >= 4 && (memcmp(b, "\x28\xb5\x2f\xfd", 4) == 0 ||
                                 ((b[0] & 0xf0) == 0x50 && memcmp(b + 1, "\x2a\x4d\x18", 3) == 0)))
        l->kind = ZSTD;
    else if (l->raw_len < 4 && (ends_with(l->path, ".gz") || ends_with(l->path, ".zst")))
        return wn_fail(WN_EFORMAT, "%s: expected a compressed stream, found %zu bytes", l->path,
                       l->raw_len);
    if (l->kind == GZIP && inflateInit2(&l->z, 15 + 16) != Z_OK) {
        l->kind = PLAIN;
        return wn_fail_nomem(0, "a gzip stream");
    }
    if (l->kind == ZSTD && !(l->zs = ZSTD_createDStream()))
        return wn_fail_nomem(0, "a zstd stream");
    l->inside = l->kind != PLAIN;
    return WN_OK;
}

static wn_err open_lines(wn_lines *l, const char *path)
{
    bool std_in = strcmp(path, "-") == 0;
    l->path = wn_strdup(std_in ? "standard input" : path);
    l->raw = wn_malloc(RAW_BYTES);
    l->text = wn_malloc(FIRST_TEXT);
    if (!l->path || !l->raw || !l->text)
        return WN_ENOMEM;
    l->cap = FIRST_TEXT;
    if (std_in)
        l->fd = STDIN_FILENO;
    else if ((l->fd = open(path, O_RDONLY | O_CLOEXEC)) < 0)
        return wn_fail(WN_EIO, "%s: cannot open: %s", path, strerror(errno));
    return begin(l);
}

wn_err wn_lines_open(wn_lines **out, const char *path)
{
    *out = NULL;
    wn_lines *l;
    WN_NEW(l, 1);
    l->fd = -1;
    wn_err err = open_lines(l, path);
    if (err != WN_OK) {
        wn_lines_close(l);
        return err;
    }
    *out = l;
    return WN_OK;
}

void wn_lines_drop_mark(wn_lines *l)
{
    l->drop_mark = true;
}

/* Moves what is left to the front, or grows where it fills the buffer already. */
static wn_err make_room(wn_lines *l)
{
    if (l->len < l->cap)
        return WN_OK;
    if (l->at > 0) {
        memmove(l->text, l->text + l->at, l->len - l->at);
        l->len -= l->at;
        l->seen -= l->at;
        l->at = 0;
        if (l->len <= l->cap / 2)
            return WN_OK;
    }
    if (l->len > WN_LINE_MAX)
        return wn_fail(WN_EFORMAT, "%s:%llu: expected a line of at most %d bytes, found more",
                       l->path, (unsigned long long)l->number + 1, (int)WN_LINE_MAX);
    char *p = wn_realloc(l->text, l->cap * 2);
    if (!p)
        return WN_ENOMEM;
    l->text = p;
    l->cap *= 2;
    return WN_OK;
}

static bool give(wn_lines *l, wn_span *line, size_t end, size_t next, wn_err *err)
{
    l->number++;
    line->p = l->text + l->at;
    line->len = end - l->at;
    if (line->len && line->p[line->len - 1] == '\r')
        line->len--;
    if (l->number == 1 && l->drop_mark && line->len >= 3 && !memcmp(line->p, "\xef\xbb\xbf", 3))
        *line = (wn_span){line->p + 3, line->len - 3};
    l->at = l->seen = next;
    if (line->len <= WN_LINE_MAX)
        return true;
    l->stop = true;
    *err = wn_fail(WN_EFORMAT, "%s:%llu: expected a line of at most %d bytes, found %zu", l->path,
                   (unsigned long long)l->number, (int)WN_LINE_MAX, line->len);
    return false;
}

bool wn_lines_next(wn_lines *l, wn_span *line, wn_err *err)
{
    *err = WN_OK;
    *line = (wn_span){"", 0};
    while (!l->stop) {
        const char *nl =
            l->seen < l->len ? memchr(l->text + l->seen, '\n', l->len - l->seen) : NULL;
        if (nl)
            return give(l, line, (size_t)(nl - l->text), (size_t)(nl - l->text) + 1, err);
        l->seen = l->len;
        if (l->text_end) {
            if (l->at == l->len)
                return false;
            return give(l, line, l->len, l->len, err);
        }
        *err = make_room(l);
        if (*err == WN_OK)
            *err = fill_text(l);
        if (*err != WN_OK) {
            l->stop = true;
            return false;
        }
    }
    return false;
}

uint64_t wn_lines_number(const wn_lines *l)
{
    return l->number;
}

void wn_lines_close(wn_lines *l)
{
    if (!l)
        return;
    if (l->fd > STDIN_FILENO)
        close(l->fd);
    if (l->kind == GZIP)
        inflateEnd(&l->z);
    ZSTD_freeDStream(l->zs);
    wn_free(l->path);
    wn_free(l->raw);
    wn_free(l->text);
    wn_free(l);
}

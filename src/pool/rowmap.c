#include "pool/rowmap.h"
wn_err wn_rowmap_open(wn_rowmap **out, const char *map)
{
    *out = NULL;
    return wn_fail(WN_EARG, "%s: maps come later", map);
}
void wn_rowmap_close(wn_rowmap *m)
{
    (void)m;
}
bool wn_rowmap_is_document(const wn_rowmap *m)
{
    (void)m;
    return false;
}
wn_err wn_rowmap_line(const wn_rowmap *m, wn_str *out, wn_reject *why, wn_span line,
                      const wn_place *at)
{
    (void)m;
    (void)out;
    (void)why;
    (void)line;
    (void)at;
    return WN_OK;
}
wn_err wn_rowmap_document(const wn_rowmap *m, wn_reject *why, wn_span text, const wn_place *at,
                          wn_rowmap_emit emit, void *ctx)
{
    (void)m;
    (void)why;
    (void)text;
    (void)at;
    (void)emit;
    (void)ctx;
    return WN_OK;
}

#include "eval/job.h"

#include <string.h>

#include "base/mem.h"
#include "io/file.h"
#include "kernel/kernel.h"

bool wn_out_is_file(const char *out)
{
    return out && strcmp(out, "-") != 0;
}

static wn_err fill(json_t *manifest, wn_model *m, wn_pool *rows)
{
    char hex[WN_SHA_HEX];
    if (m) {
        json_t *model;
        WN_TRY(wn_model_manifest(&model, m));
        json_object_set_new(manifest, "model", model);
    }
    WN_TRY(wn_pool_sha(rows, hex));
    json_object_set_new(manifest, "rows",
                        json_pack("{s:s, s:s, s:I}", "path", wn_pool_path(rows), "sha256", hex,
                                  "count", (json_int_t)wn_pool_rows(rows)));
    return WN_OK;
}

wn_err wn_eval_manifest(json_t **out, const char *format, const wn_common *common, wn_model *m,
                        wn_pool *rows, json_t *options)
{
    wn_common resolved = *common;
    *out = NULL;
    if (!wn_out_is_file(common->out)) {
        json_decref(options);
        return WN_OK;
    }
    if (m)
        resolved.precision = wn_model_facts_of(m)->precision;
    wn_err err = wn_manifest_new(out, format, &resolved, wn_kernel_name());
    if (err) {
        json_decref(options);
        return err;
    }
    json_object_set_new(*out, "options", options);
    err = fill(*out, m, rows);
    if (err) {
        json_decref(*out);
        *out = NULL;
    }
    return err;
}

wn_err wn_eval_manifest_write(const char *out, const json_t *manifest)
{
    wn_str path = {0};
    if (!wn_out_is_file(out))
        return WN_OK;
    wn_str_printf(&path, "%s.manifest.json", out);
    wn_err err = wn_str_check(&path);
    if (err == WN_OK)
        err = wn_manifest_write(path.p, manifest);
    wn_str_free(&path);
    return err;
}

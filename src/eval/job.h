/* What the jobs of this folder share. */
#ifndef WN_EVAL_JOB_H
#define WN_EVAL_JOB_H

#include "eval/eval.h"
#include "io/manifest.h"

bool wn_out_is_file(const char *out);

/* What an output was made from: format, model (NULL: none), rows, and `options` (taken over); NULL
 * where the output is no file, since hashing a model takes as long as reading it. */
wn_err wn_eval_manifest(json_t **out, const char *format, const wn_common *common, wn_model *m,
                        wn_pool *rows, json_t *options);
/* OUT.manifest.json; nothing where out is no file. */
wn_err wn_eval_manifest_write(const char *out, const json_t *manifest);

#endif

/* What the jobs of this folder share. */
#ifndef WN_EVAL_JOB_H
#define WN_EVAL_JOB_H

#include "eval/eval.h"
#include "io/manifest.h"

bool wn_out_is_file(const char *out);

/* OUT.manifest.json: format, model (NULL: none), rows, and `options` (taken over). */
wn_err wn_eval_manifest(const char *format, const wn_common *common, wn_model *m, wn_pool *rows,
                        json_t *options);

#endif

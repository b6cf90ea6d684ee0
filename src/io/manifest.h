/* Manifests: what an artefact was made from. JSON with sorted keys, no clock times, so equal work
 * gives equal bytes. */
#ifndef WN_IO_MANIFEST_H
#define WN_IO_MANIFEST_H

#include "io/json.h"

const char *wn_precision_name(wn_precision p); /* "auto", "f32", "bf16", "int8" */

/* {"format": format, "version": WN_VERSION, "seed": ..., "precision": ..., "kernel": ...} to start
 * from. */
wn_err wn_manifest_new(json_t **out, const char *format, const wn_common *common,
                       const char *kernel);
wn_err wn_manifest_write(const char *path, const json_t *m);
/* Compares two manifests member by member; on the first difference fails with WN_EARG: "WHERE:
 * FIELD is OLD there, but NEW here". Members in `ignore` (NULL-terminated, may be NULL) are
 * skipped. */
wn_err wn_manifest_match(const json_t *old, const json_t *now, const char *where,
                         const char *const *ignore);
/* Collective (base/ranks.h): forwards the failure of a rank; then refuses where a rank has made
 * another manifest than rank 0, naming the field. m: NULL with a failure. */
wn_err wn_manifest_agree(wn_err made, const json_t *m);

#endif

/* What is said of imported rows, read to its end and checked before a store is begun: a wrong file
 * leaves nothing half-written. Private to src/store. */
#ifndef WN_STORE_IMPORT_IDS_H
#define WN_STORE_IMPORT_IDS_H

#include "io/hash.h"
#include "store/store.h"

typedef struct wn_import_ids wn_import_ids;

/* path: a line an id, or JSON lines with id, task, loss, margin; plain, .gz, .zst, or "-". task: of
 * lines that name none (borrowed). *sha: of the lines, whatever their form. Refused by line: what
 * is no id, and an id given twice; and a number of lines other than `rows`, those of `array`. Holds
 * 24 bytes a row in memory, the texts in an unlinked temporary in $TMPDIR. */
wn_err wn_import_ids_open(wn_import_ids **out, char sha[WN_SHA_HEX], const char *path,
                          const char *task, uint64_t rows, const char *array);
/* Fills id, task, loss and margin of row r; the texts are valid until the next call. */
wn_err wn_import_ids_row(wn_store_row *out, wn_import_ids *ids, uint64_t r);
void wn_import_ids_close(wn_import_ids *ids);

#endif

/* Temporary files in $TMPDIR (or /tmp) that are unlinked at once: nobody sees them, and nothing
 * stays of them however the process ends. */
#ifndef WN_IO_TEMP_H
#define WN_IO_TEMP_H

#include "io/file.h"

/* *fd to read and write; *path is what it was called, for errors: wn_free it, also on failure. */
wn_err wn_temp_open(int *fd, char **path);
/* Standard input to its end, by way of a temporary, mapped; wn_map_close. Says how far it is in MB
 * (stage "standard input"), which is also what errors call it. */
wn_err wn_temp_stdin(wn_map *m);

#endif

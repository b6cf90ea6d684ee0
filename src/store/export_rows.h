/* Rows in the shapes that other trainers read. Private to src/store. */
#ifndef WN_STORE_EXPORT_ROWS_H
#define WN_STORE_EXPORT_ROWS_H

#include "base/err.h"

bool wn_export_of_rows(const char *format); /* whether a format is one of rows */
/* o->store: rows in any form. A line a row, in their order; a row without a target is refused. */
wn_err wn_export_rows(const wn_export_opts *o);

#endif

/* The library's two ways to say something without printing: the callbacks of winnow.h. */
#ifndef WN_BASE_REPORT_H
#define WN_BASE_REPORT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

/* Calls the progress callback at most some times a second (always for done == total); WN_ESTOP if
 * it asks to stop. note NULL or a short text. */
wn_err wn_progress(const char *stage, const char *unit, uint64_t done, uint64_t total,
                   const char *note);
void wn_message(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
/* Silences both, for measurements that run jobs whose words are nobody's business. */
void wn_hush(bool on);
double wn_seconds(void); /* monotonic clock, for rates and logs only */

#endif

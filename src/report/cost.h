/* What the parts of an experiment cost: seconds of each, kept in log.jsonl beside the artefacts
 * (never in manifests), so that a later run knows what earlier ones spent; and from them the time
 * left. */
#ifndef WN_REPORT_COST_H
#define WN_REPORT_COST_H

#include <stdint.h>

#include "io/file.h"

typedef struct wn_cost wn_cost;

/* Reads DIR/log.jsonl where it is there (a torn last line is cut off) and opens it for more. */
wn_err wn_cost_open(wn_cost **out, const char *dir);
void wn_cost_close(wn_cost *c);

/* A line {"part","stage","seconds","done"}. A part that was interrupted adds up over its runs until
 * a run `anew` begins. work: what the seconds are in proportion to (rows), 0 unknown. */
wn_err wn_cost_add(wn_cost *c, const char *part, const char *stage, double seconds, uint64_t work,
                   bool done);
/* The part is made again from its beginning: earlier seconds of it no longer count. */
wn_err wn_cost_anew(wn_cost *c, const char *part);

/* Seconds of a part; 0 where it never ran. */
double wn_cost_of(const wn_cost *c, const char *part);
/* What a part of this stage will take by the finished ones of it; false where there is none. */
bool wn_cost_guess(double *seconds, const wn_cost *c, const char *stage, uint64_t work);

/* "3.1 s", "42 s", "2 min 05 s", "1 h 12 min", "3 d 07 h". */
void wn_cost_text(wn_str *s, double seconds);

#endif

/* The verdict of an experiment: what each arm reached, and what may be said of one against another.
 */
#ifndef WN_REPORT_VERDICT_H
#define WN_REPORT_VERDICT_H

#include "report/plan.h"

/* Reads the parts' outputs and makes the tree of verdict.json: the fields of the contract, and
 * besides for every arm what was picked, for every comparison a plain sentence. json_decref it. */
wn_err wn_verdict_make(json_t **verdict, wn_run *r);

/* The same as text for a terminal: a table a target, the sentences, what was picked, what it cost.
 * Takes any JSON: a missing or misshapen member is left out, so a file by hand cannot break it. */
wn_err wn_verdict_text(wn_str *s, const json_t *verdict);

/* The sentence of a comparison: "deft vs random on wic: cannot tell (difference +1.2 points, 95 %
 * interval -3.0 to +5.4, p = 0.58)". Points are hundredths; nll is in its own unit. */
void wn_verdict_sentence(wn_str *s, const char *target, const char *metric, const json_t *compare);

#endif

/* What an experiment will cost, part by part. */
#ifndef WN_REPORT_PRICE_H
#define WN_REPORT_PRICE_H

#include "io/json.h"
#include "winnow.h"

/* Measures, and reckons: what `winnow plan --json` prints. */
wn_err wn_price(json_t **doc, const wn_plan_opts *o);
/* The same for a terminal; reads the tree of wn_price. */
wn_err wn_price_text(wn_str *s, const json_t *doc);

#endif

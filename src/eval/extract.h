/* An answer out of what a model said, by rule. Rules stand in a chain, each reading what the one
 * before it found:
 *   first-yes-no  the first word that is yes or no, in whatever case
 *   letter        the first capital A to Z that stands alone (no letter or digit beside it) and is
 *                 no article (an A or I, a blank, a lower-case letter); a small one before ")" too
 *   number        the last number; first-number the first. Commas between groups of three digits
 *                 and zeros behind the point go: "$1,200.50" is 1200.5
 *   after:TEXT    what stands behind the first TEXT, to the end of its line
 *   line          the first line that is not blank
 *   regex:EXPR    the first match, or what its first group took, if it has one
 * Blanks at the ends are dropped before and after every rule. */
#ifndef WN_EVAL_EXTRACT_H
#define WN_EVAL_EXTRACT_H

#include <stdbool.h>

#include "base/str.h"

typedef struct wn_extract wn_extract;

/* n rules as on the command line. An unknown one is refused with the list. n 0: only blanks are
 * dropped. */
wn_err wn_extract_open(wn_extract **out, const char *const *rule, size_t n);
void wn_extract_close(wn_extract *p);

/* out points into text or into the chain's own memory, until the next call. *found false: some rule
 * found nothing; out is then empty. */
wn_err wn_extract_text(wn_span *out, bool *found, wn_extract *p, wn_span text);

/* Whether some rule is "letter", whose letter may name the place of a choice; and whether right
 * answers are read by the chain as well (all rules but line and regex, which cut them). */
bool wn_extract_letters(const wn_extract *p);
bool wn_extract_reads_answers(const wn_extract *p);

#endif

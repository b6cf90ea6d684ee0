/* Gradients: one row of numbers for each example, with its loss and margin. */
#ifndef WN_FEATURE_GRAD_H
#define WN_FEATURE_GRAD_H

#include "feature/feed.h"
#include "feature/gradsink.h"

enum { WN_GRAD_DIM = 400 }; /* numbers of a projected gradient where nothing else is asked for */

typedef struct wn_grad_rule {
    wn_quantity quantity;
    wn_encode_rule encode;
    size_t
        batch_tokens; /* computed at once, on each side; 0: 2048. Memory, never a number's bits */
    uint64_t max_memory; /* 0: no limit */
} wn_grad_rule;
wn_err wn_quantity_parse(wn_quantity *q, const char *name); /* NULL: loss */
const char *wn_quantity_name(wn_quantity q);

typedef struct wn_grad_row {
    uint64_t index;
    const wn_row *row;
    const float *vector; /* [dim] */
    uint32_t tokens;
    float loss, margin; /* means over the target tokens; the margin clipped as the quantity says */
} wn_grad_row;
typedef wn_err (*wn_grad_emit)(void *ctx, const wn_grad_row *r);

/* Bytes that wn_grad_rows allocates; of the feed only its longest row and most labels are read. */
uint64_t wn_grad_bytes(const wn_model *m, const wn_feed *feed, const wn_grad_rule *rule,
                       const wn_grad_sink_opts *sink);
/* Refuses, before anything is begun, what would take more than max_memory. */
wn_err wn_grad_fits(const wn_model *m, const wn_feed *feed, const wn_grad_rule *rule,
                    const wn_grad_sink_opts *sink);

/* Gradients of rows [first, ...) of the feed's pool at the model's parameters, handed to `emit` in
 * row order. Collective: of several ranks (base/ranks.h) each makes the gradients of every n-th
 * batch, and on rank 0 alone rows are emitted. sink: its projection, moments and choice; the sizes
 * are filled in here. The chosen parameters are trainable (wn_choose). Dropout is off. Refused:
 * more memory than max_memory, before the first row; a row whose loss, margin or gradient is not a
 * number, by id. */
wn_err wn_grad_rows(wn_model *m, wn_feed *feed, uint64_t first, const wn_grad_rule *rule,
                    const wn_grad_sink_opts *sink, wn_grad_emit emit, void *ctx);

#endif

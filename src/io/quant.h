/* What an element type is: a row of the tables of tensor.c and quant.c. */
#ifndef WN_IO_QUANT_H
#define WN_IO_QUANT_H

#include "io/tensor.h"

typedef struct wn_dtype_form {
    const char *name;
    uint16_t block, bytes; /* elements; bytes a block */
    void (*to_f32)(float *restrict out, const uint8_t *restrict in, size_t n); /* n blocks */
} wn_dtype_form;

/* t: WN_Q8_0 or one behind it. */
const wn_dtype_form *wn_quant_form(wn_dtype t);

#endif

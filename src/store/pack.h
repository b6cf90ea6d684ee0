/* Rows of numbers in the types that a store can hold.
 *
 *   type  bytes a row  a stored number
 *   f32   4 dim        as it came
 *   f16   2 dim        rounded to the nearest, ties to even
 *   bf16  2 dim        rounded to the nearest, ties to even
 *   int8  4 + dim      q * scale, rounded to f32: an f32 scale, then the q, -127 .. 127;
 *                      scale = max |x| / 127, q = x / scale rounded, so |x - q scale| <= scale / 2
 *                      but for rounding; a row of zeros has scale 0
 *
 * What is read back is *the* stored vector, exactly; rounding happens once, here. */
#ifndef WN_STORE_PACK_H
#define WN_STORE_PACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

typedef enum wn_store_type {
    WN_STORE_F32 = 1,
    WN_STORE_F16,
    WN_STORE_BF16,
    WN_STORE_INT8
} wn_store_type;

const char *wn_store_type_name(wn_store_type t);
bool wn_store_type_known(uint32_t number);
/* NULL: f32. An unknown name is refused as --store-dtype. */
wn_err wn_store_type_parse(wn_store_type *t, const char *name);
size_t wn_store_type_bytes(wn_store_type t, size_t dim); /* of a row */

/* Index of the first number that the type cannot hold (NaN, infinity, too large), dim: none. f32
 * holds everything. */
size_t wn_store_unfit(wn_store_type t, const float *v, size_t dim);
/* One row; wn_store_unfit has found nothing. */
void wn_store_pack(char *out, wn_store_type t, const float *v, size_t dim);
/* n rows that lie one behind the other. */
void wn_store_unpack(float *out, wn_store_type t, const char *rows, size_t dim, size_t n);

#endif

/* NumPy .npy files, format 1.0 and 2.0, C order, little-endian. */
#ifndef WN_IO_NPY_H
#define WN_IO_NPY_H

#include "io/file.h"
#include "io/tensor.h"

/* A 1-D or 2-D array ("-": on standard input) of f32, f16, f64, i32 or i64; Fortran order, other
 * types, big-endian and short files are refused by name. f64 is handed out by wn_npy_f32 rounded to
 * f32. */
typedef struct wn_npy {
    wn_map map;
    int ndim;
    uint64_t rows, cols; /* cols 1 for 1-D */
    char kind;           /* 'f' or 'i' */
    int width;           /* bytes an element */
    const char *data;
} wn_npy;
wn_err wn_npy_open(wn_npy *a, const char *path);
void wn_npy_close(wn_npy *a);
wn_err wn_npy_f32(float *out, const wn_npy *a, uint64_t first_row, uint64_t rows);

/* A header for a [rows, cols] f32 array; follow with rows*cols floats. */
wn_err wn_npy_header(wn_out *o, uint64_t rows, uint64_t cols);

#endif

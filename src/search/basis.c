/* Centre and unit of codes: any would be right, these leave little to be coded. */
#include "search/codes.h"

#include <math.h>

#include "base/mem.h"

/* A row as it is before the centre is taken: scaled to length 1 for cosines. */
static double scale_of(const wn_basis *b, const float *x)
{
    double norm = b->cosine ? sqrt(wn_exact_dot(x, x, b->D)) : 1;
    return norm > 0 ? 1 / norm : 0;
}

static void find_centre(wn_basis *b, double *sum, const float *sample, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        double scale = scale_of(b, sample + i * b->D);
        for (size_t k = 0; k < b->D; k++)
            sum[k] += (double)sample[i * b->D + k] * scale;
    }
    for (size_t k = 0; k < b->D; k++)
        b->centre[k] = n ? (float)(sum[k] / (double)n) : 0;
}

/* The power of two that brings the longest row near 1. */
static float find_unit(const wn_basis *b, const float *sample, size_t n)
{
    double most = 0;
    int exponent;
    for (size_t i = 0; i < n; i++)
        most = fmax(most, wn_exact_distance2(sample + i * b->D, b->centre, b->D));
    frexp(sqrt(most), &exponent);
    if (b->cosine || !(most > 0) || !isfinite(most))
        return 1;
    return ldexpf(1, exponent > 60 ? -60 : exponent < -60 ? 60 : -exponent);
}

wn_err wn_basis_new(wn_basis *b, const float *sample, size_t n, size_t D, bool cosine)
{
    *b = (wn_basis){.D = D, .d = wn_code_length(D), .cosine = cosine};
    double *sum;
    WN_NEW(sum, D);
    b->centre = wn_malloc(D * sizeof *b->centre);
    if (b->centre) {
        find_centre(b, sum, sample, n);
        b->unit = find_unit(b, sample, n);
    }
    wn_free(sum);
    return b->centre ? WN_OK : WN_ENOMEM;
}

void wn_basis_free(wn_basis *b)
{
    wn_free(b->centre);
    *b = (wn_basis){0};
}

/* A store of made-up rows, to measure searches that no real pool at hand is large enough for.
 *
 * bench_store OUT ROWS DIM SEED */
#include <stdio.h>
#include <stdlib.h>

#include "report/pace_data.h"

int main(int argc, char **argv)
{
    if (argc != 5) {
        fprintf(stderr, "bench_store OUT ROWS DIM SEED\n");
        return 2;
    }
    wn_err e = wn_pace_store(argv[1], strtoull(argv[2], NULL, 10), strtoull(argv[3], NULL, 10),
                             strtoull(argv[4], NULL, 10));
    if (e)
        fprintf(stderr, "bench_store: %s\n", wn_error_message());
    return e != WN_OK;
}

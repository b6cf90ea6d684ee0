/* The fast kernels. */
#include "kernel/table.h"

typedef int wn_fast_is_not_here_yet;

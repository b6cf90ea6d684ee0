#!/bin/sh
# A library is used in the folder that is for it (report/about.c asks all for their versions), and the tool
# uses the library only through winnow.h, base and io.
set -eu
cd "$(dirname "$0")/../.."
bad=0
only() { # HEADER FOLDERS
    for file in $(grep -lE "^# *include *<$1>" src/*/*.[ch] || true); do
        folder=${file#src/}
        case " $2 " in
        *" ${folder%%/*} "*) ;;
        *) case $file in src/report/about.c | src/report/bench_job.c) true ;; *) false ;; esac || { echo "$file: <$1> belongs in $2"; bad=1; } ;;
        esac
    done
}
only 'zlib\.h' io
only 'zstd\.h' io
only 'yaml\.h' io
only 'xxhash\.h' io
only 'curl/.*' io
only 'openssl/.*' io
only 'oneapi/.*' kernel
only 'pcre2\.h' "token"
only 'utf8proc\.h' "pool token select eval"
only 'omp\.h' "base kernel"
only 'mpi\.h' base
exit $bad

#!/bin/sh
# malloc and its kin are called only in src/base.
set -eu
cd "$(dirname "$0")/../.."
found=$(grep -nE '(^|[^_[:alnum:]>.])(malloc|calloc|realloc|reallocarray|aligned_alloc|posix_memalign|strdup|strndup|asprintf|vasprintf|getline|free)\(' \
    src/*/*.[ch] | grep -v '^src/base/' | grep -v "jansson's own block" || true)
if [ -n "$found" ]; then
    echo "memory is allocated only through base/mem.h:"
    echo "$found"
    exit 1
fi

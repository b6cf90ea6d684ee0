#!/bin/sh
# winnow.h compiles alone as C99, C11 and C++17, without a warning.
set -eu
cd "$(dirname "$0")/../.."
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
echo '#include "winnow.h"' >"$scratch/alone.c"
cp "$scratch/alone.c" "$scratch/alone.cc"
warn="-Wall -Wextra -Wpedantic -Werror -Iinclude -fsyntax-only"
for std in c99 c11; do
    ${CC:-cc} -std=$std $warn "$scratch/alone.c"
done
cxx=
for c in g++ clang++-14 clang++; do
    [ -n "$cxx" ] || ! command -v $c >/dev/null || cxx=$c
done
[ -z "$cxx" ] || $cxx -std=c++17 $warn "$scratch/alone.cc"

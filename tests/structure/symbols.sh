#!/bin/sh
# libwinnow.so exports exactly what winnow.h declares WN_API; every global symbol of libwinnow.a starts wn_.
set -eu
cd "$(dirname "$0")/../.."
build=${BUILD:-build}
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
tr '\n' ' ' <include/winnow.h | grep -o 'WN_API [^;]*;' | grep -v '^WN_API *__attribute__' |
    sed 's/(.*//; s/.*[ *]//' | sort >"$scratch/declared"
nm -D --defined-only "$build/libwinnow.so" | awk '$2 != "A" { print $3 }' |
    grep -v '^\.gomp_critical' | sort >"$scratch/exported"
bad=0
if ! diff "$scratch/declared" "$scratch/exported" >"$scratch/diff"; then
    echo "declared in winnow.h (<) and exported by libwinnow.so (>) differ:"
    grep '^[<>]' "$scratch/diff"
    bad=1
fi
[ -s "$scratch/declared" ] || { echo "no WN_API declaration found"; bad=1; }
foreign=$(nm -g --defined-only "$build/libwinnow.a" 2>/dev/null | awk 'NF == 3 && $3 !~ /^_*wn_/ && $3 !~ /^(__asan|__odr_asan|\.gomp_critical)/ { print $3 }')
if [ -n "$foreign" ]; then
    echo "global symbols of libwinnow.a that do not start with wn_:" $foreign
    bad=1
fi
exit $bad

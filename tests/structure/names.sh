#!/bin/sh
# File names in src/ are unique, so that "store.c" in a message is one file.
set -eu
cd "$(dirname "$0")/../.."
twice=$(find src include -name '*.[ch]' | sed 's,.*/,,' | sort | uniq -d)
if [ -n "$twice" ]; then
    echo "file names that occur twice:" $twice
    exit 1
fi

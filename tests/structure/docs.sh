#!/bin/sh
# docs/commands.md is what the tool's tables say; -h of every command works, names each of its options once
# and stays within 80 columns; the bash completion parses.
set -eu
cd "$(dirname "$0")/../.."
winnow=$PWD/${BUILD:-build}/winnow
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
bad=0
"$winnow" --markdown >"$scratch/commands.md"
if ! diff docs/commands.md "$scratch/commands.md" >"$scratch/diff"; then
    echo "docs/commands.md is not what the tool says; run make docs:"
    head -n 20 "$scratch/diff"
    bad=1
fi
"$winnow" --commands >"$scratch/commands"
while read -r command; do
    # shellcheck disable=SC2086
    "$winnow" $command -h >"$scratch/help"
    # shellcheck disable=SC2086
    "$winnow" help $command | cmp -s - "$scratch/help" || { echo "help $command differs from -h"; bad=1; }
    [ "$(awk 'length > 80' "$scratch/help" | grep -vc '^  winnow' || true)" = 0 ] ||
        { echo "$command -h: lines over 80 columns"; bad=1; }
    twice=$(sed -n 's/^  \(--[a-z0-9-]*\).*/\1/p' "$scratch/help" | sort | uniq -d)
    [ -z "$twice" ] || { echo "$command: option twice:" $twice; bad=1; }
    # shellcheck disable=SC2086
    "$winnow" --man $command | head -n 1 | grep -q '^\.TH WINNOW-' || { echo "$command: no manual"; bad=1; }
done <"$scratch/commands"
[ -s "$scratch/commands" ] || bad=1
"$winnow" --completion bash >"$scratch/completion"
! command -v bash >/dev/null || bash -n "$scratch/completion" || bad=1
exit $bad

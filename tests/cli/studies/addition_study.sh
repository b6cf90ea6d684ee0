# The noisy sums on a tiny model, two updates each: every training, estimate and table is made, and the same call again runs nothing.
command -v python3 >/dev/null || skip "needs python3"
study() {
    python3 $ROOT/experiments/gradex/addition.py --winnow winnow --width 64 --steps 2 --batch 2 --subsets 12 --out x "$@"
}
study >out 2>err || cat err
grep -c 'train/' err
grep -o '"arm": "[a-z0-9e.-]*"' x/results.jsonl
grep -o '"mode": "[a-z0-9e.-]*"' x/results.jsonl
grep -c . x/table.md
ls x/*.svg
study >again 2>err
[ -s err ] && cat err
same out again

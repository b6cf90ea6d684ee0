# The experiment on tasks of a pool, on tiny models: subsets estimated and trained for real, every method's choice.
command -v python3 >/dev/null || skip "needs python3"
for part in query validation test; do
    mkdir -p targets/a
    cp $ROOT/recipes/quick/test.jsonl targets/a/$part.jsonl
done
study() {
    python3 $ROOT/experiments/gradex/pool_tasks.py --pool $ROOT/recipes/quick/pool.jsonl --targets targets --names a \
        --winnow winnow --encoder $ROOT/tests/goldens/models/sentence-tiny --model $ROOT/tests/goldens/models/llama-tiny \
        --tasks 4 --each 6 --subsets 5 --random 20 --max-test 8 --max-validation 6 --max-tokens 32 --project 16 --oracle a --out x "$@"
}
study >out 2>err || cat err
grep -o '"arm": "[a-z0-9 -]*"' x/results.jsonl
grep -c '"oracle": "a"' x/results.jsonl
study >again 2>err
[ -s err ] && cat err
same out again
study --report >again 2>err
[ -s err ] && cat err
same out again

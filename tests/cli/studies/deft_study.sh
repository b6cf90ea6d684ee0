# The experiment of experiments/deft on tiny models: every kind of arm is trained, scored and reported, and the same
# call again runs nothing.
command -v python3 >/dev/null || skip "needs python3"
for part in query validation test; do
    mkdir -p targets/a targets/b
    cp $ROOT/recipes/quick/test.jsonl targets/a/$part.jsonl
    cp $ROOT/recipes/quick/test.jsonl targets/b/$part.jsonl
done
study() {
    python3 $ROOT/experiments/deft/deft.py --pool $ROOT/recipes/quick/pool.jsonl --targets targets --winnow winnow \
        --encoder $ROOT/tests/goldens/models/sentence-tiny --model $ROOT/tests/goldens/models/llama-tiny --rows 30 \
        --shares 0.2,0.1 --seeds 1 --queries 4,2 --max-test 8 --max-tokens 32 --shots 4 --shot-steps 2 --out x "$@"
}
study >out 2>err || cat err
grep -c 'train/' err
grep -o "\"arm\": \"[a-z0-9+-]*\"" x/results.jsonl | sort | uniq -c
grep -c . x/table.md
ls x/*.svg
study >again 2>err
[ -s err ] && cat err
same out again
study --report >again 2>err
[ -s err ] && cat err
same out again

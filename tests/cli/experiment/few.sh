# The few-shot stage: each named arm's model, its adapter merged where the method is another, trained on labelled rows.
. $ROOT/tests/cli/experiment/recipe.inc
recipe
rows | tail -n 8 | sed 's/"id":"/&s/; s/prompt":"/&Or: /' >shots.jsonl
sed -i 's/^    test: test.jsonl/&\n    shots: shots.jsonl/' recipe.yaml
cat >few.inc <<'Y'
few_shot:
  rows: 4
  seeds: [7, 8, 9]
  arms: [zero-shot, deft]
  max_tokens: 64
  training: {steps: 3, batch: 2, lr: 0.05, warmup: 1}
Y
cat recipe.yaml few.inc >first.yaml
winnow run first.yaml --out x --quiet --precision f32 >table || exit 1
(cd x/targets/things && ls select train merge eval | grep -v '\.manifest\|\.hits\|\.avoided\|\.stamp')
cut -c1-12 x/targets/things/select/deft+few-shot-7.jsonl
cmp x/targets/things/select/deft+few-shot-7.jsonl x/targets/things/select/zero-shot+few-shot-7.jsonl && echo "the same shots"
cmp -s x/targets/things/select/deft+few-shot-7.jsonl x/targets/things/select/deft+few-shot-8.jsonl || echo "others of another seed"
tr -d ' \n' <x/verdict.json | grep -o '"arm":"[^"]*","against":"[^"]*"'
tr -d ' \n' <x/verdict.json | grep -o '"name":"[a-z-]*+few-shot","strategy":"[a-z-]*","starts_from":"[a-z-]*","rows":[0-9]*'
grep -o '"steps": [0-9]*\|"peft_type": "[A-Z0-9]*"' x/targets/things/train/deft+few-shot-9/*.json | sed 's/.*json://' | sort -u
grep -c 'few-shot' table
# the same method goes on from the adapter itself, one model a seed; another file of shots for each seed
for s in 7 8 9; do head -n $((s - 4)) shots.jsonl >shots-$s.jsonl; done
sed 's/shots.jsonl/shots-{seed}.jsonl/' recipe.yaml >second.yaml
grep -v 'rows:\|arms:' few.inc | sed 's/steps: 3/method: lora, steps: 3/' >>second.yaml
winnow run second.yaml --out y --quiet --precision f32 >/dev/null || exit 1
ls y/targets/things
wc -l y/targets/things/select/random+few-shot-*.jsonl | sed 's/ *\([0-9]*\) .*select/\1/'
# refused before any work
cat recipe.yaml >wrong.yaml; sed 's/rows: 4/rows: 40/' few.inc >>wrong.yaml; fails winnow run wrong.yaml --out z --quiet
cat recipe.yaml >wrong.yaml; sed 's/deft\]/left]/' few.inc >>wrong.yaml; fails winnow run wrong.yaml --out z --quiet
grep -v shots: recipe.yaml >wrong.yaml; cat few.inc >>wrong.yaml; fails winnow run wrong.yaml --out z --quiet
cat recipe.yaml >wrong.yaml; sed 's/steps: 3/stops: 3/' few.inc >>wrong.yaml
winnow run wrong.yaml --out z --quiet 2>&1 | sed 's/known are.*/known are others/'
cat queries.jsonl | sed 's/,"target":"[^"]*","choices.*/}/' >shots.jsonl
sed 's/rows: 4/rows: 2/' few.inc >f; cat recipe.yaml f >wrong.yaml; fails winnow run wrong.yaml --out z --quiet
gone z

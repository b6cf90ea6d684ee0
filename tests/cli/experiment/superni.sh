# Rows are found by their inputs alone and trained on with the task's definition: two renderings of the same files.
. $ROOT/tests/cli/experiment/recipe.inc
recipe
mkdir tasks
for t in 1 2 3; do
    printf '{"Definition": ["Do %s"], "Instances": [{"id": "t%s-a", "input": "red %s", "output": ["x"]}, {"id": "t%s-b", "input": "dog", "output": ["y", "z"]}]}\n' $t $t $t $t >tasks/task$t.json
done
mv tasks/task3.json held.json
printf 'task1\ntask2\n' >list
cat >recipe.yaml <<Y
pool: {sources: [tasks], map: superni, tasks: list, per_task: 2, dedup: none}
targets:
  - {name: held, queries: held.json, test: held.json, map: superni, query_map: superni-raw, max_queries: 1}
encoder: $MODELS/bert-tiny
model: $MODELS/llama-tiny
embed: {map: superni-raw}
strategies: [{strategy: deft, k: 2, budget: 2}]
dedup: none
veto: no
seeds: [0]
training: {steps: 2, batch: 2, rank: 2}
eval: {max_new: 4}
Y
winnow run recipe.yaml --out x --quiet --precision f32 >table || exit 1
grep -o '"prompt": "[^"]*"' x/pool/rows.jsonl | head -n 1
grep -o '"prompt": "[^"]*"' x/pool-embedded/rows.jsonl | head -n 1
grep -o '"prompt": "[^"]*"' x/targets/held/queries.jsonl x/targets/held/test.jsonl x/targets/held/select/deft.jsonl
Y=$(winnow run recipe.yaml --out x --precision f32 2>&1 >/dev/null | grep -c 'part ') ; echo "$Y parts again"

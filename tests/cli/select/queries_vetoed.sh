# --queries given as rows are target rows for every strategy, baselines too; in a recipe `veto: no` is no for all.
rows >rows.jsonl
rows | head -n 2 | sed 's/"id":"/&q/' >q.jsonl
for s in random balanced-random dsir bm25; do
    winnow select --strategy $s --pool rows.jsonl --queries q.jsonl --per-task 9 --out $s.jsonl 2>$s.log
    grep -o '[0-9]* target rows\|: [0-9]* rows are too like' $s.log
    grep -c '"id":"r[01]"' $s.jsonl
done
winnow select --strategy all --pool rows.jsonl --queries q.jsonl --avoid q.jsonl 2>log | wc -l
grep -o '[0-9]* target rows\|: [0-9]* rows are too like' log
winnow embed --model $MODELS/bert-tiny --pool rows.jsonl --out s --quiet
winnow select --strategy random --store s --pool rows.jsonl --queries q.jsonl --per-task 9 --quiet | wc -l
. $ROOT/tests/cli/experiment/recipe.inc
for veto in yes no; do
    recipe
    { sed '/^strategies/,/budget/d' recipe.yaml; printf 'strategies: [bm25]\nk: 4\nbaselines: no\nveto: %s\n' $veto; } >r.yaml
    rows | sed -n 4,5p | sed 's/"id":"/&q/' >queries.jsonl
    winnow run r.yaml --out $veto --quiet >/dev/null || exit 1
    ls $veto/targets/things/select | grep -c avoided
    tr -d " \n" <$veto/targets/things/select/bm25.jsonl.manifest.json | grep -o "\"wholes\":[0-9]*"
    grep -c '"id": *"r[34]"' $veto/targets/things/select/bm25.jsonl
done

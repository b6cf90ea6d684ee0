# Strategies on gradients: the whole pool is trained on once, gradients are taken there, tasks are chosen by them.
. $ROOT/tests/cli/experiment/recipe.inc
recipe
cat >>recipe.yaml <<Y
gradients: {project: 16}
Y
sed -i 's/^strategies:/&\n  - {strategy: gradex-re, subsets: 12, keep: 2, budget: 4}\n  - {strategy: gradex-fs, search: forward}\n  - less/' recipe.yaml
winnow run recipe.yaml --out x --quiet --precision f32 >table || exit 1
ls x x/stores | grep -v '^$'
grep -o '"gradients"' x/verdict.json | wc -l
timeless x/verdict.json >first
winnow run recipe.yaml --out x --quiet --precision f32 >/dev/null
timeless x/verdict.json | cmp - first && echo "again: the same"
winnow run recipe.yaml --out y --quiet --precision f32 --threads 3 >/dev/null
timeless y/verdict.json | cmp - first && echo "threads: the same"
winnow plan recipe.yaml --quiet | grep -oE '^(train on the whole pool|gradients) '
sed 's/project: 16/project: 17/' recipe.yaml >other.yaml
mv other.yaml recipe.yaml
winnow run recipe.yaml --out x --precision f32 2>&1 >/dev/null | grep -c 'made again'
sed -i 's/^  rank: 2/  method: ia3/' recipe.yaml
fails winnow run recipe.yaml --out z --quiet
sed -i 's/method: ia3/rank: 2/' recipe.yaml
sed 's/,"target":"[^"]*"//' queries.jsonl >q && mv q queries.jsonl
fails winnow run recipe.yaml --out z --quiet

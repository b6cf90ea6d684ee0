# Rows without choices: answers are generated, and parsed as the recipe says.
. $ROOT/tests/cli/experiment/recipe.inc
recipe
sed 's/,"choices":.*/}/' test.jsonl >free.jsonl
mv free.jsonl test.jsonl
cat >>recipe.yaml <<Y
eval:
  max_new: 6
  stop: "?"
  parse: [line]
Y
winnow run recipe.yaml --out x --quiet --precision f32 >table || exit 1
tr -d ' \n' <x/verdict.json | grep -o '"metric":"[a-z-]*"' | sort -u
for f in x/targets/things/eval/*.jsonl; do grep -c '"raw"' $f; done
sed 's/\[line\]/[7]/' recipe.yaml >wrong.yaml
fails winnow run wrong.yaml --out y --quiet
sed 's/\[line\]/[lines]/' recipe.yaml >wrong.yaml
fails winnow run wrong.yaml --out y --quiet

# What a plan cannot know it asks for by name.
cat >recipe.yaml <<'Y'
pool: {sources: [nosuch]}
targets: [{name: one, queries: q, test: t}]
encoder: e
model: m
sizes:
  pool: {rows: 1000, prompt_tokens: 60}
  queries: {rows: 100, prompt_tokens: 50}
  test: {rows: 200, prompt_tokens: 50}
  encoder: t5-v1_1-small
  model: t5-v1_1-small
Y
fails winnow plan nosuch.yaml --quiet
for key in pool queries test encoder model; do
    grep -v "^  $key:" recipe.yaml >wrong.yaml
    fails winnow plan wrong.yaml --quiet
done
sed 's/model: t5-v1_1-small/model: t6/' recipe.yaml >wrong.yaml; fails winnow plan wrong.yaml --quiet
sed 's/rows: 1000/row: 1000/' recipe.yaml >wrong.yaml; fails winnow plan wrong.yaml --quiet
sed 's/^  test:.*/&\n  targets: {two: {test: 1}}/' recipe.yaml >wrong.yaml; fails winnow plan wrong.yaml --quiet
sed 's/model: t5.*/model: {model_type: t6}/' recipe.yaml >wrong.yaml; fails winnow plan wrong.yaml --quiet
fails winnow plan recipe.yaml --cores 0
fails winnow plan recipe.yaml --core-rate 0

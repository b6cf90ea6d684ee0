# Nothing of a recipe is there, not even the environment's names: `sizes` says how large it is.
unset NOWHERE
cat >recipe.yaml <<'Y'
pool: {sources: ["${NOWHERE}/pool"], map: p3, dedup: none}
targets:
  - {name: one, queries: "${NOWHERE}/q", test: "${NOWHERE}/t", shots: "${NOWHERE}/{seed}"}
  - {name: two, queries: "${NOWHERE}/q2", test: "${NOWHERE}/t2", shots: "${NOWHERE}/{seed}"}
encoder: ${NOWHERE}/encoder
model: ${NOWHERE}/model
strategies: [deft, all]
k: 20
seeds: [0, 1]
training: {method: full, epochs: 2, batch: 4}
few_shot: {rows: 8, seeds: [3, 4, 5], arms: [zero-shot, deft], training: {steps: 10}}
sizes:
  pool: {rows: 1000000, prompt_tokens: 60, target_tokens: 5}
  queries: {rows: 100, prompt_tokens: 50}
  test: {rows: 200, prompt_tokens: 50, target_tokens: 2, choices: 3}
  targets:
    two: {queries: 40, choices: 0}
  selected: 1500
  encoder:
    {model_type: t5, d_model: 64, d_kv: 16, d_ff: 128, num_layers: 2, num_heads: 4, vocab_size: 500, feed_forward_proj: gated-gelu}
  model:
    {model_type: t5, d_model: 64, d_kv: 16, d_ff: 128, num_layers: 2, num_heads: 4, vocab_size: 500, feed_forward_proj: gated-gelu}
Y
winnow plan recipe.yaml --quiet --precision f32 --json >plan.json || exit 1
grep -o '"\(part\|runs\|rows\|tokens\|flops\)": [^,]*' plan.json | tr '\n' ' ' | sed 's/"part"/\n&/g'
echo

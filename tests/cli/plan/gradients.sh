# Strategies that choose by gradients: the model is trained on everything first, and a pass back for every row.
sed 's/strategies: .*/strategies: [gradex-fs, {strategy: less, budget: 12}]/; s/^budget: .*//; s,quick/,'$ROOT'/recipes/quick/,g; s,\.\./tests,'$ROOT'/tests,' $ROOT/recipes/quick.yaml >r.yaml
winnow plan r.yaml --quiet --precision f32 --json >plan.json || exit 1
grep -o '"\(part\|runs\|rows\|tokens\|flops\)": [^,]*' plan.json | tr '\n' ' ' | sed 's/"part"/\n&/g' | head -n 12

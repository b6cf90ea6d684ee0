# Options of a recipe are checked before any part runs, and by plan.
. $ROOT/tests/cli/experiment/recipe.inc
while read -r section; do
    recipe
    key=${section%%:*}
    { sed "/^$key:/,\$d" recipe.yaml; echo "$section"; } >bad.yaml
    fails winnow run bad.yaml --out x 2>&1 | cut -c1-100
    gone x
    fails winnow plan bad.yaml 2>&1 | tail -n 1
done <<'Y'
training: {warmup: many}
training: {optimizer: adamx}
training: {dropout: 5}
training: {schedule: linear, slanted_cut: 0.2}
training: {targets: "re:("}
training: {template: chatty}
eval: {parse: [lettre]}
eval: {parse: ["regex:("]}
embed: {pooling: median}
embed: {system: be kind}
Y

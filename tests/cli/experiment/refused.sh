. $ROOT/tests/cli/experiment/recipe.inc
recipe
fails winnow run nosuch.yaml --out x --quiet
fails winnow report nosuch
sed 's/^seeds/sedes/' recipe.yaml >wrong.yaml; fails winnow run wrong.yaml --out x --quiet
sed 's/queries: queries/queries: nosuch/' recipe.yaml >wrong.yaml; fails winnow run wrong.yaml --out x --quiet
sed 's/strategy: deft/strategy: magic/' recipe.yaml >wrong.yaml; fails winnow run wrong.yaml --out x --quiet
sed 's/lr: 0.01/lr: much/' recipe.yaml >wrong.yaml; fails winnow run wrong.yaml --out x --quiet
printf 'title: [\n' >wrong.yaml; fails winnow run wrong.yaml --out x --quiet
unset TINY_MODEL; fails winnow run recipe.yaml --out x --quiet

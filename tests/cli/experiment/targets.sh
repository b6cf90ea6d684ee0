# Several targets: their selections come from one pass over the pool's store, and are what separate searches give, byte for byte.
. $ROOT/tests/cli/experiment/recipe.inc
recipe
rows | sed -n '4,6p' | sed 's/"id":"/&p/; s/prompt":"/&And: /' >queries2.jsonl
rows | sed -n '7,9p' | sed 's/"id":"/&s/' >queries3.jsonl
sed -i 's/^encoder:/  - {name: others, queries: queries2.jsonl, test: test.jsonl}\n  - {name: rest, queries: queries3.jsonl, test: test.jsonl}\n&/
    s/^seeds:.*/seeds: [0]/' recipe.yaml
winnow run recipe.yaml --out x --precision f32 2>log >/dev/null || cat log
grep -o 'part [0-9]* of [0-9]*: [a-z -]*\(deft\|queries\)[a-z -]*' log | sed 's/, .*//'
i=0
for t in things others rest; do
    i=$((i + 1))
    q=queries$i.jsonl
    [ $i = 1 ] && q=queries.jsonl
    winnow select --strategy deft --store x/stores/pool --queries x/stores/queries-$t --pool x/pool --k 2 --budget 4 \
        --avoid $q --avoid test.jsonl --out $t.jsonl --quiet
    cmp $t.jsonl x/targets/$t/select/deft.jsonl && cmp $t.jsonl.hits.jsonl x/targets/$t/select/deft.jsonl.hits.jsonl &&
        echo "$t: the same $(grep -c . $t.jsonl) rows"
done
cp x/targets/rest/select/deft.jsonl kept
rm x/targets/rest/select/deft.jsonl
winnow run recipe.yaml --out x --precision f32 2>log >/dev/null || cat log
grep 'part' log | sed 's/, about.*//'
cmp kept x/targets/rest/select/deft.jsonl

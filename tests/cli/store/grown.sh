# A pool that has grown is gone on with, whatever kills it on the way, to the bytes of one made at once.
i=0
while [ $i -lt 40 ]; do rows | sed "s/\"id\":\"/&$i-/; s/prompt\":\"/&$i /"; i=$((i + 1)); done >more.jsonl
head -n 100 more.jsonl >few.jsonl
sed '50s/"prompt":"/&other /' more.jsonl >other.jsonl
winnow pool build few.jsonl --out few --quiet
for p in more other; do winnow pool build $p.jsonl --out $p --quiet; done
embed="winnow embed --model $MODELS/bert-tiny --quiet --threads 1"
$embed --pool few --out s
cp -r s t
cp -r s u
fails $embed --pool few --out s
fails $embed --pool other --out s
fails $embed --pool more --out s --pooling cls
fails $embed --pool more --out s --store-dtype f16
winnow store info s --json | grep '"rows"'
$embed --pool more --out s
$embed --pool more --out whole
same_tree s whole
kill_when t/partial.json 1 $embed --pool more --out t
$embed --pool more --out t 2>late || grep -c "finished store is there" late >/dev/null
same_tree t whole
printf x | dd of=u/rows.bin bs=1 seek=5000 conv=notrunc 2>/dev/null
fails $embed --pool more --out u 2>err
sed 's/[0-9a-f]\{32\}/SUM/g' err

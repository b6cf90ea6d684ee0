# What was begun with other inputs is not gone on with: the field that differs is named.
i=0
while [ $i -lt 300 ]; do rows | sed "s/\"id\":\"/&$i-/; s/prompt\":\"/&$i /"; i=$((i + 1)); done >rows.jsonl
winnow pool build rows.jsonl --out pool --quiet
kill_when s/rows.bin 5096 winnow embed --model $MODELS/bert-tiny --pool pool --out s --quiet --threads 1
[ ! -e s/store.json ] || skip "the kill came too late"
fails winnow embed --model $MODELS/bert-tiny --pool pool --out s --quiet --pooling cls
head -n 100 rows.jsonl >fewer.jsonl
winnow pool build fewer.jsonl --out fewer --quiet
fails winnow embed --model $MODELS/bert-tiny --pool fewer --out s --quiet 2>err
sed 's/[0-9a-f]\{64\}/HASH/g' err

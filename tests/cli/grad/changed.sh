# What was begun with other options is not gone on with, and stores that do not belong together are refused:
# the field that differs is named.
rows >rows.jsonl
M="--model $MODELS/llama-tiny" A="--adapter $MODELS/llama-tiny/adapter"
f32="--quiet --precision f32"
i=0
while [ $i -lt 60 ]; do rows | sed "s/\"id\":\"/&$i-/; s/prompt\":\"/&$i /"; i=$((i + 1)); done >more.jsonl
kill_when s/rows.bin 4097 winnow grad $M --pool more.jsonl --out s --project 50 $f32 --threads 1 --max-batch-tokens 64
[ ! -e s/store.json ] || skip "the kill came too late"
fails winnow grad $M --pool more.jsonl --out s --project 50 $f32 --quantity margin
fails winnow grad $M --pool more.jsonl --out s --project 50 $f32 --seed 1
winnow grad $M $A --pool rows.jsonl --out a --project 8 $f32
for o in "--quantity margin" "--project 9" "--projection kron" "--params q_proj"; do
    rm -rf b
    winnow grad $M $A --pool rows.jsonl --out b --project 8 $f32 $o
    fails winnow search --store a --queries b --k 1 --out hits
done
rm -rf b
winnow grad $M --rank 3 --pool rows.jsonl --out b --project 8 $f32
fails winnow search --store a --queries b --k 1 --out hits 2>err
sed 's/[0-9a-f]\{64\}/HASH/g' err

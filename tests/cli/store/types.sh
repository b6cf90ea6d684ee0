# Every type of number: the same nearest rows, fewer bytes; what is stored is what is exported and merged.
i=0
while [ $i -lt 20 ]; do rows | sed "s/\"id\":\"/&$i-/; s/prompt\":\"/&$i /"; i=$((i + 1)); done >rows.jsonl
embed="winnow embed --model $MODELS/bert-tiny --pool rows.jsonl --quiet --precision f32"
for t in f32 f16 bf16 int8; do
    $embed --store-dtype $t --out $t
    winnow store info $t --json | grep -E '"(dtype|rows|dim|format|finished)"'
    winnow search --store $t --queries $t --k 1 | sed 's/, "score": [^}]*//' >hits.$t
    cmp hits.f32 hits.$t
    winnow store merge $t --out again.$t --quiet
    same $t/rows.bin again.$t/rows.bin
    winnow store export $t --out $t.npy
    winnow store import $t.npy --ids $t.npy --out bad --quiet 2>/dev/null || rm -rf bad
    winnow store import $t.npy --ids $t.ids.txt --out back.$t --store-dtype f32 --quiet
    winnow export back.$t --out back.npy --overwrite
    same $t.npy back.npy
done
winnow store merge int8 --store-dtype f32 --out wide --quiet
winnow export wide --out wide.npy
same int8.npy wide.npy
wc -c int8/rows.bin bf16/rows.bin f32/rows.bin | head -n 3
fails $embed --store-dtype int4 --out x
fails $embed --store-dtype bf16 --out int8

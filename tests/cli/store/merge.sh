# Halves become the whole; what does not belong together is refused by field.
rows >rows.jsonl
head -n 5 rows.jsonl >a.jsonl
tail -n 7 rows.jsonl >b.jsonl
embed="winnow embed --model $MODELS/bert-tiny --quiet"
for p in rows a b; do $embed --pool $p.jsonl --out $p; done
winnow store merge a b --out ab --json | sed 's/[0-9a-f]\{64\}/HASH/g' | grep -E '"(rows|kind|pool_rows|format)"'
for f in rows.bin meta.bin ids.txt tasks.txt sums.bin; do same ab/$f rows/$f; done
winnow search --store ab --queries b --k 3 >hits
winnow search --store rows --queries b --k 3 | cmp - hits
fails winnow store merge a b --out ab
fails winnow store merge a rows --out x
fails winnow store merge a a --out x
$embed --pool b.jsonl --pooling cls --out c
fails winnow store merge a c --out x
$embed --pool b.jsonl --store-dtype bf16 --out d
fails winnow store merge a d --out x
fails winnow store merge ab --out ab
gone x

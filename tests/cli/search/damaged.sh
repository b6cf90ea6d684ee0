# A byte of the vectors that is not what was written: found by the search that reads it, with and without kept codes.
rows >rows.jsonl
winnow embed --model $MODELS/bert-tiny --pool rows.jsonl --out s --quiet
winnow search --store s --queries s --k 2 >plain
sums() { sed 's/[0-9a-f]\{32\}/SUM/g'; }
cp -r s t
printf x | dd of=t/rows.bin bs=1 seek=4101 conv=notrunc 2>/dev/null
fails winnow search --store t --queries s --k 2 2>err
sums <err
fails winnow search --store s --queries t --k 2 2>err
sums <err
fails winnow search --store t --prepare 2>err
sums <err
gone t.codes-l2
winnow search --store s --prepare
winnow embed --model $MODELS/bert-tiny --pool rows.jsonl --out q --quiet
printf x | dd of=s/rows.bin bs=1 seek=4101 conv=notrunc 2>/dev/null
fails winnow search --store s --queries q --k 2 2>err
sums <err
fails winnow select --strategy deft --store s --queries q --k 2 --out x 2>err
sums <err
gone x

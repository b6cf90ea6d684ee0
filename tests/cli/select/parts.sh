# A store of some of the pool's rows: the others are counted aloud. Queries as rows, of another model: refused by name.
rows >rows.jsonl
head -n 7 rows.jsonl >some.jsonl
winnow embed --model $MODELS/bert-tiny --pool some.jsonl --out s --quiet
winnow select --strategy deft --pool rows.jsonl --store s --queries s --k 1 | wc -l
fails winnow select --strategy deft --pool rows.jsonl --store s --queries some.jsonl --model $MODELS/sentence-tiny --k 1 --out x 2>err
sed 's,/[^ ]*/winnow-[A-Za-z0-9]*,SCRATCH,; s,"[0-9a-f]*",HASH,g' err
gone x

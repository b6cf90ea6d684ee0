# Queries as rows are embedded as the store's rows were: the answer of a store of theirs, and nothing of it stays.
rows >rows.jsonl
embed="winnow embed --model $MODELS/bert-tiny --quiet --precision f32"
head -n 3 rows.jsonl | sed 's/thing/chair/; s/"id":"r/"id":"q/' >q.jsonl
$embed --pool rows.jsonl --pooling cls --normalize yes --out s
$embed --pool q.jsonl --pooling cls --normalize yes --out q
search="winnow search --store s --k 4 --quiet --precision f32"
$search --queries q >by_store
$search --queries q.jsonl --model $MODELS/bert-tiny --out by_rows
same by_store by_rows
$search --queries - --model $MODELS/bert-tiny <q.jsonl | cmp by_store -
winnow pool build q.jsonl --out pool --quiet
$search --queries pool --model $MODELS/bert-tiny | cmp by_store -
sed 's/"prompt"/"instruction"/; s/"target"/"output"/' q.jsonl >alpaca.jsonl
$search --queries alpaca.jsonl --map alpaca --model $MODELS/bert-tiny | cmp by_store -
cut -d, -f1 by_rows
fails $search --queries q.jsonl --out x
fails $search --queries q --model $MODELS/bert-tiny --out x
fails $search --queries q --map alpaca --out x
fails $search --prepare --map alpaca --out x
echo '{"id": "a"}' >bad.jsonl
fails $search --queries bad.jsonl --model $MODELS/bert-tiny --out x
fails $search --queries q.jsonl --model $MODELS/sentence-tiny --out x 2>err
sed 's/winnow-[A-Za-z0-9]*/winnow-XXXXXX/' err
gone x
ls -d winnow-* 2>/dev/null

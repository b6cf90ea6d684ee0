# Strategies on gradients and on words, under the budgets and vetoes of all.
G=$ROOT/tests/goldens/gradex
winnow import $G/rows.npy --ids $G/rows.jsonl --out rows --quiet
winnow import $G/target.npy --ids $G/target.jsonl --out target --quiet
count() { sed 's/.*"task": "\([^"]*\)".*/\1/' "$1" | sort | uniq -c; }
for s in pass forward backward; do
    winnow select --strategy gradex-fs --search $s --store rows --queries target --out fs-$s --quiet
    count fs-$s
done
winnow select --strategy gradex-re --subsets 600 --store rows --queries target --budget 20 --out re --quiet
count re
sed -n 's/^ *"\(settled\|subsets\|kept\)": /\1 /p' re.manifest.json
winnow select --strategy gradex-re --groups kmeans:12 --keep 2 --store rows --queries target --per-task 3 --out km --quiet
count km
winnow select --strategy less --store rows --queries target --budget 4 --checkpoint rows,target,0.5 | cut -c 1-60
rows >pool
printf '{"id":"q1","task":"q","prompt":"Is a lion a dog or a cat?"}\n{"id":"q2","task":"q","prompt":"Which colour is it"}\n' >queries
winnow select --strategy bm25 --pool pool --queries queries --k 3 --out bm25 --quiet
sed 's/.*"id": *"\([^"]*\)".*"hits": \(.\).*"query": \(.*\), "rank": \(.*\)}/\1 \2 \3 \4/' bm25
winnow select --strategy dsir --pool pool --queries queries --gumbel no --per-token --budget 4 | sed 's/.*"id": *"\([^"]*\)".*"score": \(.\{6\}\).*/\1 \2/'
fails winnow select --strategy less --store rows --queries queries --budget 3
fails winnow select --strategy less --store rows --queries target
fails winnow select --strategy dsir --pool pool --budget 3
fails winnow select --strategy bm25 --store rows --queries queries --pool pool
fails winnow select --strategy gradex-re --store rows --queries target --keep 1 --below 2

# What is too like a test row is not chosen, before the budget is filled; each row is shown with its counterpart.
rows >rows.jsonl
cat >>rows.jsonl <<'END'
{"id":"copy","task":"x","prompt":"Name the river that runs through Vienna.","target":"Danube"}
{"id":"run","task":"x","prompt":"Known: in the year of the great flood the old mill by the river was carried away","target":"yes"}
{"id":"free","task":"x","prompt":"Which animal is larger, a mouse or an elephant?","target":"elephant"}
END
cat >test.jsonl <<'END'
{"id":"t1","task":"q","prompt":"name the river that runs through vienna","target":"Danube"}
{"id":"t2","task":"q","prompt":"In the year of the great flood the old mill by the river was carried away. True?","target":"yes"}
{"id":"t3","task":"q","prompt":"?","target":""}
END
all="winnow select --strategy all --pool rows.jsonl"
$all --avoid test.jsonl --out s.jsonl
wc -l <s.jsonl
cat s.jsonl.avoided.jsonl
grep -A 16 '"compared"' s.jsonl.manifest.json
$all --avoid test.jsonl --avoid-words 20 --quiet --out t.jsonl 2>said
cat t.jsonl.avoided.jsonl
winnow select --strategy random --budget 13 --pool rows.jsonl --avoid test.jsonl --quiet --out r.jsonl
wc -l <r.jsonl
winnow explain s.jsonl run | tail -n 1
sed -i 's/"vetoed": \[/"vetoed": [], "not": [/' s.jsonl.manifest.json
winnow explain s.jsonl copy | tail -n 1
$all --quiet --out s.jsonl --overwrite
[ -e s.jsonl.avoided.jsonl ] && echo "an old list of pairs was left"
# by vectors
embed="winnow embed --model $MODELS/bert-tiny --quiet --precision f32"
$embed --pool rows.jsonl --out v
sed -n 3p rows.jsonl >one.jsonl
$embed --pool one.jsonl --out a
$all --vectors v --avoid-store a --avoid-cosine 0.999999 --out u.jsonl
cat u.jsonl.avoided.jsonl
winnow select --strategy deft --store v --queries a --k 1 --avoid-store a --avoid-cosine 0.999999 --quiet | sed 's/, "score.*//'
$all --vectors v --near-cosine 0.9 --dedup none --quiet --out n.jsonl
grep -E '"(duplicates|near_cosine)"' n.jsonl.manifest.json
# refusals
: >empty.jsonl
echo '{"prompt":"?","target":""}' >dots.jsonl
fails $all --avoid empty.jsonl --out x.jsonl
fails $all --avoid dots.jsonl --out x.jsonl
fails $all --avoid-words 8 --out x.jsonl
fails $all --avoid-cosine 0.9 --out x.jsonl
fails $all --avoid-store a --out x.jsonl
fails $all --avoid test.jsonl --avoid-words 4 --out x.jsonl
fails $all --vectors a --near-cosine 0.9 --out x.jsonl
gone x.jsonl

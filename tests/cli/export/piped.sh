# An array on standard input is the array in a file: the same store, the same refusals.
rows >rows.jsonl
winnow embed --model $MODELS/bert-tiny --pool rows.jsonl --out s --quiet
winnow export s --out v.npy
winnow export s --format jsonl --out v.jsonl
winnow import v.npy --ids v.jsonl --out t
winnow import - --ids v.jsonl --out u <v.npy
same_tree t u
winnow export s --format npy | winnow import - --ids v.jsonl --out w
same_tree t w
winnow import - --ids v.ids.txt --out x <v.npy
winnow export x | cut -d, -f2 | uniq
for f in rows.jsonl v.jsonl; do
    fails winnow import - --ids v.ids.txt --out bad <$f
    gone bad
done
head -c 200 v.npy | fails winnow import - --ids v.ids.txt --out bad
head -n 3 v.ids.txt >few
fails winnow import - --ids few --out bad <v.npy
gone bad
fails winnow import - --ids - --out bad <v.npy
ls winnow-* 2>/dev/null
TMPDIR=$PWD/none
export TMPDIR
fails winnow import - --ids v.ids.txt --out bad <v.npy
gone bad

# The ids of imported vectors are read to their end before a store is begun: what is wrong leaves nothing behind,
# and the same command with a mended file goes through.
rows >rows.jsonl
winnow embed --model $MODELS/bert-tiny --pool rows.jsonl --out s --quiet
winnow export s --out v.npy
{ head -n 11 v.ids.txt; echo r3; } >twice.txt
fails winnow import v.npy --ids twice.txt --out t
gone t
{ cat v.ids.txt; echo more; } >more.txt
fails winnow import v.npy --ids more.txt --out t
gone t
{ echo; tail -n 11 v.ids.txt; } >empty.txt
fails winnow import v.npy --ids empty.txt --out t
gone t
winnow import v.npy --ids v.ids.txt --out t
winnow import v.npy --ids - --out of_stdin <v.ids.txt
same_tree t of_stdin
gzip -c v.ids.txt | winnow import v.npy --ids - --out of_gzip
same_tree t of_gzip
i=0
while [ $i -lt 12 ]; do
    printf '{"id": 1.%02d, "task": null, "loss": null}\n' $i
    i=$((i + 1))
done | winnow import v.npy --ids - --out numbers
winnow export numbers --format jsonl | cut -d, -f1,2 | head -n 2
# An array with a number that is none: nothing stays of the rows before it.
{ head -c 600 v.npy; printf '\000\000\300\177'; tail -c +605 v.npy; } >nan.npy
fails winnow import nan.npy --ids v.ids.txt --out n
gone n

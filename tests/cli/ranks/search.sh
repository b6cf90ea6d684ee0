# Any number of ranks finds what one process finds, with its ties: by codes made in passing, or kept.
need_ranks
i=0
while [ $i -lt 100 ]; do rows | sed "s/\"id\":\"/&$i-/; s/prompt\":\"/&$((i % 40)) /"; i=$((i + 1)); done >rows.jsonl
winnow embed --model $MODELS/bert-tiny --pool rows.jsonl --out s --quiet
head -n 40 rows.jsonl >queries.jsonl
winnow embed --model $MODELS/bert-tiny --pool queries.jsonl --out q --quiet
search="winnow search --store s --queries q --quiet"
compare() {
    $search "$@" --out one.jsonl --overwrite
    for n in 2 3; do
        ranks $n $search "$@" --out r$n.jsonl --overwrite
        cmp one.jsonl r$n.jsonl || echo "$n ranks, $*: differ"
    done
}
compare --k 7
compare --k 1 --metric ip
compare --k 300 --metric cosine
compare --k 5000
ranks 2 $search --k 3 --prepare --out prepared.jsonl
$search --k 3 --out one.jsonl --overwrite
same one.jsonl prepared.jsonl
ls | grep codes
compare --k 20
ranks 3 winnow search --store s --metric cosine --prepare --quiet
compare --k 20 --metric cosine
$search --k 2 --json >one.json
ranks 2 $search --k 2 --json >two.json
same one.json two.json

# parts without rows; damaged codes; damaged rows of the last part
winnow search --store q --queries q --k 4 >one.jsonl
ranks 3 winnow search --store q --queries q --k 4 --quiet >few.jsonl
same one.jsonl few.jsonl
$search --k 20 --out one.jsonl --overwrite
printf 'damage' | dd of=s.codes-l2 bs=1 seek=9000 conv=notrunc 2>/dev/null
ranks 2 winnow search --store s --queries q --k 20 --out two.jsonl
same one.jsonl two.jsonl
rm s.codes-*
printf 'damage' | dd of=s/rows.bin bs=1 seek="$(($(stat -c %s s/rows.bin) - 600))" conv=notrunc 2>/dev/null
fails ranks 2 $search --k 3 --out none.jsonl
gone none.jsonl

# refused
fails ranks 2 winnow search --store s --queries queries.jsonl --model $MODELS/bert-tiny --quiet
fails ranks 2 $search --out one.jsonl

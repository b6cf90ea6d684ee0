rows >rows.jsonl
head -n 3 rows.jsonl >q.jsonl
winnow pool build rows.jsonl --out pool --quiet
winnow embed --model $MODELS/bert-tiny --pool pool --out s --quiet
winnow embed --model $MODELS/bert-tiny --pool q.jsonl --out q --quiet
winnow select --strategy deft --pool pool --store s --queries q --k 4 --out deft.jsonl --quiet
grep -c '"rank"' deft.jsonl
winnow select --strategy deft --pool pool --store s --queries q --k 4 --budget 3 --quiet | wc -l
winnow select --strategy deft --pool pool --store s --queries q --k 4 --per-task 1 --quiet | wc -l
winnow select --strategy random --pool pool --budget 5 --quiet >r5; wc -l <r5
winnow select --strategy random --pool pool --budget 5 --quiet | cmp - r5
winnow select --strategy random --pool pool --budget 5 --quiet --seed 1 | cmp -s - r5 && echo "the seed changes nothing"
winnow select --strategy balanced-random --pool pool --budget 6 --quiet | grep -o '"task": *"[a-z]*"' | sort | uniq -c
winnow select --strategy all --pool pool --quiet | wc -l
winnow select --strategy all --pool pool --avoid q.jsonl --quiet | wc -l
grep -c '"strategy": *"deft"' deft.jsonl.manifest.json
for t in 1 4; do
    winnow select --strategy deft --pool pool --store s --queries q --k 4 --quiet --threads $t --out t$t.jsonl
    cmp t$t.jsonl deft.jsonl
done
winnow select --strategy random --pool pool --budget 2 --quiet --json >json && head -c 2 json
fails winnow select --strategy random --pool pool --budget 5 --quiet --out deft.jsonl

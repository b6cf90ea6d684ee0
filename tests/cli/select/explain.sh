rows >rows.jsonl
head -n 2 rows.jsonl >q.jsonl
winnow embed --model $MODELS/bert-tiny --pool rows.jsonl --out s --quiet
winnow embed --model $MODELS/bert-tiny --pool q.jsonl --out q --quiet
winnow select --strategy deft --pool rows.jsonl --store s --queries q --k 3 --out a.jsonl --quiet
winnow select --strategy random --pool rows.jsonl --budget 4 --out b.jsonl --quiet
winnow explain a.jsonl r0 >why && grep -c r0 why
winnow explain a.jsonl r0 --json >json && head -c 1 json; echo
fails winnow explain a.jsonl nosuch
fails winnow explain nosuch.jsonl r0
winnow diff a.jsonl b.jsonl >diff.txt && [ -s diff.txt ] && echo "a difference"
winnow diff a.jsonl b.jsonl --json >json && head -c 1 json; echo
fails winnow diff a.jsonl nosuch.jsonl

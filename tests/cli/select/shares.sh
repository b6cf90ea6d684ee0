# Which tasks a selection comes from, against their shares of the pool, and how that shifts with k.
rows >rows.jsonl
head -n 3 rows.jsonl | sed 's/"id":"/&q/' >q.jsonl
winnow embed --model $MODELS/bert-tiny --pool rows.jsonl --out s --quiet --precision f32
winnow embed --model $MODELS/bert-tiny --pool q.jsonl --out q --quiet --precision f32
winnow select --strategy deft --pool rows.jsonl --store s --queries q --k 5 --out a.jsonl --quiet
winnow tasks a.jsonl
winnow tasks a.jsonl --json | tr -d ' \n' | grep -o '"shares":\[{[^}]*}\|"by_k":\[{[^}]*}'
winnow select --strategy balanced-random --pool rows.jsonl --budget 6 --out b.jsonl --quiet
winnow tasks b.jsonl
fails winnow tasks nosuch.jsonl
fails winnow tasks

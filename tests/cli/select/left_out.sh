# Lines of a pool's source that are no rows are told where they are left out; a query that is none is an error.
{ rows; echo '{"id":"r0","prompt":"again","target":"x"}'; echo 'no row'; } >rows.jsonl
winnow select --strategy random --pool rows.jsonl --budget 3 | wc -l
winnow dedup --pool rows.jsonl | wc -l
winnow pool build rows.jsonl --out p --quiet
winnow select --strategy random --pool p --budget 3 | wc -l
{ rows | head -n 2; echo 'no query'; } >q.jsonl
fails winnow select --strategy bm25 --pool p --queries q.jsonl --k 1

rows >rows.jsonl
winnow pool build rows.jsonl --out p --quiet
ls p
winnow pool info p
winnow pool info p --json >info.json && grep -c '"rows": 12' info.json
winnow pool show p r4
winnow pool check p
fails winnow pool show p nosuch
fails winnow pool build rows.jsonl --out p --quiet
winnow pool build rows.jsonl --out p --quiet --overwrite && winnow pool check p >/dev/null && echo again

# Members named as a selection's own travel through unchanged, but for those that the strategy writes.
printf '{"id": "%s", "task": "t", "prompt": "about %s", "target": "x", "query": "mine", "score": "own", "rank": [1]}\n' a a b b c c >rows.jsonl
winnow select --strategy all --pool rows.jsonl --out all.jsonl
same rows.jsonl all.jsonl
winnow explain all.jsonl b --json | grep -cE '"(query|score|rank)"'
winnow embed --model $MODELS/bert-tiny --pool rows.jsonl --out s --quiet
winnow select --strategy deft --pool rows.jsonl --store s --queries s --k 1 --out deft.jsonl
sed 's/"score":.*"query"/"score": S, "query"/' deft.jsonl

# A selection in the shapes that other trainers read: a blank sets a completion off where nothing else does.
cat >rows.jsonl <<'END'
{"id": "a", "task": "t", "prompt": "Say \"hi\"", "target": "hi é"}
{"id": "b", "task": "t", "prompt": "Line\n", "target": "one"}
{"id": "c", "task": "t", "prompt": "Two", "target": " two"}
{"id": "d", "task": "t", "prompt": "Nothing", "target": ""}
END
winnow select --strategy all --pool rows.jsonl --out chosen.jsonl
for f in completion alpaca messages sharegpt; do
    winnow export chosen.jsonl --format $f
done
winnow pool build rows.jsonl --out pool --quiet
winnow export pool --format alpaca --out o.jsonl
winnow export chosen.jsonl --format alpaca | cmp - o.jsonl
winnow export o.jsonl --map alpaca --format alpaca | cmp - o.jsonl
fails winnow export chosen.jsonl --format alpaca --out o.jsonl
fails winnow export chosen.jsonl --out x.npy
fails winnow export chosen.jsonl --format jsonl
echo '{"id": "q", "prompt": "no answer"}' | fails winnow export - --format messages --out x
gone x
winnow embed --model $MODELS/bert-tiny --pool pool --out s --quiet
fails winnow export s --format messages
fails winnow export s --map alpaca --format jsonl

echo '{"id": "a", "prompt": "p", "target": "c", "choices": ["x", "y"]}' >choices.jsonl
fails winnow score --model $MODELS/llama-tiny --rows choices.jsonl --quiet
echo '{"id": "a", "prompt": "p"}' >untargeted.jsonl
fails winnow score --model $MODELS/llama-tiny --rows untargeted.jsonl --quiet
rows >rows.jsonl
fails winnow score --model $MODELS/bert-tiny --rows rows.jsonl --quiet
fails winnow score --model $MODELS/llama-tiny --rows rows.jsonl --max-tokens 2 --quiet
fails winnow score --model $MODELS/llama-tiny --adapter nosuch --rows rows.jsonl --quiet
fails winnow score --model $MODELS/llama-tiny --rows rows.jsonl --quiet --out nosuch/out.jsonl
winnow score --model $MODELS/llama-tiny --rows rows.jsonl --quiet >/dev/full
echo "exit $?"

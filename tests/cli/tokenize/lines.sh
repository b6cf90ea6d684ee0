# Ids of lines, of a field of rows, and back; --special, --json, --out.
printf 'The quick brown fox.\n\nIs water wet?\n' >texts
winnow tokenize --model $MODELS/bert-tiny texts
winnow tokenize --model $MODELS/bert-tiny --special no texts >ids
winnow tokenize --model $MODELS/bert-tiny --special=no - <texts | cmp - ids && echo "standard input: the same"
winnow tokenize --model $MODELS/llama-tiny texts >ids
winnow tokenize --model $MODELS/llama-tiny --decode ids
winnow tokenize --model $MODELS/llama-tiny-gguf/model.gguf texts >gguf 2>/dev/null && cmp ids gguf
winnow tokenize --model $MODELS/llama-tiny --field prompt $MODELS/rows.jsonl | wc -l
winnow tokenize --model $MODELS/bert-tiny --json texts
winnow tokenize --model $MODELS/bert-tiny texts --out ids.jsonl --json
fails winnow tokenize --model $MODELS/bert-tiny texts --out ids.jsonl
winnow tokenize --model $MODELS/bert-tiny texts --out ids.jsonl --overwrite && wc -l ids.jsonl
winnow tokenize --model $MODELS/bert-tiny texts --threads 3 | cmp - ids.jsonl

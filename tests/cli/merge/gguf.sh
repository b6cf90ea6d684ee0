# A GGUF file becomes a folder: with an adapter, or as it is; trained whole, it is one too.
rows >rows.jsonl
g=$MODELS/llama-tiny-gguf/model.gguf
a=$MODELS/llama-tiny/adapter
winnow merge --model $g --adapter $a --out f --quiet
winnow merge --model $g --out plain --save-dtype bf16 --quiet
winnow merge --model $MODELS/llama-tiny --out copy --quiet
ls f
score() { winnow score --rows rows.jsonl --precision f32 --quiet "$@" | sed 's/\(\.[0-9]\{3\}\)[0-9]*/\1/g'; }
score --model $g --adapter $a >with
score --model f >merged
same with merged
score --model $g >before
score --model plain >after
same before after
score --model copy >copied
score --model $MODELS/llama-tiny >own
same copied own
grep -v sha256 f/config.json
winnow tokenize --model $g --field prompt rows.jsonl >ids.gguf
winnow tokenize --model f --field prompt rows.jsonl >ids.folder
same ids.gguf ids.folder
winnow train --model $g --data rows.jsonl --out t --method full --steps 2 --quiet >/dev/null && ls t
winnow score --model t --rows rows.jsonl --quiet | wc -l
winnow merge --model $g --adapter $a --out f2 --threads 1 --quiet
same_tree f f2

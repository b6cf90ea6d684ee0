# A merged folder scores as the model with its adapter does; other types, small files, the same bytes again.
rows >rows.jsonl
m=$MODELS/llama-tiny
winnow merge --model $m --adapter $m/adapter --out f --save-dtype f32 --quiet
winnow merge --model $m --adapter $m/adapter --out s --save-dtype f32 --shard-size 8000 --quiet
winnow merge --model $m --adapter $m/adapter --out b --quiet
ls f b
ls s | sed 's/model-0.*-of/model-N-of/' | uniq
winnow score --model $m --adapter $m/adapter --rows rows.jsonl --precision f32 --quiet | sed 's/\(\.[0-9]\{3\}\)[0-9]*/\1/g' >with
winnow score --model f --rows rows.jsonl --precision f32 --quiet | sed 's/\(\.[0-9]\{3\}\)[0-9]*/\1/g' >merged
winnow score --model s --rows rows.jsonl --precision f32 --quiet | sed 's/\(\.[0-9]\{3\}\)[0-9]*/\1/g' >sharded
same with merged
same with sharded
grep dtype f/config.json b/config.json
winnow merge --model $m --adapter $m/adapter --out f2 --save-dtype f32 --threads 1 --quiet
same_tree f f2
fails winnow merge --model $m --adapter $m/adapter --out f
winnow merge --model $m --adapter $m/adapter --out f --overwrite --save-dtype bf16 --json | sed 's/[0-9a-f]\{64\}/HASH/'

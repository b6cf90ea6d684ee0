# Adam's step with the moments of a training checkpoint: another store than the plain gradient's, the same for
# every cut of the batch.
rows >rows.jsonl
M="--model $MODELS/llama-tiny --adapter $MODELS/llama-tiny/adapter"
f32="--quiet --precision f32"
kill_when a.partial/checkpoint.safetensors 1 winnow train $M --data rows.jsonl --out a --steps 400 --save-every 1 --batch 2 $f32
[ -e a.partial/checkpoint.safetensors ] || skip "the kill came too late"
cp a.partial/checkpoint.safetensors ckpt
winnow grad $M --pool rows.jsonl --out plain --project 8 $f32
winnow grad $M --pool rows.jsonl --out s --project 8 $f32 --adam ckpt
winnow grad $M --pool rows.jsonl --out t --project 8 $f32 --adam ckpt --max-batch-tokens 1 --threads 3
same_tree s t
cmp -s plain/rows.bin s/rows.bin && echo "the moments change nothing"
grep -c '"adam"' s/store.json
# LESS pairs steps of rows with plain gradients of queries; nobody else does, and not the other way round
winnow select --strategy less --store s --queries plain --budget 3 --out chosen --quiet && wc -l <chosen
fails winnow select --strategy less --store plain --queries s --budget 3 2>err
fails winnow select --strategy gradex-fs --store s --queries plain --budget 3 2>>err
sed 's/{.*}\|"[0-9a-f]\{64\}"/CKPT/' err

# An adapter, byte for byte the same with any number of threads, that score and eval take.
rows >rows.jsonl
o="--model $MODELS/llama-tiny --data rows.jsonl --steps 6 --batch 4 --lr 1e-2 --rank 2 --precision f32 --quiet"
winnow train $o --out a
ls a
for t in 1 3; do
    winnow train $o --out t$t --threads $t
    same a/adapter_model.safetensors t$t/adapter_model.safetensors
done
winnow train $o --out seed --seed 1
cmp -s a/adapter_model.safetensors seed/adapter_model.safetensors && echo "the seed changes nothing"
fails winnow train $o --out a
winnow train $o --out a --overwrite --resume && echo again
grep -c '"loss"' a/train.jsonl
winnow score --model $MODELS/llama-tiny --adapter a --rows rows.jsonl --quiet | wc -l
winnow train $o --adapter a --out b && [ -e b/adapter_model.safetensors ] && echo "went on"

# kill -9 in training, then the same command: the same bytes as in one go.
rows >rows.jsonl
o="--model $MODELS/llama-tiny --data rows.jsonl --epochs 40 --batch 2 --rank 2 --save-every 5 --precision f32 --quiet"
winnow train $o --out whole --threads 1
cuts=0
for at in 500 3000 10000; do
    rm -rf cut
    kill_when cut.partial/train.jsonl $at winnow train $o --out cut --threads 1
    if [ ! -e cut/adapter_model.safetensors ]; then
        cuts=$((cuts + 1))
        winnow train $o --out cut --threads 2
    fi
    same whole/adapter_model.safetensors cut/adapter_model.safetensors
done
[ $cuts -gt 0 ] || echo "no kill came in time"

# Every method and optimizer: what it writes, and that it says what it did.
rows >rows.jsonl
o="--model $MODELS/llama-tiny --data rows.jsonl --steps 3 --batch 4 --precision f32 --quiet"
for optimizer in adamw adam adafactor sgd lion; do
    winnow train $o --optimizer $optimizer --out $optimizer && ls $optimizer | tr '\n' ' '
    sed -n 's/.*"optimizer": "\(.*\)".*/\1/p' $optimizer/train.json
done
winnow train $o --optimizer lion --state 8bit --out eight
winnow train $o --optimizer adafactor --relative-step --warmup-init --out relative
winnow train $o --optimizer sgd --momentum 0.9 --nesterov --weight-decay 0.1 --no-decay 're:.*lora_A.*' --out sgd2
winnow train $o --method ia3 --out ia3 && grep -c ia3_l ia3/adapter_model.safetensors
winnow train $o --method ia3 --targets k_proj,v_proj,down_proj --feedforward down_proj --out ia3b
same ia3/adapter_model.safetensors ia3b/adapter_model.safetensors
winnow train $o --targets 'layers.0.*.[qk]_proj' --rslora --out few
sed -n '/target_modules/,/]/p' few/adapter_config.json
winnow train $o --targets 're:.*\.v_proj' --out values && grep -o '"v_proj"' values/adapter_config.json
winnow train $o --method full --freeze embed_tokens,norm --lr 1 --out full
winnow train $o --method full --train layers.1 --schedule slanted --slanted-cut 0.5 --slanted-ratio 4 --clip-value 0.1 --out part
winnow train ${o%--batch*} --precision f32 --quiet --batch-tokens 40 --loss-mean token --checkpointing yes --out tokens
for d in full part; do
    winnow score --model $d --rows rows.jsonl --quiet | wc -l
done

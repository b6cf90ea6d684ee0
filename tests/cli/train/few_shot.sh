# DEFT's few-shot stage on rows with choices, T-Few's losses, and an evaluation that ranks.
cat >shots.jsonl <<'X'
{"id": 1, "prompt": "Is ice warm?", "target": "no", "choices": ["yes", "no"]}
{"id": 2, "prompt": "Is fire warm?", "target": "yes", "choices": ["yes", "no"]}
{"id": 3, "prompt": "Is snow white?", "target": "yes", "choices": ["yes", "no", "maybe"]}
X
o="--model $MODELS/llama-tiny --data shots.jsonl --method ia3 --optimizer adafactor --lr 3e-1 --steps 12 --warmup 6% --batch 2 --clip-norm 1 --precision f32 --quiet"
winnow train $o --eval shots.jsonl --eval-every 6 --out lm
winnow train $o --loss t-few --eval shots.jsonl --eval-every 6 --out t-few
for d in lm t-few; do
    grep -c '"eval_loss"' $d/train.jsonl
    grep -o '"eval_accuracy":[01.]*' $d/train.jsonl | tail -n 1
done
winnow train $o --eval shots.jsonl --eval-every 2 --keep both --patience 3 --out both && ls both both/best
echo '{"id": "plain", "prompt": "a", "target": "b"}' >plain.jsonl
fails winnow train --model $MODELS/llama-tiny --data plain.jsonl --loss t-few --out x --quiet
gone x

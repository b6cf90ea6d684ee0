# A base of 8 or 4 bits: trains, the same bytes for any number of threads, a loss near the exact base's; method full says no.
rows >rows.jsonl
for b in auto q8 q4; do
    for t in 1 3; do
        winnow train --model $MODELS/llama-tiny --data rows.jsonl --base $b --precision f32 --threads $t --steps 3 --out $b$t --quiet
    done
    cmp ${b}1/adapter_model.safetensors ${b}3/adapter_model.safetensors
    sed -n 's/.*"loss": *\([0-9.]*\).*/\1/p' ${b}1/train.jsonl | head -1
done | awk 'NR == 1 { exact = $1 } { d = $1 / exact - 1; print (d < 0.03 && d > -0.03 ? "near" : "far " d) }'
fails winnow train --model $MODELS/llama-tiny --data rows.jsonl --base q4 --method full --out x --quiet
fails winnow train --model $MODELS/llama-tiny --data rows.jsonl --base q8 --precision int8 --out x --quiet
gone x

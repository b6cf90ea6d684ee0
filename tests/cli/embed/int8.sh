# int8: models that are only run; vectors near those of f32, the same for any number of threads; training says no.
rows >rows.jsonl
for t in 1 3; do
    winnow embed --model $MODELS/bert-tiny --pool rows.jsonl --precision int8 --threads $t --out s$t --quiet
done
cmp s1/rows.bin s3/rows.bin
winnow score --model $MODELS/llama-tiny --rows rows.jsonl --precision int8 --quiet --out scores.jsonl
test -s scores.jsonl && echo scored
fails winnow train --model $MODELS/llama-tiny --data rows.jsonl --precision int8 --out x --quiet
fails winnow train --model $MODELS/llama-tiny --data rows.jsonl --precision int8 --method full --out x --quiet
gone x

rows >rows.jsonl
: >none.jsonl
o="--model $MODELS/llama-tiny --out x --quiet"
fails winnow train $o --data none.jsonl
fails winnow train $o --data nosuch.jsonl
printf '{"prompt": "a", "target": "b"}\n{"prompt": "a", "targ\n' >bad.jsonl
fails winnow train $o --data bad.jsonl
fails winnow train $o --data rows.jsonl --targets nosuch_proj
fails winnow train $o --data rows.jsonl --warmup 5x
fails winnow train $o --data rows.jsonl --warmup 200%
fails winnow train $o --data rows.jsonl --max-tokens 2
fails winnow train --model $MODELS/bert-tiny --out x --quiet --data rows.jsonl
fails winnow train $o --data rows.jsonl --rank 1024 --max-memory 9M --precision f32
gone x
o="$o --data rows.jsonl"
fails winnow train $o --method full --freeze nosuch
fails winnow train $o --method full --freeze '*'
fails winnow train $o --method full --targets q_proj
fails winnow train $o --freeze norm
fails winnow train $o --method ia3 --rank 4
fails winnow train $o --method ia3 --targets q_proj --feedforward k_proj
fails winnow train $o --targets 're:('
fails winnow train $o --optimizer adamw --momentum 0.9
fails winnow train $o --optimizer sgd --state 8bit
fails winnow train $o --batch 4 --batch-tokens 100
fails winnow train $o --patience 3
fails winnow train $o --dropout much
fails winnow train $o --adapter $MODELS/llama-untied/adapter
fails winnow train $o --adapter $MODELS/llama-tiny/adapter --rank 5
fails winnow train $o --schedule linear --slanted-cut 0.2
printf 'r0\nnosuch\n' >order
fails winnow train $o --order order
printf '{"prompt": "a", "target": "one two three four five six seven eight nine ten"}\n' >long.jsonl
fails winnow train --model $MODELS/llama-tiny --out x --quiet --data long.jsonl --max-tokens 8
gone x
fails winnow train --model $MODELS/llama-tiny --out x --quiet --data rows.jsonl --lr 1e9 --optimizer sgd --method full --precision f32
ls x.partial

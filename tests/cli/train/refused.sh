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
fails winnow train $o --data rows.jsonl --max-memory 1K --precision f32
gone x

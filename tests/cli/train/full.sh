rows >rows.jsonl
winnow train --model $MODELS/llama-tiny --data rows.jsonl --method full --steps 3 --batch 4 --out m --quiet
winnow score --model m --rows rows.jsonl --quiet | wc -l
winnow model info m --json | grep -c '"family"'

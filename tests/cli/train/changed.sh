# Rows changed between a killed run and the next: not gone on with silently.
rows >rows.jsonl
o="--model $MODELS/llama-tiny --data rows.jsonl --epochs 60 --batch 2 --rank 2 --save-every 5 --precision f32 --quiet"
kill_when x.partial/train.jsonl 3000 winnow train $o --out x --threads 1
[ -e x.partial ] || skip "the kill came too late"
rows | sed 's/red/green/g' >rows.jsonl
fails winnow train $o --out x 2>err
sed 's/[0-9a-f]\{16,\}/HASH/g' err
winnow train $o --out x --overwrite && ls x

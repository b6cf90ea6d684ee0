# Rows without choices are answered by generating; what shares a batch, threads and memory show nowhere.
i=0
while [ $i -lt 40 ]; do
    echo "{\"id\":$i,\"prompt\":\"Is ice warm? $i\",\"target\":\"no\"}"
    i=$((i + 1))
done >rows.jsonl
winnow eval --model $MODELS/llama-tiny --rows rows.jsonl --precision f32 --max-new 7 --threads 1 --quiet --out one.jsonl |
    grep -o '"metric": "rouge-l"'
winnow eval --model $MODELS/llama-tiny --rows rows.jsonl --precision f32 --max-new 7 --threads 3 --quiet --out three.jsonl >json
same one.jsonl three.jsonl
sed -n 7p rows.jsonl >row.jsonl
winnow eval --model $MODELS/llama-tiny --rows row.jsonl --precision f32 --max-new 7 --quiet --out alone.jsonl >json
sed -n 7p one.jsonl >seventh.jsonl
same seventh.jsonl alone.jsonl
cut -d, -f1 alone.jsonl
grep -o '"raw"\|"score"' alone.jsonl
# a mixed file: choices are ranked, others generated; --answer decides for all
printf '%s\n' '{"id":"a","prompt":"Is ice warm?","target":"no","choices":["no","yes"]}' \
    '{"id":"b","prompt":"Is ice warm?","target":"no"}' >mixed.jsonl
winnow eval --model $MODELS/llama-tiny --rows mixed.jsonl --max-new 4 --quiet --out mixed.out >json
grep -c '"choices"' mixed.out
winnow eval --model $MODELS/llama-tiny --rows mixed.jsonl --max-new 4 --quiet --answer generate --out generated.out >json
grep -c '"raw"' generated.out
fails winnow eval --model $MODELS/llama-tiny --rows mixed.jsonl --quiet --answer rank
fails winnow eval --model $MODELS/llama-tiny --rows mixed.jsonl --quiet
fails winnow eval --model $MODELS/llama-tiny --rows mixed.jsonl --max-new 4 --max-memory 2500K --quiet
fails winnow eval --model $MODELS/llama-tiny --rows mixed.jsonl --max-new 4 --stop '' --quiet
fails winnow eval --model $MODELS/bert-tiny --rows mixed.jsonl --quiet
gone none.out

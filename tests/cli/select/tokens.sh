# A budget in tokens: the manifest names the tokenizer that counted them by its hash; a store's own counts need none.
rows >rows.jsonl
for m in llama-tiny bert-tiny; do
    winnow select --strategy random --pool rows.jsonl --model $MODELS/$m --budget-tokens 60 --out $m.jsonl --quiet
    hash=$(sha256sum <$MODELS/$m/tokenizer.json)
    grep -A 3 '"tokens_of"' $m.jsonl.manifest.json | sed "s/${hash%% *}/HASH/"
done
winnow embed --model $MODELS/bert-tiny --pool rows.jsonl --out s --quiet
winnow select --strategy random --pool rows.jsonl --store s --budget-tokens 60 --out s.jsonl
grep -c tokens_of s.jsonl.manifest.json
grep '"tokens"' s.jsonl.manifest.json

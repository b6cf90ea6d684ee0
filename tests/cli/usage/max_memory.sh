# --max-memory holds in every command: what would need more is refused, with nothing left behind.
rows >rows.jsonl
winnow embed --model $MODELS/bert-tiny --pool rows.jsonl --out s --quiet
for what in "embed --model $MODELS/bert-tiny --pool rows.jsonl" "pool build rows.jsonl" "search --store s --queries s" \
    "score --model $MODELS/llama-tiny --rows rows.jsonl" "select --strategy deft --store s --queries s"; do
    fails winnow $what --max-memory 40K --out o 2>err
    sed 's/found .*/found .../' err
    gone o
    winnow $what --max-memory 1G --out o --quiet
    rm -rf o*
done

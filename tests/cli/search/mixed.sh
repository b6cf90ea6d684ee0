# Stores that do not belong together are refused by the field that differs.
rows >rows.jsonl
winnow embed --model $MODELS/bert-tiny --pool rows.jsonl --out a --quiet
winnow embed --model $MODELS/bert-tiny --pool rows.jsonl --out b --quiet --pooling cls
fails winnow search --store a --queries b --k 2
winnow search --store a --queries a --k 1 --quiet | grep -c '"hits"'

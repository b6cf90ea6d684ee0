# A store, its export, a finished --out, threads.
rows >rows.jsonl
winnow pool build rows.jsonl --out pool --quiet
winnow embed --model $MODELS/bert-tiny --pool pool --out s --quiet
ls s
fails winnow embed --model $MODELS/bert-tiny --pool pool --out s --quiet
winnow embed --model $MODELS/bert-tiny --pool pool --out s --quiet --overwrite
for t in 1 2 5; do
    winnow embed --model $MODELS/bert-tiny --pool pool --out t$t --quiet --threads $t
    same_tree s t$t
done
winnow embed --model $MODELS/bert-tiny --pool rows.jsonl --out raw --quiet && cmp s/rows.bin raw/rows.bin
winnow embed --model $MODELS/bert-tiny --pool pool --out j --quiet --json >json
grep -c '"command": "embed"' json
for o in "--pooling cls" "--normalize yes" "--layer 1" "--text both" "--max-tokens 4"; do
    rm -rf o
    winnow embed --model $MODELS/bert-tiny --pool pool --out o --quiet $o
    cmp -s s/rows.bin o/rows.bin && echo "$o changes nothing"
done
winnow embed --model $MODELS/llama-tiny --pool pool --out l --pooling last --quiet && ls l | wc -l

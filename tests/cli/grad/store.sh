# A store of gradients: what is beside them, a finished --out, threads, the batch's cut, one option after the other.
rows >rows.jsonl
M=$MODELS/llama-tiny A="--adapter $MODELS/llama-tiny/adapter"
f32="--quiet --precision f32"
winnow pool build rows.jsonl --out pool --quiet
winnow grad --model $M $A --pool pool --out s --project 16 $f32
ls s
winnow export s --format jsonl --out s.jsonl
winnow score --model $M $A --rows rows.jsonl --precision f32 --quiet --out score.jsonl
head -n 3 s.jsonl | sed 's/, "vector.*//; s/\(\.[0-9]\{3\}\)[0-9]*/\1/g'
head -n 3 score.jsonl | sed 's/, "choices.*//; s/\(\.[0-9]\{3\}\)[0-9]*/\1/g'
fails winnow grad --model $M $A --pool pool --out s --project 16 $f32
winnow grad --model $M $A --pool pool --out s --project 16 $f32 --overwrite
for t in 1 2 5; do
    winnow grad --model $M $A --pool pool --out t$t --project 16 $f32 --threads $t
    same_tree s t$t
done
winnow grad --model $M $A --pool pool --out b --project 16 $f32 --max-batch-tokens 1
same_tree s b
winnow grad --model $M $A --pool rows.jsonl --out raw --project 16 $f32 && cmp s/rows.bin raw/rows.bin
winnow grad --model $M $A --pool pool --out j --project 16 $f32 --json | grep -c '"command": "grad"'
winnow grad --model $M $A --pool pool --out e --project 16 $f32 --params lora --quantity loss --projection rademacher --seed 0
same_tree s e
for o in "--quantity margin" "--quantity margin-ref" "--projection mt19937" "--projection kron" "--seed 1" \
    "--params q_proj" "--loss-on all" "--max-target 2" "--params all"; do
    rm -rf o
    winnow grad --model $M $A --pool pool --out o --project 16 $f32 $o
    cmp -s s/rows.bin o/rows.bin && echo "$o changes nothing"
done
grep '"parameters"\|"params"' s/store.json o/store.json
# all parameters, raw; an adapter that was never trained, on demand
winnow grad --model $M --pool pool --out all --project 0 $f32 && grep '"dim"\|"params"' all/store.json
winnow grad --model $M --pool pool --out part --project 0 $f32 --params '!embed_tokens,mlp' && grep '"dim"' part/store.json
winnow grad --model $M --pool pool --out new --project 0 $f32 --rank 2 --targets q_proj && grep '"dim"' new/store.json
grep -A4 new_adapter new/store.json
# an encoder-decoder
for w in a b "a b" "b a"; do echo "{\"prompt\":\"$w a b\",\"target\":\"b $w\"}"; done >words.jsonl
winnow grad --model $MODELS/../families/t5-v1.0 --pool words.jsonl --out whole --project 8 $f32 --threads 1
winnow grad --model $MODELS/../families/t5-v1.0 --pool words.jsonl --out cut --project 8 $f32 --max-batch-tokens 3
same_tree whole cut

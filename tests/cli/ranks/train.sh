# Training by any number of ranks ends with the weights, losses and manifest of one process: adapters with dropout,
# all parameters (tied or not), rescalings, encoder-decoders; more ranks than batches; evaluation; killed and gone on.
need_ranks
i=0
while [ $i -lt 8 ]; do rows | sed "s/\"id\":\"/&$i-/; s/prompt\":\"/&$i /"; i=$((i + 1)); done >rows.jsonl
t5=$ROOT/tests/goldens/families/t5-v1.0
gpt2=$ROOT/tests/goldens/families/gpt2
same_log() { # losses and norms
    sed 's/,"tokens_per_sec.*//' $1/train.jsonl >a
    sed 's/,"tokens_per_sec.*//' $2/train.jsonl >b
    cmp a b
}
compare() { # NAME N OPTIONS...
    name=$1
    n=$2
    shift 2
    train="winnow train --data rows.jsonl --batch 16 --steps 6 --max-batch-tokens 60 --quiet"
    $train "$@" --out $name
    ranks $n $train "$@" --out $name.$n
    same_tree $name $name.$n
    same_log $name $name.$n
}
compare lora 2 --model $MODELS/llama-tiny --dropout 0.1 --eval rows.jsonl --eval-every 2 --keep both
compare lora 3 --model $MODELS/llama-tiny --dropout 0.1 --eval rows.jsonl --eval-every 2 --keep both --overwrite
compare full 3 --model $MODELS/llama-tiny --method full
compare gpt2 2 --model $gpt2 --method full --dropout model
compare ia3 2 --model $t5 --method ia3 --loss t-few
compare t5 3 --model $t5 --method full --optimizer adafactor --clip-norm 1
compare early 2 --model $MODELS/llama-tiny --lr 0.03 --eval rows.jsonl --eval-every 1 --patience 1 --steps 30
[ "$(grep -c '"loss"' early/train.jsonl)" -lt 30 ] || echo "it did not stop early"
compare single 2 --model $MODELS/llama-tiny --batch 1

# kill -9 of a rank behind a checkpoint, then on with another number
train="winnow train --data rows.jsonl --model $MODELS/llama-tiny --batch 16 --steps 300 --save-every 5 --quiet"
$train --out whole
cuts=0
for r in "1 3" "0 2"; do
    set -- $r
    rm -rf cut cut.partial
    ranks 2 $train --out cut &
    pid=$!
    while [ ! -e cut.partial/checkpoint.safetensors ] && kill -0 $pid 2>/dev/null; do :; done
    kill -9 "$(cat pid.$1)" 2>/dev/null
    wait $pid
    if [ ! -e cut ]; then
        cuts=$((cuts + 1))
        ranks $2 $train --out cut
    fi
    same_tree whole cut
    same_log whole cut
done
[ $cuts -gt 0 ] || echo "no kill came in time"

# what all run into is said once
fails ranks 2 winnow train --model $MODELS/llama-tiny --data rows.jsonl --out s --quiet --lr 1e9 --optimizer sgd \
    --method full --precision f32 2>said
sed 's/: loss.*//' said
fails ranks 2 winnow train --model $MODELS/llama-tiny --data - --out s --quiet

winnow score --model $MODELS/llama-tiny --rows $MODELS/rank.jsonl --precision f32 --quiet >all
wc -l <all
head -n 2 all | sed 's,\([0-9]\.[0-9]\)[0-9]*,\1,g'
for t in 1 3; do
    winnow score --model $MODELS/llama-tiny --rows $MODELS/rank.jsonl --precision f32 --quiet --threads $t | cmp - all
done
# a row alone has the same score as among others
sed -n 2p $MODELS/rank.jsonl >one.jsonl
winnow score --model $MODELS/llama-tiny --rows one.jsonl --precision f32 --quiet >one
sed -n 2p all | cmp - one && echo "alone: the same"
winnow score --model $MODELS/llama-tiny --adapter $MODELS/llama-tiny/adapter --rows one.jsonl --precision f32 --quiet |
    cmp -s - one && echo "the adapter changes nothing"
winnow score --model $MODELS/llama-tiny --rows one.jsonl --loss-on all --precision f32 --quiet |
    cmp -s - one && echo "--loss-on all changes nothing"
:

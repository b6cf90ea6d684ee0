# kill -9 anywhere, then the same command: the same bytes as in one go. (A kill may come too late on a busy
# machine; not every one may.)
i=0
while [ $i -lt 30 ]; do rows | sed "s/\"id\":\"/&$i-/; s/prompt\":\"/&$i /"; i=$((i + 1)); done >rows.jsonl
winnow pool build rows.jsonl --out pool --quiet
grad="winnow grad --model $MODELS/llama-tiny --pool pool --project 50 --quiet --precision f32"
$grad --out whole --threads 1
cuts=0
for at in 4097 24000 64000; do
    rm -rf cut
    kill_when cut/rows.bin $at $grad --out cut --threads 1 --max-batch-tokens 64
    if [ ! -e cut/store.json ]; then
        cuts=$((cuts + 1))
        winnow export cut --format jsonl 2>>refused && echo "an unfinished store was exported"
        $grad --out cut --threads 2
    fi
    same_tree whole cut
done
[ $cuts -gt 0 ] || echo "no kill came in time"

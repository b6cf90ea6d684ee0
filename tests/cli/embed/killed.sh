# kill -9 anywhere, then the same command: the same bytes as in one go. (A kill may come too late on a busy
# machine; not every one may.)
i=0
while [ $i -lt 40 ]; do rows | sed "s/\"id\":\"/&$i-/; s/prompt\":\"/&$i /"; i=$((i + 1)); done >some
i=0
while [ $i -lt 10 ]; do sed "s/\"id\":\"/&$i-/; s/prompt\":\"/&$i /" some; i=$((i + 1)); done >rows.jsonl
winnow pool build rows.jsonl --out pool --quiet
winnow embed --model $MODELS/bert-tiny --pool pool --out whole --quiet --threads 1
cuts=0
for at in 4097 104000 304000; do
    rm -rf cut
    kill_when cut/rows.bin $at winnow embed --model $MODELS/bert-tiny --pool pool --out cut --quiet --threads 1
    if [ ! -e cut/store.json ]; then
        cuts=$((cuts + 1))
        winnow export cut --format jsonl 2>>refused && echo "an unfinished store was exported"
        winnow embed --model $MODELS/bert-tiny --pool pool --out cut --quiet --threads 2
    fi
    same_tree whole cut
done
[ $cuts -gt 0 ] || echo "no kill came in time"

# kill -9 anywhere, then the same command: the same bytes as in one go.
i=0
while [ $i -lt 300 ]; do rows | sed "s/\"id\":\"/&$i-/; s/prompt\":\"/&$i /"; i=$((i + 1)); done >rows.jsonl
winnow pool build rows.jsonl --out pool --quiet
winnow embed --model $MODELS/bert-tiny --pool pool --out whole --quiet --threads 1
for at in 1000 50000 200000; do
    rm -rf cut
    kill_when cut/rows.bin $at winnow embed --model $MODELS/bert-tiny --pool pool --out cut --quiet --threads 1
    [ -e cut/store.json ] && echo "killed too late at $at" >&2
    fails winnow export cut --format jsonl 2>/dev/null
    winnow embed --model $MODELS/bert-tiny --pool pool --out cut --quiet --threads 2
    same_tree whole cut
done

# kill -9 of any rank ends all; then the same command, by as many ranks, more, or none: the same bytes as in one go.
# (A kill may come too late on a busy machine; not every one may.)
need_ranks
i=0
while [ $i -lt 40 ]; do rows | sed "s/\"id\":\"/&$i-/; s/prompt\":\"/&$i /"; i=$((i + 1)); done >some
i=0
while [ $i -lt 10 ]; do sed "s/\"id\":\"/&$i-/; s/prompt\":\"/&$i /" some; i=$((i + 1)); done >rows.jsonl
winnow pool build rows.jsonl --out pool --quiet
embed="winnow embed --model $MODELS/bert-tiny --pool pool --quiet --threads 1 --out"
$embed whole

# Waits until FILE has N bytes, then kills RANK.
kill_rank() { # FILE N RANK
    while [ "$(stat -c %s "$1" 2>/dev/null || echo 0)" -lt "$2" ]; do
        kill -0 $pid 2>/dev/null || break
    done
    kill -9 "$(cat pid.$3)" 2>/dev/null
    wait $pid
}
cuts=0
for at in "4097 1 2" "104000 0 3" "204000 2 0"; do
    set -- $at
    rm -rf cut
    ranks 3 $embed cut &
    pid=$!
    kill_rank cut/rows.bin $1 $2
    if [ ! -e cut/store.json ]; then
        cuts=$((cuts + 1))
        if [ $3 = 0 ]; then $embed cut; else ranks $3 $embed cut; fi
    elif [ -e cut/partial.json ]; then # between the last two steps of finishing
        $embed cut 2>>refused
    fi
    same_tree whole cut
done
[ $cuts -gt 0 ] || echo "no kill came in time"

# Any number of ranks writes the bytes that one process writes; what stood already is gone on with, or refused.
need_ranks
i=0
while [ $i -lt 40 ]; do rows | sed "s/\"id\":\"/&$i-/; s/prompt\":\"/&$i /"; i=$((i + 1)); done >rows.jsonl
head -n 200 rows.jsonl >first.jsonl
winnow pool build rows.jsonl --out pool --quiet
embed() { winnow embed --model $MODELS/bert-tiny --max-tokens 12 "$@"; }
embed --pool pool --out one 2>said
for n in 2 3; do
    ranks $n winnow embed --model $MODELS/bert-tiny --max-tokens 12 --pool pool --out r$n 2>said.$n
    same_tree one r$n
    same said said.$n
done
ranks 2 winnow embed --model $MODELS/bert-tiny --max-tokens 12 --pool rows.jsonl --out raw --json --threads 2 \
    >done.json 2>/dev/null
cmp one/rows.bin raw/rows.bin
grep -c '"command": "embed"' done.json

# a pool that has grown
embed --pool first.jsonl --out grown --quiet
ranks 3 winnow embed --model $MODELS/bert-tiny --max-tokens 12 --pool rows.jsonl --out grown --quiet
cmp one/rows.bin grown/rows.bin

# a finished store
fails ranks 2 winnow embed --model $MODELS/bert-tiny --max-tokens 12 --pool pool --out one --quiet
same_tree one r2

# cores that the launcher leaves to nobody
if [ "$(nproc)" -gt 1 ]; then
    one=$(taskset -pc $$ | sed 's/.*: *//; s/[-,].*//')
    ranks 2 taskset -c "$one" winnow embed --model $MODELS/bert-tiny --max-tokens 12 --pool pool --out bound 2>said
    sed -n 's/of [0-9]* cores/of .. cores/p' said
else
    echo "winnow: the ranks of this machine, 2, may use 1 of .. cores; mpirun --bind-to none lets them use all"
fi

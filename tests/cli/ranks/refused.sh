# An error on any rank ends all of them with one line that names the rank; nothing is left half-written.
need_ranks
i=0
while [ $i -lt 20 ]; do rows | sed "s/\"id\":\"/&$i-/; s/prompt\":\"/&$i /"; i=$((i + 1)); done >rows.jsonl
winnow pool build rows.jsonl --out pool --quiet

# all of them
fails ranks 2 winnow embed --model nowhere --pool pool --out s --quiet
fails ranks 2 winnow embed --modell x --pool pool --out s --quiet
fails ranks 2 winnow embed --model $MODELS/bert-tiny --pool - --out s --quiet
gone s

# commands that would do the same work twice over the same output
fails ranks 2 winnow pool build rows.jsonl --out p --quiet 2>&1 | sed 's/there is .*/there is .../'
fails ranks 2 winnow doctor 2>&1 | sed 's/there is .*/there is .../'
gone p

# rank 1 alone
other() { # rank 1 finds its files in another folder
    ranks 2 sh -c 'cd $OMPI_COMM_WORLD_RANK && exec "$@"' rank \
        winnow embed --model $MODELS/llama-tiny --pool rows.jsonl --out ../s --quiet
}
mkdir 0 1
cp rows.jsonl 0
fails other
sed 's/thing/item/' rows.jsonl >1/rows.jsonl
fails other
gone s

# processes that were started together and cannot find each other
OMPI_COMM_WORLD_SIZE=2 fails winnow embed --model $MODELS/bert-tiny --pool pool --out s --quiet
SLURM_STEP_NUM_TASKS=4 fails winnow pool build rows.jsonl --out p --quiet
gone s
gone p

# unless each is to be by itself
WN_RANKS=1 ranks 2 sh -c 'exec "$@" --out own$OMPI_COMM_WORLD_RANK' rank \
    winnow embed --model $MODELS/bert-tiny --pool pool --quiet
same_tree own0 own1

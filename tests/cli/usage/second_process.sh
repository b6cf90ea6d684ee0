# A folder that another process is writing is left alone, by every command that makes one; afterwards the same command works.
rows >rows.jsonl
M=$MODELS/llama-tiny
winnow train --model $M --data rows.jsonl --steps 1 --out adapter --quiet
winnow embed --model $MODELS/bert-tiny --pool rows.jsonl --out v --quiet
held() { # FOLDER COMMAND...
    folder=$1
    shift
    mkdir $folder
    echo kept >$folder/file
    flock $folder sh -c 'echo >lock; while [ -e lock ]; do sleep 0.02; done' &
    until [ -e lock ]; do sleep 0.02; done
    fails "$@" --quiet
    cat $folder/file
    rm lock
    wait
    rm $folder/file
    "$@" --quiet && echo done
}
held p.partial winnow pool build rows.jsonl --out p
held a.partial winnow train --model $M --data rows.jsonl --steps 1 --out a/
held m.partial winnow merge --model $M --adapter adapter --out m
held s winnow embed --model $MODELS/bert-tiny --pool rows.jsonl --out s
held g winnow grad --model $M --pool rows.jsonl --project 4 --out g
held t winnow store merge v --out t
ls

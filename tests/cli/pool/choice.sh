# Task folders with a list of tasks, so many rows of each; folders of (data set, template) with splits.
mkdir tasks splits
for t in 1 2 3; do
    {
        printf '{"Definition": ["Do task %s"], "Instances": [' $t
        i=0
        while [ $i -lt 4 ]; do
            [ $i = 0 ] || printf ','
            printf '{"id": "task%s-%s", "input": "thing %s", "output": ["a%s", "b"]}' $t $i $i $i
            i=$((i + 1))
        done
        printf ']}\n'
    } >tasks/task${t}_name.json
done
printf 'task3_name\n\n task1_name \n' >splits/train_tasks.txt
winnow pool build tasks --map superni --tasks splits/train_tasks.txt --per-task 3 --out P
winnow pool info P --json | tr -d ' \n' | grep -o '"rows":[0-9]*\|"tasks":{[^}]*}'
winnow pool show P task3-1 | grep -o '"prompt": "[^"]*"'
winnow pool build tasks --map superni-raw --tasks splits/train_tasks.txt --per-task 3 --dedup none --out R --quiet
winnow pool show R task3-1 | grep -o '"prompt": "[^"]*"'
tr -d ' \n' <P/pool.json | grep -o '"per_task":[0-9]*\|"left_out":[0-9]*\|"tasks_listed_sha256":"[0-9a-f]*"'
echo task9_name >>splits/train_tasks.txt
fails winnow pool build tasks --map superni --tasks splits/train_tasks.txt --out Q --quiet
: >none
fails winnow pool build tasks --map superni --tasks none --out Q --quiet
gone Q
# P3, as its data sets lie: a folder a (data set, template), a file a split
for c in ag_news_classify cos_e_rationale; do
    mkdir -p p3/$c
    for s in train validation test; do
        printf '{"inputs": [1, 2], "inputs_pretokenized": " %s of %s ", "targets": [3, 1], "targets_pretokenized": "\\nyes\\n", "answer_choices": [" yes", "no "]}\n' $s $c >p3/$c/$s.jsonl
    done
    mv p3/$c/train.jsonl p3/$c/train-00000-of-00001.jsonl
done
echo '{"inputs_pretokenized": "q", "targets_pretokenized": 5}' >>p3/cos_e_rationale/test.jsonl
winnow pool build p3 --map p3 --out A
winnow pool info A --json | tr -d ' \n' | grep -o '"tasks":{[^}]*}\|"reasons":{.*}'
echo
winnow pool build p3 --map p3 --split train --out T --quiet
cat T/rows.jsonl
fails winnow pool build p3 --map p3 --split tra --out Q --quiet
# the authors' own files
cat >0_seed.jsonl <<'J'
{"input": "Yes or no?", "target": " yes", "answer_choices": ["yes", "no"], "index_id": 7, "attribution_frequency": 2}
{"input": "Say it", "target": "it\n"}
J
winnow pool build 0_seed.jsonl --map deft --out D --quiet && cat D/rows.jsonl

# Gradients by any number of ranks are those of one process, byte for byte, and so are losses and margins.
need_ranks
i=0
while [ $i -lt 20 ]; do rows | sed "s/\"id\":\"/&$i-/; s/prompt\":\"/&$i /"; i=$((i + 1)); done >rows.jsonl
winnow pool build rows.jsonl --out pool --quiet
grad="winnow grad --pool pool --project 50 --max-batch-tokens 100 --model"
$grad $MODELS/llama-tiny --out one 2>said
for n in 2 3; do
    ranks $n $grad $MODELS/llama-tiny --out r$n 2>said.$n
    same_tree one r$n
    same said said.$n
done
t5=$ROOT/tests/goldens/families/t5-v1.0
$grad $t5 --quantity margin --out t5 --quiet
ranks 2 $grad $t5 --quantity margin --out t5.r2 --quiet
same_tree t5 t5.r2

# more ranks than rows; refused by all, and by one
head -n 2 rows.jsonl >two.jsonl
winnow grad --model $MODELS/llama-tiny --pool two.jsonl --out few --quiet
ranks 4 winnow grad --model $MODELS/llama-tiny --pool two.jsonl --out few.r4 --quiet
same_tree few few.r4
fails ranks 2 winnow grad --model $MODELS/bert-tiny --pool pool --out s --quiet
fails ranks 2 sh -c '[ $OMPI_COMM_WORLD_RANK = 0 ] || export WN_KERNEL=ref; exec "$@"' other \
    $grad $MODELS/llama-tiny --out s --quiet >said 2>&1
sed 's/kernel is.*/kernel is ../' said
gone s

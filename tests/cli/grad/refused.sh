rows >rows.jsonl
M=$MODELS/llama-tiny A=$MODELS/llama-tiny/adapter
try() {
    fails winnow grad --out s --quiet --precision f32 "$@" 2>err
    sed 's/needs [0-9]* MB/needs N MB/; s/(batches of [0-9]* tokens)/(batches of N tokens)/; s/[0-9]* parameters;/N parameters;/' err >&2
    gone s
}
try --model $M --pool rows.jsonl --params lora
try --model $M --pool rows.jsonl --adapter $A --rank 4
try --model $M --pool rows.jsonl --params nosuch
try --model $M --pool rows.jsonl --params 'norm!norm'
try --model $M --pool rows.jsonl --project x
try --model $M --pool rows.jsonl --project 100000
try --model $M --pool rows.jsonl --project 0 --projection kron
try --model $M --pool rows.jsonl --projection mt19937 --seed 4294967296
try --model $M --pool rows.jsonl --adam rows.jsonl --projection kron
try --model $M --pool rows.jsonl --adam rows.jsonl
try --model $M --pool rows.jsonl --adam $M/model.safetensors
try --model $M --pool rows.jsonl --max-memory 3M
try --model $MODELS/bert-tiny --pool rows.jsonl
try --model $M --pool nosuch
echo '{"id":"n1","prompt":"a"}' >bad.jsonl
try --model $M --pool bad.jsonl
# the reference's chain-of-thought clip has no value where p < 0.001
fails winnow grad --model $M --pool rows.jsonl --out s --quiet --precision f32 --quantity margin-ref-cot
[ ! -e s/store.json ] && echo "no finished store"

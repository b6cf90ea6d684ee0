winnow eval --model $MODELS/llama-tiny --rows $MODELS/rank.jsonl --precision f32 --quiet --out rows.out >json
tr -d ' \n' <json | grep -o '"metric":"accuracy"\|"n":[0-9]*\|"ci95":\['
wc -l <rows.out
for n in tokens bytes; do
    winnow eval --model $MODELS/llama-tiny --rows $MODELS/rank.jsonl --length-norm $n --quiet | grep -c '"value"'
done
winnow eval --model $MODELS/llama-tiny --rows $MODELS/rank.jsonl --metric nll --quiet | grep -c '"value"'
cat >truth.jsonl <<'T'
{"id":"1","prompt":"p","target":"the cat"}
{"id":"2","prompt":"p","target":"A dog."}
T
cat >given.jsonl <<'T'
{"id":"1","prediction":"cat"}
{"id":"2","prediction":"a dog"}
T
for m in exact token-f1 rouge-l; do
    winnow eval --rows truth.jsonl --predictions given.jsonl --metric $m | tr -d ' \n'
    echo
done
fails winnow eval --rows truth.jsonl
echo '{"id":"3","prediction":"x"}' >other.jsonl
fails winnow eval --rows truth.jsonl --predictions other.jsonl
fails winnow eval --model $MODELS/llama-tiny --rows truth.jsonl --metric accuracy --quiet
fails winnow eval --rows truth.jsonl --predictions given.jsonl --out rows.out

# How choices are compared: with EOS or without, behind a neutral prompt, by several right ones.
cat >rows.jsonl <<'T'
{"id":"a","prompt":"Is ice warm?","target":"no","choices":["no","no way","yes"]}
{"id":"b","prompt":"Is ice cold?","target":"yes","choices":["yes","no","yes"],"references":["yes"]}
T
E="winnow eval --model $MODELS/llama-tiny --rows rows.jsonl --precision f32 --quiet --overwrite --out out.jsonl"
$E >json
grep -o '"tokens": [0-9]*' out.jsonl
$E --eos no 2>&1 >json
grep -o '"tokens": [0-9]*' out.jsonl
$E --calibrate 'Answer:' >json
grep -c '"prior"' out.jsonl
for m in mc1 mc2 micro-f1 macro-f1; do
    $E --metric $m | grep -o '"metric": "[a-z0-9-]*"'
done
fails $E --calibrate ''
fails $E --metric mc1 --answer generate
fails $E --metric nll --parse letter
fails $E --answer rank --parse letter
echo '{"id":"c","prompt":"x","target":"a","choices":["a",""]}' >empty.jsonl
fails winnow eval --model $MODELS/llama-tiny --rows empty.jsonl --eos no --quiet
winnow eval --model $MODELS/llama-tiny --rows empty.jsonl --quiet | grep -o '"n": 1'
echo '{"id":"c","prompt":"x","target":"b","choices":["a"]}' >wrong.jsonl
fails winnow eval --model $MODELS/llama-tiny --rows wrong.jsonl --quiet
echo '{"id":"c","prompt":"x","target":"a","choices":["a"]}' >right.jsonl
fails winnow eval --model $MODELS/llama-tiny --rows right.jsonl --metric mc2 --quiet
echo '{"id":"c","prompt":"x","choices":["a"]}' >bare.jsonl
fails winnow eval --model $MODELS/llama-tiny --rows bare.jsonl --quiet

# Losses and rankings that something else computed: the same figures as from the model itself; what lacks them is refused.
M="--model $MODELS/llama-tiny --precision f32 --quiet"
cat >rows.jsonl <<'T'
{"id":"a","prompt":"Is ice warm?","target":"no","choices":["no","maybe","yes"]}
{"id":2,"prompt":"Is ice cold?","target":"yes","choices":["yes","no","it is"],"references":["it is"]}
{"id":"c","prompt":"The sun is","target":"a star","choices":["a star","ice"]}
T
winnow score $M --rows rows.jsonl --out scores.jsonl
tac scores.jsonl >turned.jsonl
for m in nll perplexity mc1 mc2; do
    winnow eval $M --rows rows.jsonl --metric $m --out whole.$m >whole.json
    winnow eval --rows rows.jsonl --metric $m --predictions turned.jsonl --out given.$m >given.json
    same whole.json given.json
    same whole.$m given.$m
    winnow eval --rows rows.jsonl --metric $m --predictions whole.$m >given.json
    same whole.json given.json
    winnow eval --rows rows.jsonl --metric $m --predictions whole.$m --against scores.jsonl | grep -o '"difference": 0,'
done
# behind a neutral prompt the file holds both costs
winnow eval $M --rows rows.jsonl --metric mc2 --calibrate a --out prior.jsonl >whole.json
winnow eval --rows rows.jsonl --metric mc2 --predictions prior.jsonl >given.json
same whole.json given.json
echo '{"id":"a","prediction":"no","nll":1}' >text.jsonl
for m in nll perplexity mc1; do fails winnow eval --rows rows.jsonl --metric $m --predictions text.jsonl; done
sed 's/"nll"/"nl"/g' scores.jsonl >none.jsonl
for m in perplexity mc2; do fails winnow eval --rows rows.jsonl --metric $m --predictions none.jsonl; done
sed 's/, "prior": [^}]*//' prior.jsonl | head -1 >half.jsonl
tail -2 prior.jsonl >>half.jsonl
fails winnow eval --rows rows.jsonl --metric mc1 --predictions half.jsonl
head -2 scores.jsonl >two.jsonl
fails winnow eval --rows rows.jsonl --metric nll --predictions two.jsonl
cat scores.jsonl two.jsonl >twice.jsonl
fails winnow eval --rows rows.jsonl --metric nll --predictions twice.jsonl

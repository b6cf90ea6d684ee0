# Answers within texts, and answers of another arm.
cat >truth.jsonl <<'T'
{"id":1,"prompt":"p","target":"Yes","choices":["Yes","No"]}
{"id":2,"prompt":"p","target":"left","choices":["right","left"]}
{"id":3,"prompt":"p","target":"so 6 * 7 = 42\n#### 42"}
{"id":4,"prompt":"p","target":"1,000"}
T
cat >given.jsonl <<'T'
{"id":1,"prediction":"Well, yes."}
{"id":2,"prediction":"The answer is B."}
{"id":3,"prediction":"... #### 42.0"}
{"id":4,"prediction":"about 1000 of 7"}
T
for r in first-yes-no letter number first-number line; do
    rm -f out.jsonl
    winnow eval --rows truth.jsonl --predictions given.jsonl --metric accuracy --parse $r --out out.jsonl | grep -o '"value": [^,]*'
    grep -o '"prediction": "[^"]*"' out.jsonl
done
winnow eval --rows truth.jsonl --predictions given.jsonl --metric accuracy --parse 'after:####' --parse number | grep -o '"value": [^,]*'
cat >other.jsonl <<'T'
{"id":1,"prediction":"Yes"}
{"id":2,"prediction":"right"}
{"id":3,"prediction":"1"}
{"id":4,"prediction":"1,000"}
T
winnow eval --rows truth.jsonl --predictions other.jsonl --against given.jsonl --metric accuracy
winnow eval --rows truth.jsonl --predictions other.jsonl --predictions given.jsonl --against given.jsonl --metric accuracy
fails winnow eval --rows truth.jsonl --predictions given.jsonl --parse letters
fails winnow eval --rows truth.jsonl --predictions given.jsonl --parse 'regex:('
fails winnow eval --rows truth.jsonl --predictions given.jsonl --predictions other.jsonl --out none.jsonl
fails winnow eval --rows truth.jsonl --predictions given.jsonl --metric perplexity
fails winnow eval --rows truth.jsonl --predictions given.jsonl --metric mc1
fails winnow eval --rows truth.jsonl --predictions given.jsonl --metric macro-f1
fails winnow eval --rows truth.jsonl --predictions given.jsonl --metric evidence-f1
fails winnow eval --rows truth.jsonl --predictions given.jsonl --calibrate x
fails winnow eval --rows truth.jsonl --predictions given.jsonl --model $MODELS/llama-tiny
grep -v '"id":3' given.jsonl >missing.jsonl
fails winnow eval --rows truth.jsonl --predictions given.jsonl --against missing.jsonl
cat given.jsonl missing.jsonl >twice.jsonl
fails winnow eval --rows truth.jsonl --predictions twice.jsonl
gone none.jsonl

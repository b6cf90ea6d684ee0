# Evidence F1: by hand. Question 1: yes to p1 and p3; annotators {p1,p2} and {p3}: F1 1/2 and 2/3.
# Question 2: nothing said, an annotator without evidence: 1. Mean 5/6; of saying nothing 1/2.
cat >rows.jsonl <<'T'
{"id":1,"prompt":"x","target":"Yes","question":"q1","paragraph":"p1","evidence":[["p1","p2"],["p3"]]}
{"id":2,"prompt":"x","target":"No","question":2,"paragraph":"p1","evidence":[["p1"],[]]}
{"id":3,"prompt":"x","target":"Yes","question":"q1","paragraph":"p2"}
{"id":4,"prompt":"x","target":"Yes","question":"q1","paragraph":"p3"}
T
cat >given.jsonl <<'T'
{"id":1,"prediction":"Yes"}
{"id":2,"prediction":"No"}
{"id":3,"prediction":"No"}
{"id":4,"prediction":" yes"}
T
winnow eval --rows rows.jsonl --predictions given.jsonl --metric evidence-f1 --out out.jsonl
cat out.jsonl
bad() {
    { cat rows.jsonl; echo "$1"; } >bad.jsonl
    { cat given.jsonl; echo '{"id":5,"prediction":"Yes"}'; } >more.jsonl
    fails winnow eval --rows bad.jsonl --predictions more.jsonl --metric evidence-f1
}
bad '{"id":5,"prompt":"x","target":"Yes","paragraph":"p2"}'
bad '{"id":5,"prompt":"x","target":"Yes","question":"q1"}'
bad '{"id":5,"prompt":"x","target":"Yes","question":"q3","paragraph":"p"}'
bad '{"id":5,"prompt":"x","target":"Yes","question":"q1","paragraph":"p","evidence":[["p1"]]}'
bad '{"id":5,"prompt":"x","target":"Yes","question":"q1","paragraph":"p","evidence":["p1"]}'

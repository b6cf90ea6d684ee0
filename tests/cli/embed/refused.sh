rows >rows.jsonl
: >empty.jsonl
fails winnow embed --model $MODELS/bert-tiny --pool empty.jsonl --out s --quiet
fails winnow embed --model $MODELS/bert-tiny --pool nosuch --out s --quiet
fails winnow embed --model $MODELS/bert-tiny --pool rows.jsonl --out s --quiet --layer 99
gone s
echo '{"prompt": "a", "targ' >bad.jsonl
fails winnow embed --model $MODELS/bert-tiny --pool bad.jsonl --out s --quiet
echo '{"target": "a"}' >bad.jsonl
fails winnow embed --model $MODELS/bert-tiny --pool bad.jsonl --out s --quiet
gone s

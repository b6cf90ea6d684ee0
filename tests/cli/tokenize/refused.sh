echo text >t
fails winnow tokenize --model nosuch t
fails winnow tokenize --model $MODELS/bert-tiny nosuch
mkdir empty && fails winnow tokenize --model empty t
mkdir broken && echo '{"model": {"type": "WordPiece", "vocab": ' >broken/tokenizer.json
fails winnow tokenize --model broken t
mkdir foreign && echo '{"model": {"type": "Telepathy", "vocab": {}}}' >foreign/tokenizer.json
fails winnow tokenize --model foreign t
echo '[1, 2' >ids && fails winnow tokenize --model $MODELS/bert-tiny --decode ids
echo '[99999999]' >ids && fails winnow tokenize --model $MODELS/bert-tiny --decode ids
echo '{"target": "x"}' >rows.jsonl
fails winnow tokenize --model $MODELS/bert-tiny --field prompt rows.jsonl

: >empty.jsonl
fails winnow pool build empty.jsonl --out p
gone p
mkdir folder
fails winnow pool build folder --out p
gone p
fails winnow pool build nosuch.jsonl --out p
gone p
fails winnow pool info nosuch

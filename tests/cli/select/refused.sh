rows >rows.jsonl
: >none.jsonl
winnow embed --model $MODELS/bert-tiny --pool rows.jsonl --out s --quiet
fails winnow select --strategy random --out x.jsonl
fails winnow select --strategy deft --pool rows.jsonl --out x.jsonl
fails winnow select --strategy deft --pool rows.jsonl --store s --queries none.jsonl --model $MODELS/bert-tiny --out x.jsonl --quiet
fails winnow select --strategy all --pool rows.jsonl --avoid nosuch.jsonl --out x.jsonl --quiet
fails winnow select --strategy all --pool none.jsonl --out x.jsonl --quiet
head -n 5 rows.jsonl >other.jsonl
fails winnow select --strategy deft --pool other.jsonl --store s --queries s --out x.jsonl --quiet
gone x.jsonl

# Wrong use that shows in the options alone is exit status 2, before anything is opened.
rows >rows.jsonl
M=$MODELS/llama-tiny
fails winnow score --model $M --rows rows.jsonl --template chatty 2>&1 | cut -c1-80
fails winnow score --model $M --rows rows.jsonl --system "be kind" 2>&1
fails winnow eval --model $M --rows rows.jsonl --parse lettre 2>&1 | cut -c1-80
fails winnow eval --model $M --rows rows.jsonl --parse 'regex:(' 2>&1
fails winnow train --model $M --data rows.jsonl --targets 're:(' --out a 2>&1
fails winnow train --model $M --data rows.jsonl --targets 'q_proj,,v_proj' --out a 2>&1
fails winnow model info $M --lengths x 2>&1
fails winnow get somewhere --out a 2>&1
fails winnow tokenize --model $M --field prompt --decode rows.jsonl 2>&1
winnow grad --model $M --pool rows.jsonl --quantity margin --project 4 --out g --quiet
fails winnow estimate --store g --target g --random 3 --groups kind 2>&1
fails winnow estimate --store g --target g --random 3 --ridge much 2>&1
fails winnow estimate --store g --target g --random 3 --subsets rows.jsonl 2>&1
fails winnow select --strategy gradex-re --store g --queries g --keep 1 --below 2 2>&1
fails winnow select --strategy less --store g --queries g --budget 2 --checkpoint x 2>&1
fails winnow select --strategy less --store g --queries g --budget 2 --checkpoint g,g,w 2>&1
fails winnow dedup --store g --any-target 2>&1

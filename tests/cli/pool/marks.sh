# A byte-order mark before a list of names or ids, as before rows, is no part of the first.
mark() { printf '\357\273\277'; cat; }
rows | mark >rows.jsonl
echo colour | mark >tasks.txt
winnow pool build rows.jsonl --tasks tasks.txt --out p --quiet
winnow pool info p | grep colour
winnow embed --model $MODELS/bert-tiny --pool p --out s --quiet
winnow export s --out v.npy
mark <v.ids.txt >ids.txt
winnow import v.npy --ids ids.txt --out t
winnow export t --format jsonl | head -n 1 | cut -d, -f1
printf '{"id": "r0"}\r\nr3\r\nr6\r\nr9' | mark | winnow import v.npy --ids - --out u
winnow export u --format jsonl | cut -d, -f1
printf 'r3\r\nr0\r\n' | mark >order.txt
winnow train --model $MODELS/llama-tiny --data p --steps 1 --batch 2 --order order.txt --out a --quiet && echo trained

# npy and back: the same vectors and ids.
rows >rows.jsonl
winnow embed --model $MODELS/bert-tiny --pool rows.jsonl --out s --quiet
winnow export s --format npy --out v.npy
head -n 2 v.ids.txt
winnow import v.npy --ids v.ids.txt --out t
winnow export t --format npy --out w.npy
same v.npy w.npy
same v.ids.txt w.ids.txt
winnow export s --format jsonl --out v.jsonl
winnow import v.npy --ids v.jsonl --out u
winnow export u >u.jsonl
same v.jsonl u.jsonl
winnow export s --json >json && head -c 2 json
fails winnow export s --out v.npy
fails winnow import v.npy --ids v.ids.txt --out t
head -n 11 v.ids.txt >short.txt
fails winnow import v.npy --ids short.txt --out short
head -c 200 v.npy >cut.npy
fails winnow import cut.npy --ids v.ids.txt --out x
fails winnow import rows.jsonl --ids v.ids.txt --out x
gone x
fails winnow export nosuch

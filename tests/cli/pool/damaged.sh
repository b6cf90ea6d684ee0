rows >rows.jsonl
winnow pool build rows.jsonl --out p --quiet
cp -r p q && printf X | dd of=q/rows.jsonl bs=1 seek=30 conv=notrunc status=none
fails winnow pool check q
cp -r p r && head -c 100 p/rows.idx >r/rows.idx
fails winnow pool check r
fails winnow pool show r r3
cp -r p s && echo '{' >s/pool.json
fails winnow pool info s
gzip -c rows.jsonl | head -c 60 >cut.jsonl.gz
fails winnow pool build cut.jsonl.gz --out t
gone t

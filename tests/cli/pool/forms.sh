# Plain, .gz, .zst, a folder and standard input hold the same rows.
rows >rows.jsonl
mkdir folder && cp rows.jsonl folder/
gzip -c rows.jsonl >rows.jsonl.gz
winnow pool build rows.jsonl --out a --quiet
winnow pool build rows.jsonl.gz --out b --quiet
winnow pool build folder --out c --quiet
winnow pool build - --out d --quiet <rows.jsonl
for p in b c d; do same a/rows.jsonl $p/rows.jsonl; done
if command -v zstd >/dev/null; then
    zstd -q rows.jsonl -o rows.jsonl.zst
    winnow pool build rows.jsonl.zst --out e --quiet
    cmp a/rows.jsonl e/rows.jsonl
fi
winnow pool build rows.jsonl --out t1 --quiet --threads 1
winnow pool build rows.jsonl --out t3 --quiet --threads 3
same_tree t1 t3

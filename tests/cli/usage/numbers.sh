# Strict numbers: the whole text, no sign on unsigned ones, inside the range.
for k in 12abc -1 +1 ' 1' 1.5 1e3 0 0x10 '' 99999999999999999999999; do
    fails winnow search --store a --queries b --k "$k"
done
for lr in 0 -1 nan inf 1e999 0x1p3 1e-4x ''; do
    fails winnow train --model a --data b --out c --lr "$lr"
done
fails winnow train --model a --data b --out c --dropout 1
for size in 2Q -2G 1.5G G '' 99999999999T; do
    fails winnow doctor --max-memory "$size"
done
fails winnow doctor --threads 5000
fails winnow doctor --threads -1
fails winnow doctor --seed -1
fails winnow doctor --precision f64

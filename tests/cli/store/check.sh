# One corrupted byte in any file of a store is found and said where.
rows >rows.jsonl
winnow embed --model $MODELS/bert-tiny --pool rows.jsonl --out s --quiet
winnow store check s
winnow store check s --json | grep -E 'ok|rows|compared'
sums() { sed 's/[0-9a-f]\{64\}/HASH/g; s/[0-9a-f]\{32\}/SUM/g'; }
for f in rows.bin meta.bin ids.txt tasks.txt sums.bin; do
    for at in 1 30 4090 4101; do
        [ $at -lt "$(stat -c %s s/$f)" ] || continue
        rm -rf t
        cp -r s t
        printf x | dd of=t/$f bs=1 seek=$at conv=notrunc 2>/dev/null
        fails winnow store check t 2>err
        sums <err
    done
    rm -rf t
    cp -r s t
    truncate -s -1 t/$f
    fails winnow store check t 2>err
    sums <err
done
rm -rf t
cp -r s t
printf x | dd of=t/rows.bin bs=1 seek=4101 conv=notrunc 2>/dev/null
fails winnow select --strategy deft --store t --queries s --k 1 --out x 2>err
sums <err
fails winnow export t --out t.npy 2>err
sums <err
fails winnow store check rows.jsonl
fails winnow store info nosuch
gone x

# One line each, nothing left behind.
G=$ROOT/tests/goldens/gradex
winnow import $G/rows.npy --ids $G/rows.jsonl --out rows --quiet
winnow import $G/target.npy --ids $G/target.jsonl --out target --quiet
sed 's/"margin": [^}]*/"loss": 1/' $G/target.jsonl >bare
winnow import $G/target.npy --ids bare --out bare-target --quiet
echo 'add, boolean' >wrong
fails winnow estimate --store rows --target target --subsets wrong --out e
fails winnow estimate --store rows --target target --out e
fails winnow estimate --store rows --target bare-target --random 3 --out e
fails winnow estimate --store rows --target target --random 3 --ridge -1 --out e
fails winnow estimate --store rows --target target --random 3 --c 1 --out e
fails winnow estimate --store rows --target target --random 3 --groups colour --out e
fails winnow estimate --store rows --target target --random 3 --groups source --out e
fails winnow estimate --store rows --target nowhere --random 3 --out e
gone e

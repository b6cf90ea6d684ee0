# Subsets named in every way, three modes, intervals; the same bytes for any number of threads.
G=$ROOT/tests/goldens/gradex
winnow import $G/rows.npy --ids $G/rows.jsonl --out rows --quiet
winnow import $G/target.npy --ids $G/target.jsonl --out target --quiet
printf 'add\nadd,bool q\n["emoji, sad"]\nadd\tbool q\temoji, sad\n[]\n' >subsets
short() { sed 's/\([0-9]\.[0-9]\{5\}\)[0-9]*/\1/g; s/"gradient": [^}]*/"gradient": .../'; }
winnow estimate --store rows --target target --subsets subsets --ridge 0.05 --out clean
short <clean
for mode in ref step; do winnow estimate --store rows --target target --subsets subsets --mode $mode | short; done
winnow estimate --store rows --target target --random 40 --groups cluster:8 --bootstrap 20 --threads 1 --out one
winnow estimate --store rows --target target --random 40 --groups cluster:8 --bootstrap 20 --threads 3 --out three
same one three
same one.manifest.json three.manifest.json
head -n 2 one | short
# estimates read back as subsets give the same estimates
winnow estimate --store rows --target target --subsets clean --ridge 0.05 --out again
same clean again
winnow estimate --store rows --target target --subsets subsets --mode ref --c 0.5 --coin --first 0.8 --json | short

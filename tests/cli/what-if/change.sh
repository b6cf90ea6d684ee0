# Without, with, from a base; the same for any number of threads; refusals in one line.
G=$ROOT/tests/goldens/gradex
winnow import $G/rows.npy --ids $G/rows.jsonl --out rows --quiet
winnow import $G/target.npy --ids $G/target.jsonl --out target --quiet
short() { sed 's/\([0-9]\.[0-9]\{4\}\)[0-9]*/\1/g'; }
winnow what-if --store rows --target target --without 'emoji, sad' --bootstrap 50 --threads 1 --json >one
winnow what-if --store rows --target target --without 'emoji, sad' --bootstrap 50 --threads 3 --json >three
same one three
short <one
winnow what-if --store rows --target target --with cause,dates --base add --mode step | short
fails winnow what-if --store rows --target target --without nothing
fails winnow what-if --store rows --target target --with add --base add
fails winnow what-if --store rows --target target
echo '{"format": "other"}' >m.json
fails winnow what-if --store rows --target target --with add --bootstrap 2 --verified m.json

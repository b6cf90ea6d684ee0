# A whole experiment; finished parts are not run again; the report again; threads.
. $ROOT/tests/cli/experiment/recipe.inc
recipe
winnow run recipe.yaml --out x --quiet --precision f32 >table || exit 1
[ -s x/verdict.json ] && [ -s x/report.html ] && [ -s table ] && echo "verdict, report, table"
for word in zero-shot random balanced-random deft; do grep -q "$word" table || echo "no $word"; done
tr -d ' \n' <x/verdict.json | grep -o '"verdict":"[a-z ]*"' | sed 's/better\|worse\|cannot tell\|cannottell/SOME/' | sort -u
timeless x/verdict.json >first
winnow run recipe.yaml --out x --quiet --precision f32 --json >again.json
timeless x/verdict.json | cmp - first && cmp again.json x/verdict.json && echo "again: the same"
grep -ci 'https\?://[a-z]*\.[a-z]*/[a-z/]*\.\(js\|css\)' x/report.html
rm x/report.html
winnow report x && [ -s x/report.html ] && echo "the report again"
winnow run recipe.yaml --out y --quiet --precision f32 --threads 1 >/dev/null
winnow run recipe.yaml --out z --quiet --precision f32 --threads 3 >/dev/null
for d in y z; do
    timeless $d/verdict.json | cmp - first
    find x -name adapter_model.safetensors | while read -r f; do cmp "$f" "$d${f#x}"; done
done
find z -name adapter_model.safetensors | wc -l

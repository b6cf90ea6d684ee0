# Killed at different places: the same verdict in the end.
. $ROOT/tests/cli/experiment/recipe.inc
recipe
winnow run recipe.yaml --out whole --quiet --precision f32 >/dev/null
for t in 0.1 0.3 0.6; do
    winnow run recipe.yaml --out cut --quiet --precision f32 >/dev/null &
    sleep $t
    kill -9 $! 2>/dev/null
    wait $! 2>/dev/null
done
winnow run recipe.yaml --out cut --quiet --precision f32 >/dev/null
timeless whole/verdict.json >a
timeless cut/verdict.json | cmp - a && echo "the same verdict"
find whole -name adapter_model.safetensors | sort | while read -r f; do cmp "$f" "cut${f#whole}"; done
find whole -name adapter_model.safetensors | wc -l
# killed while the first file was written
mkdir early mine
echo '{' | tee early/run.json.tmp >mine/run.json.tmp
echo precious >mine/file
winnow run recipe.yaml --out early --quiet --precision f32 >/dev/null
timeless early/verdict.json | cmp - a && ls early
fails winnow run recipe.yaml --out mine --quiet 2>&1

# The commands of the README's tour, on small data and tiny models under the names it uses.
rows >rows.jsonl
rows | head -n 3 | sed 's/"id":"/&q/; s/prompt":"/&Now: /' >target.jsonl
rows | tail -n 3 | sed 's/"id":"/&t/; s/prompt":"/&Then: /' >test.jsonl
ln -s $MODELS/bert-tiny encoder
ln -s $MODELS/llama-tiny-gguf/*.gguf model.gguf
sed -n '/<!-- tour/,/<!-- end of tour/p' $ROOT/README.md |
    awk '/^\$ / { on = 1; sub(/^\$ /, "") } on { print; on = /\\$/ }' >commands
grep -c winnow commands
sh -e ./commands >log 2>&1 || { cat log; exit 1; }
echo "all ran"

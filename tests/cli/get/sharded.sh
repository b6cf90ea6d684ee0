# Weights in shards: all of them with their index, a kill between two, one that the hub lacks; a mirror with a slash at
# its end; a revision with slashes.
. "$ROOT/tests/cli/get/hub.inc"
rm hub/files/model.safetensors
cp $MODELS/llama-tiny-f16-sharded/* hub/files
list main c0ffee
winnow get --mirror "$hub/" --quiet hf:org/tiny --out m
(cd m && ls model*)
winnow model info m | grep -E '^(family|parameters)'
cp hub/api/models/org/tiny/revision/main 'hub/api/models/org/tiny/revision/refs%2Fpr%2F1'
get hf:org/tiny@refs/pr/1 --out pr && same_tree m/tokenizer.json pr/tokenizer.json
touch hub/slow
kill_when k.partial/model-00002-of-00002.safetensors.part 1000 winnow get --mirror "$hub" --quiet hf:org/tiny --out k
[ ! -e k ] || skip "the kill came too late"
rm hub/slow
: >log
get hf:org/tiny --out k && same_tree m k
grep -c model-00001 log
rm hub/files/model-00002*
list main beef00
fails get hf:org/tiny --out lacking 2>err
cat err

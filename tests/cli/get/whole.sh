# What winnow reads of a model, no more; the same by redirection, with a token, from a busy hub.
. "$ROOT/tests/cli/get/hub.inc"
get hf:org/tiny --out m
(cd m && find . -type f | sort)
for f in config.json model.safetensors 1_Pooling/config.json; do same hub/files/$f m/$f; done
cat m/get.json | sed 's/"[0-9a-f]\{64\}"/"HASH"/'
grep -c resolve/c0ffee log
touch hub/redirect
get hf:org/tiny@main --out redirected && same_tree m redirected
echo secret >hub/token
HF_TOKEN=secret get hf:org/tiny --out with_token && same_tree m with_token
grep -c 'cdn.*with a token' log
rm hub/token hub/redirect
touch hub/busy
get hf:org/tiny --out busy && same_tree m busy
get hf:org/tiny --include '*.gguf' --out g && ls g
fails get hf:org/tiny --out m
winnow get --mirror "$hub" hf:org/tiny --out m --overwrite --json | grep -c '"winnow get"'

# One line for everything that goes wrong, and no finished folder.
. "$ROOT/tests/cli/get/hub.inc"
try() {
    fails get --out o "$@" 2>err
    quiet_port err | sed 's/[0-9a-f]\{40,64\}/HASH/g'
    [ ! -e o ] || echo "o is there"
    rm -rf o o.partial
}
try hf:org/nosuch
try hf:org/tiny@v2
try org/tiny
try hf:org
try hf:../tiny
try hf:org/tiny --include '*.bin'
echo secret >hub/token
try hf:org/tiny
HF_TOKEN=guess try hf:org/tiny
rm hub/token
touch hub/gated
try hf:org/tiny
rm hub/gated
# bytes that changed, a size that did, a file that went
sed -i 's/\("rfilename": "1_Pooling[^}]*"size": \)[0-9]*/\19999/' hub/api/models/org/tiny/revision/main
try hf:org/tiny --include '1_Pooling/*'
list main c0ffee
tr t T <hub/files/1_Pooling/config.json >new && mv new hub/files/1_Pooling/config.json
try hf:org/tiny --include '1_Pooling/*'
list main c0ffee
printf 'x' | dd of=hub/files/model.safetensors bs=1 seek=5000 conv=notrunc status=none
try hf:org/tiny
rm hub/files/config.json
try hf:org/tiny --include config.json
# a list that is none, names that lead out of the folder
echo '{"siblings": [{"rfilename": "a/../../b.json"}]}' >hub/api/models/org/tiny/revision/main
try hf:org/tiny --include '*b.json'
echo '{"siblings": 3}' >hub/api/models/org/tiny/revision/main
try hf:org/tiny
echo 'no list' >hub/api/models/org/tiny/revision/main
try hf:org/tiny
echo '{"siblings": [{"rfilename": "tiny-Q4_K_M.gguf"}, {"rfilename": "config.json"}]}' >hub/api/models/org/tiny/revision/main
try hf:org/tiny
hub=http://127.0.0.1:1
try hf:org/tiny

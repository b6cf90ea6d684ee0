# What cannot be merged: one line, nothing left behind.
try() {
    fails winnow merge --out o --quiet "$@"
    gone o
}
m=$MODELS/llama-tiny
try --model $MODELS/bert-tiny --adapter $m/adapter
try --model $m --adapter nosuch
try --model $m --adapter $m/adapter --save-dtype int4
# a factor of 2^16 times a number that no f16 holds
mkdir a
cp $m/adapter/adapter_model.safetensors a
sed 's/"lora_alpha": 7/"lora_alpha": 1e9/' $m/adapter/adapter_config.json >a/adapter_config.json
try --model $m --adapter a --save-dtype f16

# Damaged models: one line, exit 1, nothing left behind.
rows >rows.jsonl
try() {
    fails winnow embed --model "$1" --pool rows.jsonl --out s --quiet 2>err
    sed 's/(known: .*/(known: ...)/' err >&2
    gone s
}
copy() {
    rm -rf m
    cp -r $MODELS/$1 m
    chmod -R u+w m
}
copy bert-tiny; head -c 3000 $MODELS/bert-tiny/model.safetensors >m/model.safetensors; try m
copy bert-tiny; head -c 5 $MODELS/bert-tiny/model.safetensors >m/model.safetensors; try m
copy bert-tiny; : >m/model.safetensors; try m
copy bert-tiny; rm m/model.safetensors; try m
copy bert-tiny; rm m/config.json; try m
copy bert-tiny; echo '{"model_type": ' >m/config.json; try m
copy bert-tiny; sed -i 's/"model_type": *"[a-z]*"/"model_type": "mamba"/; s/BertModel/MambaModel/' m/config.json; try m
copy bert-tiny; sed -i 's/"model_type": *"[a-z]*"/"model_type": "new"/; s/BertModel/NewModel/' m/config.json; try m
copy llama-tiny; sed -i 's/"model_type": *"[a-z]*"/"model_type": "mixtral", "num_local_experts": 8/' m/config.json; try m
copy llama-tiny; sed -i 's/{/{"num_experts": 8,/' m/config.json; try m
copy llama-tiny; sed -i 's/"model_type": *"[a-z]*"/"model_type": "gemma3", "vision_config": {}/' m/config.json; try m
copy llama-tiny; sed -i 's/{/{"text_config": {"num_experts": 1},/' m/config.json; try m
copy llama-tiny; sed -i 's/{/{"mm_vision_tower": "clip",/' m/config.json; try m
# members that change numbers and are not implemented
copy llama-tiny; sed -i 's/{/{"logits_scaling": 8,/' m/config.json; try m
copy bert-tiny; sed -i 's/"is_decoder": false/"is_decoder": true/' m/config.json; try m
copy bert-tiny; sed -i 's/"hidden_size": *[0-9]*/"hidden_size": 24/' m/config.json; try m
copy bert-tiny; rm m/tokenizer.json; try m
copy bert-tiny; cp $MODELS/llama-tiny/tokenizer.json m/; try m
try nosuch
try rows.jsonl
head -c 2000 $MODELS/llama-tiny-gguf/*.gguf >cut.gguf; try cut.gguf
head -c 4 $MODELS/llama-tiny-gguf/*.gguf >cut.gguf; try cut.gguf
echo 'no model' >text.gguf; try text.gguf
# a NaN (0x7fc00000) over the last number of the file
copy bert-tiny
size=$(stat -c %s m/model.safetensors)
printf '\000\000\300\177' | dd of=m/model.safetensors bs=1 seek=$((size - 4)) conv=notrunc status=none
try m
# sizes that no weights beside them could have
copy llama-tiny; sed -i 's/"num_hidden_layers": *[0-9]*/"num_hidden_layers": 16777215/' m/config.json; try m
copy bert-tiny; sed -i 's/"num_hidden_layers": *[0-9]*/"num_hidden_layers": 4096/' m/config.json; try m
copy llama-tiny; sed -i 's/"num_attention_heads": *[0-9]*/"num_attention_heads": 16777215/' m/config.json; try m

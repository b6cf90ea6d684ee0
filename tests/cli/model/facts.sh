# What `model info` says: text and JSON, memory at given lengths, what methods train, warnings.
winnow model info $MODELS/llama-tiny --lengths 16,64 --precision f32 | sed 's/^sha256 .*/sha256/; s/_bytes  *[0-9]*$/_bytes N/; /^ *[0-9]/s/[0-9]\{4,\}/N/g; s/  */ /g'
winnow model info $MODELS/../sentences/everything --json | sed -n '/"sentence"/,/}/p'
info() { winnow model info m --json "$@"; }
copy() {
    rm -rf m
    cp -r $1 m
    chmod -R u+w m
}
warnings() { info "$@" | sed -n '/"warnings"/,/]/p'; }
copy $MODELS/llama-tiny
sed -i 's/"tie_word_embeddings": true/"tie_word_embeddings": false/' m/config.json
warnings --lengths 8
rows >rows.jsonl
fails winnow score --model m --rows rows.jsonl --quiet
copy $MODELS/llama-tiny
echo '{% for m in messages %}{{ m.content }}{% endfor %}' >m/chat_template.jinja
warnings --lengths 1,65
winnow model info $MODELS/llama-tiny-gguf/*.gguf --json --lengths 8 | sed -n '/"warnings"/,/]/p'
copy $MODELS/../families/llama-dynamic
warnings --lengths 8
copy $MODELS/../sentences/bge
sed -i 's/16/99/' m/sentence_bert_config.json
warnings
for l in '' 0 8, 8,x -1 99999999; do fails winnow model info m --lengths "$l"; done
# more tokens need more memory, more so for training
winnow model info $MODELS/llama-tiny --json --lengths 8,16,32,64 | grep train_full_bytes | tr -dc '0-9\n' >bytes
sort -n bytes | cmp - bytes && echo "memory grows with the length"

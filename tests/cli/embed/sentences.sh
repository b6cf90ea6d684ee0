# sentence-transformers folders: prompts, several poolings, parts that are not known.
S=$MODELS/../sentences
rows >rows.jsonl
embed() {
    out=$1
    shift
    winnow embed --pool rows.jsonl --out $out --quiet "$@"
}
field() { grep -o "\"$2\": [^,]*" $1/store.json; }
embed plain --model $S/e5
embed query --model $S/e5 --prompt-name query
embed text --model $S/e5 --prompt "query: "
cmp query/rows.bin text/rows.bin && echo "a name and its text: the same vectors"
cmp -s plain/rows.bin query/rows.bin || echo "a prompt changes vectors"
field query prompt
field plain prompt
winnow search --store plain --queries query --k 1 --quiet | wc -l
winnow select --strategy deft --store query --queries rows.jsonl --model $S/e5 --k 1 --quiet | wc -l
embed all --model $S/everything
field all pooling
field all dim
winnow select --strategy deft --store all --queries rows.jsonl --model $S/everything --k 1 --quiet | wc -l
embed t5 --model $S/gtr-t5
field t5 dim
fails embed no --model $S/e5 --prompt-name title
fails embed no --model $S/e5 --prompt-name query --prompt x
fails embed no --model $S/gtr-t5 --prompt-name query
fails embed no --model $MODELS/bert-tiny --prompt-name query
fails embed no --model $S/gtr-t5 --pooling median
fails winnow score --model $S/gtr-t5 --rows rows.jsonl --quiet
try() {
    fails embed no --model m
    rm -rf m
}
copy() {
    cp -r $S/gtr-t5 m
    chmod -R u+w m
}
copy; sed -i 's/models.Normalize/models.WordWeights/' m/modules.json; try
copy; sed -i 's/sentence_transformers.models.Normalize/custom_st.Pruner/' m/modules.json; try
copy; sed -i 's/models.Pooling/models.Normalize/' m/modules.json; try
copy; echo '[]' >m/modules.json; try
copy; sed -i 's/linear.Identity/activation.Softsign/' m/2_Dense/config.json; try
copy; sed -i 's/"in_features": 18/"in_features": 17/' m/2_Dense/config.json; try
copy; mv m/2_Dense/model.safetensors m/2_Dense/pytorch_model.bin; try
copy; rm -r m/1_Pooling; try
copy; sed -i 's/"pooling_mode_mean_tokens"/"pooling_mode": "median", "x"/' m/1_Pooling/config.json; try
copy; sed -i 's/{/{"module_input_name": "token_embeddings",/' m/2_Dense/config.json; try
copy; echo '{"prompts": {"a": 1}}' >m/config_sentence_transformers.json; try
copy; echo '{"prompts": {"a": "x"}, "default_prompt_name": "b"}' >m/config_sentence_transformers.json; try
gone no

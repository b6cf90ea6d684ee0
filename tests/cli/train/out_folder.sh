# --out of a model: with a slash behind it, an empty folder, and what --overwrite may replace.
rows >rows.jsonl
t() { winnow train --model $MODELS/llama-tiny --data rows.jsonl --steps 1 --quiet "$@"; }
t --out a
t --out b/ && same_tree a b
winnow merge --model $MODELS/llama-tiny --adapter a --out m/ --quiet && ls m
mkdir empty
t --out empty && same_tree a empty
fails t --out b/
t --out b/ --overwrite --seed 1 && cmp -s a/adapter_model.safetensors b/adapter_model.safetensors || echo "made anew"
# what is called b.old is the user's; what a kill between the two renames left behind goes
mkdir b.old b.partial.old
t --out b --overwrite
ls -d b*
mkdir mine
echo precious >mine/file
fails t --out mine
fails t --out mine --overwrite
fails winnow merge --model $MODELS/llama-tiny --adapter a --out mine/ --overwrite
winnow pool build rows.jsonl --out pool --quiet
fails t --out pool --overwrite
fails t --out rows.jsonl --overwrite
cat mine/file
winnow pool check pool | head -n 2
ls
# a store and itself under another name
winnow embed --model $MODELS/bert-tiny --pool pool --out s --quiet
ln -s s link
fails winnow store merge s --out s/ --overwrite
fails winnow store merge link --out s --overwrite --store-dtype bf16

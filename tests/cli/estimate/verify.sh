# Some subsets trained for real: figures in the manifest; a killed run goes on to the same bytes; other settings refused.
rows >rows
sed -n '1,6p' rows | sed 's/"id":"r/"id":"q/' >target
for s in rows target; do
    winnow embed --model $MODELS/bert-tiny --pool $s --out e --overwrite --quiet
    winnow export e --format npy --out $s.npy --overwrite
    sed 's/.*"id":"\([^"]*\)","task":"\([^"]*\)".*/{"id": "\1", "task": "\2", "margin": 0.5}/' $s >$s.ids
    winnow import $s.npy --ids $s.ids --out g-$s --quiet
done
printf 'colour\nanimal\nsum\ncolour,animal\ncolour,sum\nanimal,sum\ncolour,animal,sum\n' >subsets
args="--store g-rows --target g-target --subsets subsets --verify 6 --model $MODELS/llama-tiny --pool rows --target-rows target
    --steps 2 --lr 0.01 --precision f32 --quiet"
winnow estimate $args --out whole
grep -c '"measured"' whole
grep -o '"\(n\|verdict\|relative_error\|zero_order\|size_only\|spearman_with_loss\|start_loss\)"' whole.manifest.json | sort | uniq -c
ls whole.verify | grep -v settings | wc -l
# killed as soon as one subset is measured
kill_when killed.verify/0.json 1 winnow estimate $args --out killed
[ ! -e killed ] || echo "finished before the kill"
winnow estimate $args --out killed
same whole killed
fails winnow estimate $args --out killed
fails winnow estimate $args --out other --verify 3
fails winnow estimate --store g-rows --target g-target --subsets subsets --verify 6 --out other

# kill -9 in ranking or generating, then the same command: the same bytes as in one go. (A kill may come too late on
# a busy machine; not every one may.) Other options: refused by name, or anew with --overwrite.
i=0
while [ $i -lt 150 ]; do
    echo "{\"id\":$i,\"prompt\":\"Is ice warm? $i\",\"target\":\"no\",\"choices\":[\"no\",\"yes\"]}"
    echo "{\"id\":\"g$i\",\"prompt\":\"What is $i?\",\"target\":\"no\"}"
    i=$((i + 1))
done >rows.jsonl
eval="winnow eval --model $MODELS/llama-tiny --rows rows.jsonl --precision f32 --max-new 30 --calibrate a --metric exact --quiet"
score="winnow score --model $MODELS/llama-tiny --rows rows.jsonl --precision f32 --quiet"
cuts=0
cut_and_go_on() { # NAME BYTES COMMAND...
    name=$1 bytes=$2
    shift 2
    rm -f cut
    kill_when cut.partial "$bytes" "$@" --out cut --threads 1 >/dev/null
    if [ ! -e cut ]; then
        cuts=$((cuts + 1))
        "$@" --out cut --threads 2 >cut.json
        [ "$name" = scored ] || cmp whole.json cut.json
    fi
    same $name cut
    same $name.manifest.json cut.manifest.json
    [ ! -e cut.partial ] || echo "left behind: cut.partial"
}
$eval --out answered --threads 1 >whole.json
$score --out scored --threads 1
for at in 900 12000 25000 35000; do cut_and_go_on answered $at $eval; done
for at in 900 20000; do cut_and_go_on scored $at $score; done
[ $cuts -gt 0 ] || echo "no kill came in time"
rm -f cut
kill_when cut.partial 20000 $eval --out cut >/dev/null
[ -e cut.partial ] || skip "the last kill came too late"
fails $eval --max-new 29 --out cut
$eval --max-new 29 --out cut --overwrite >json
$eval --max-new 29 --out anew >json
same anew cut
ls cut*

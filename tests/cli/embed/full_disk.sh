[ "$(id -u)" = 0 ] || skip "needs root for a small file system"
mkdir full && mount -t tmpfs -o size=32k none full 2>/dev/null || skip "cannot mount a tmpfs"
trap 'umount full' EXIT
i=0
while [ $i -lt 30 ]; do rows | sed "s/\"id\":\"/&$i-/; s/prompt\":\"/&$i /"; i=$((i + 1)); done >rows.jsonl
fails winnow embed --model $MODELS/bert-tiny --pool rows.jsonl --out full/s --quiet
[ ! -e full/s/store.json ] && echo "nothing that looks finished"
winnow embed --model $MODELS/bert-tiny --pool rows.jsonl --out s --quiet
fails winnow export s --format npy --out full/v.npy
fails winnow search --store s --queries s --k 300 --out full/hits.jsonl
fails winnow train --model $MODELS/llama-tiny --data rows.jsonl --steps 1 --out full/a --quiet
ls full | grep -v '^[sa]$'
winnow search --store s --queries s --k 1 --out /dev/full
echo "exit $?"

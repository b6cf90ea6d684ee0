# A folder that may not be written, and a full disk: one line, nothing half-written.
[ "$(id -u)" = 0 ] || skip "needs root for a small file system"
mkdir full && mount -t tmpfs -o size=64k none full 2>/dev/null || skip "cannot mount a tmpfs"
trap 'umount full' EXIT
i=0
while [ $i -lt 200 ]; do rows | sed "s/\"id\":\"/&$i-/; s/prompt\":\"/&$i /"; i=$((i + 1)); done >rows.jsonl
fails winnow pool build rows.jsonl --out full/p --quiet
ls -A full

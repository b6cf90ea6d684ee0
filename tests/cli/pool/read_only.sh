rows >rows.jsonl
mkdir locked && chmod a-w locked
if touch locked/x 2>/dev/null; then
    # root writes everywhere but on a read-only file system
    rm locked/x
    mount -t tmpfs -o ro none locked 2>/dev/null || skip "cannot make a read-only folder"
    trap 'umount locked' EXIT
fi
fails winnow pool build rows.jsonl --out locked/p --quiet 2>err
sed 's/: [A-Z][a-z -]*$/: REASON/' err
ls -A locked

# A disk that is full (here: files may not grow beyond a limit): one line, what came stays, and it is gone on with.
. "$ROOT/tests/cli/get/hub.inc"
limited() {
    (
        trap '' XFSZ
        ulimit -f 100
        get hf:org/tiny --include 'big*' --out m
    )
}
fails limited 2>err
sed 's,m.partial/[^:]*: ,FILE: ,' err
gone m
[ "$(stat -c %s m.partial/big.gguf.part)" -gt 10000 ] && echo "a part is there"
: >log
get hf:org/tiny --include 'big*' --out m
same hub/files/big.gguf m/big.gguf
grep -c 'big.*middle' log
# no room for a folder at all
touch file
fails get hf:org/tiny --include 'big*' --out file/m 2>err
cat err

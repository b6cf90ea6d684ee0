# Killed or cut off, it goes on from there: the rest is asked for, and the file is right.
. "$ROOT/tests/cli/get/hub.inc"
touch hub/slow
kill_when m.partial/big.gguf.part 60000 winnow get --mirror "$hub" --quiet hf:org/tiny --include 'big*' --out m
[ -e m.partial/big.gguf.part ] && [ ! -e m ] || skip "the kill came too late"
rm hub/slow
get hf:org/tiny --include 'big*' --out m
same hub/files/big.gguf m/big.gguf
grep 'big.*middle' log
: >log
# every answer is cut short
echo 90000 >hub/cut
get hf:org/tiny --include 'big*' --out cut && same hub/files/big.gguf cut/big.gguf
grep -c 'big.*middle' log
rm hub/cut
# a part of other bytes, one that is too long, a hub that cannot send a part
part() {
    rm -rf p p.partial
    mkdir p.partial
    printf 'org/tiny c0ffee\n' >p.partial/.commit
    "$@" >p.partial/big.gguf.part
}
part head -c 1000 /dev/zero
fails get hf:org/tiny --include 'big*' --out p 2>err
sed 's/[0-9a-f]\{64\}/HASH/g' err
ls p.partial
get hf:org/tiny --include 'big*' --out p && same hub/files/big.gguf p/big.gguf
part cat hub/files/big.gguf hub/files/README.md
get hf:org/tiny --include 'big*' --out p && same hub/files/big.gguf p/big.gguf
touch hub/whole
part head -c 1000 hub/files/big.gguf
get hf:org/tiny --include 'big*' --out p && same hub/files/big.gguf p/big.gguf
# another commit begins anew
part true
printf 'org/tiny 0ther\n' >p.partial/.commit
echo old >p.partial/big.gguf
get hf:org/tiny --include 'big*' --out p && same hub/files/big.gguf p/big.gguf

# 8-bit codes kept beside a store: the same answers with and without; a stale or damaged file is made again.
{
    printf '\223NUMPY\001\000\166\000'
    printf '%-117s\n' "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2), }"
    printf '\000\000\200\077\000\000\000\000' # 1 0
    printf '\000\000\000\000\000\000\200\077' # 0 1
    printf '\000\000\000\100\000\000\000\100' # 2 2
} >v.npy
printf 'a\nb\nc\n' >v.txt
winnow import v.npy --ids v.txt --out s --quiet
fails winnow search --store s
winnow search --store s --queries s >plain
winnow search --store s/ --prepare
ls
winnow search --store s --queries s | cmp - plain
winnow search --store s --prepare --queries s --metric cosine >/dev/null
ls
printf 'x' >>s.codes-l2
winnow search --store s --queries s | cmp - plain
winnow search --store s --queries s --prepare | cmp - plain
winnow search --store s --queries s --prepare | cmp - plain
printf 'x' | dd of=s.codes-l2 bs=1 seek=8192 conv=notrunc 2>dd.err
winnow search --store s --queries s | cmp - plain
winnow search --store s --queries s | cmp - plain
printf 'a\nb\nd\n' >v.txt
winnow import v.npy --ids v.txt --out s --quiet --overwrite
winnow search --store s --queries s --prepare >/dev/null
winnow search --store s --prepare --json
rm s.codes-l2
mkdir s.codes-l2
fails winnow search --store s --prepare

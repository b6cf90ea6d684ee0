# Vectors worked out by hand: order, ties to the smaller row, metrics, threads.
vectors() { # made of bytes: a header and little-endian floats
    printf '\223NUMPY\001\000\166\000'
    printf '%-117s\n' "{'descr': '<f4', 'fortran_order': False, 'shape': ($1, 2), }"
    shift
    for v in "$@"; do
        case $v in
        0) printf '\000\000\000\000' ;;
        1) printf '\000\000\200\077' ;;
        2) printf '\000\000\000\100' ;;
        -1) printf '\000\000\200\277' ;;
        esac
    done
}
vectors 4 1 0 0 1 1 0 2 2 >rows.npy
printf 'a\nb\nc\nd\n' >rows.txt
vectors 2 1 0 0 -1 >queries.npy
printf 'q1\nq2\n' >queries.txt
winnow import rows.npy --ids rows.txt --out rows --quiet
winnow import queries.npy --ids queries.txt --out queries --quiet
for m in l2 ip cosine; do winnow search --store rows --queries queries --k 3 --metric $m; done
winnow search --store rows --queries queries --k 100 --threads 1 >all
for t in 2 7; do winnow search --store rows --queries queries --k 100 --threads $t | cmp - all; done
winnow search --store rows --queries queries --k 1 --json
fails winnow search --store rows --queries nosuch
fails winnow search --store rows.npy --queries queries
printf 'x' >>rows/rows.bin
fails winnow search --store rows --queries queries

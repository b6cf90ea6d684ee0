winnow --commands | while read -r c; do
    winnow $c -h | sed -n 1p
    winnow $c --help >/dev/null || echo "$c: --help failed"
done

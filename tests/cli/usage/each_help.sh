winnow --commands | while read -r c; do
    winnow $c -h | head -n 1
    winnow $c --help >/dev/null || echo "$c: --help failed"
done

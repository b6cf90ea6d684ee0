winnow --commands | while read -r c; do
    fails winnow $c --no-such-option 3
    fails winnow $c -x
done
fails winnow embed --modle M

# The report again: in the experiment's folder or at --out, which is not replaced unasked; --json says where.
. $ROOT/tests/cli/experiment/recipe.inc
recipe
winnow run recipe.yaml --out x --quiet >/dev/null || exit 1
cp x/report.html first.html
winnow report x
same x/report.html first.html
winnow report x --json
winnow report x --out page.html
same page.html first.html
fails winnow report x --out page.html
winnow report x/ --out page.html --overwrite --json
winnow report x --out - | cmp - first.html

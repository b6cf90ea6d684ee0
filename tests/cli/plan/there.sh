# What is there is counted: the runs, rows, tokens, FLOPs and bytes of every part do not depend on the clock.
winnow plan $ROOT/recipes/quick.yaml --quiet --precision f32 --json >plan.json || exit 1
grep -o '"\(part\|stage\|runs\|rows\|tokens\|flops\|disk_bytes\)": [^,]*' plan.json | tr '\n' ' ' | sed 's/"part"/\n&/g'
tr -d '\n' <plan.json | grep -o '"seconds": -\?[0-9.e+-]*' | grep -c -- ': -\|: 0\(\.0\)\?$'
grep -o '"\(pool_rows\|queries\|test_rows\|pool_from\|model_from\|encoder_from\)": [^,]*' plan.json
winnow plan $ROOT/recipes/quick.yaml --quiet --precision f32 >table || exit 1
sed -n 's/^\(part.*memory\)$/\1/p; s/^\(total\).*/\1/p' table | tr -s ' '
ls # no scratch is left

# The plan that the README shows, with neither data nor models there.
unset WN_DEMO_ENCODER WN_DEMO_MODEL
winnow plan "$ROOT/recipes/demo.yaml" --quiet | grep -oE '^(pool|embed pool|train deft|eval zero-shot|total) '

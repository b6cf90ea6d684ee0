# Other machines: what they are stands in the plan.
winnow plan $ROOT/recipes/quick.yaml --quiet --precision f32 --json --cores 1000 --nodes 7 --disk-rate 1T | grep -o '"\(cores\|nodes\|scaled\)": [^,]*'

# Other machines: what they are stands in the plan, and for each part how many of them it can use.
winnow plan $ROOT/recipes/quick.yaml --quiet --precision f32 --json --cores 1000 --nodes 7 --disk-rate 1T >plan.json
grep -o '"\(cores\|nodes\|scaled\)": [^,]*' plan.json
grep -o '"\(part\|machines\|shared_by\)": [^,]*' plan.json | tr '\n' ' ' | sed 's/"part"/\n&/g'
echo
winnow plan $ROOT/recipes/quick.yaml --quiet --precision f32 --nodes 7 | grep -o 'on [0-9]* of 7 machines' | sort | uniq -c

# Other machines: what they are stands in the plan.
winnow plan $ROOT/recipes/quick.yaml --quiet --precision f32 --json --cores 1000 --nodes 7 --disk-rate 1T | grep -o '"\(cores\|nodes\|scaled\)": [^,]*'
winnow plan $ROOT/recipes/quick.yaml --quiet --precision f32 --json --nodes 7 | grep -o '"\(part\|machines\|shared_by\|rule\)": [^,]*' | tr '\n' ' ' | sed 's/"part"/\n&/g'
echo
winnow plan $ROOT/recipes/quick.yaml --quiet --precision f32 --nodes 7 | grep -o 'on [0-9]* of 7 machines' | sort | uniq -c

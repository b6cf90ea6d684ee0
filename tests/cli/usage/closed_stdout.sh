# What could not be written was not done.
winnow help >&-
echo "exit $?"
winnow --version >/dev/full
echo "exit $?"
rows >rows.jsonl
winnow pool show rows.jsonl r3 >/dev/full
echo "exit $?"
winnow doctor --json >/dev/full
echo "exit $?"
{ { sleep 0.2; winnow --markdown; echo "exit $?" >status; } | :; }
cat status

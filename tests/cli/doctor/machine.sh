winnow doctor --json | tr -d ' ' | grep -o '"ok":[a-z]*' | sort | uniq -c
winnow doctor --out report.txt && grep -c yes report.txt
WN_KERNEL=ref winnow doctor | grep -c 'ref against ref'
fails winnow doctor --dir nosuch | grep '^exit'

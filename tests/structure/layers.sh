#!/bin/sh
# A folder of src/ includes only folders to its left in design order; cli includes only winnow.h, base, io.
set -eu
cd "$(dirname "$0")/../.."
order="base kernel io pool token model feature store search select train eval report"
bad=0
rank() {
    n=0
    for f in $order; do
        n=$((n + 1))
        [ "$f" != "$1" ] || { echo $n; return; }
    done
    echo 0
}
for file in src/*/*.[ch]; do
    folder=${file#src/}
    folder=${folder%%/*}
    for include in $(sed -n 's/^# *include *"\([^"]*\)".*/\1/p' "$file"); do
        case $include in
        winnow.h) continue ;;
        */*) other=${include%%/*} ;;
        *)
            echo "$file: include \"$include\" does not name its folder"
            bad=1
            continue
            ;;
        esac
        if [ "$folder" = cli ]; then
            case $other in
            base | io | cli) continue ;;
            esac
        elif [ "$(rank "$folder")" -eq 0 ]; then
            echo "$file: folder $folder is not in the order"
            bad=1
            continue
        elif [ "$(rank "$other")" -gt 0 ] && [ "$(rank "$other")" -le "$(rank "$folder")" ]; then
            continue
        fi
        echo "$file: includes $include, which is not to the left of $folder"
        bad=1
    done
done
exit $bad

# Helpers of the command-line tests.

skip() {
    echo "$1"
    exit 77
}

# A command that must fail: prints its exit status, so that several stand in one case.
fails() {
    status=0
    "$@" || status=$?
    echo "exit $status"
}

# Nothing of a name is left, neither finished nor half-written.
gone() {
    for f in "$1" "$1".* ".$1"*; do
        [ ! -e "$f" ] || echo "left behind: $f"
    done
}

same() {
    cmp "$1" "$2" && echo "same bytes: $1 $2"
}

# All files of two folders, byte for byte, but for logs, which hold clock times.
same_tree() {
    diff -r -x '*.log' -x train.jsonl "$1" "$2" && echo "same tree: $1 $2"
}

# Twelve small rows of three tasks.
rows() {
    i=0
    while [ $i -lt 12 ]; do
        case $((i % 3)) in
        0) t=colour p="The colour of thing $i is" a=red b=blue ;;
        1) t=animal p="Is animal $i a dog or a cat?" a=dog b=cat ;;
        2) t=sum p="What is $i plus one?" a=$((i + 1)) b=$((i + 2)) ;;
        esac
        printf '{"id":"r%d","task":"%s","prompt":"%s","target":"%s","choices":["%s","%s"]}\n' \
            $i $t "$p" "$a" "$a" "$b"
        i=$((i + 1))
    done
}

# Runs a command in the background and kills it -9 as soon as FILE has at least N bytes.
kill_when() { # FILE N COMMAND...
    file=$1 bytes=$2
    shift 2
    "$@" &
    pid=$!
    while kill -0 $pid 2>/dev/null; do
        if [ "$(stat -c %s "$file" 2>/dev/null || echo 0)" -ge "$bytes" ]; then
            kill -9 $pid 2>/dev/null
            break
        fi
    done
    wait $pid 2>/dev/null
}

# Skips the case where winnow cannot be run as several ranks.
need_ranks() {
    winnow --version --json | grep -q '"mpi": true' || skip "winnow was built without MPI"
    mpirun --version 2>/dev/null | grep -q "Open MPI" || skip "no mpirun of Open MPI here"
}

# Runs a command as N ranks; of what is said, only winnow's lines. Each rank leaves its process id in pid.RANK.
ranks() { # N COMMAND...
    n=$1
    shift
    # shellcheck disable=SC2016
    OMPI_MCA_btl_vader_single_copy_mechanism=none \
        mpirun --allow-run-as-root --oversubscribe --bind-to none -n "$n" \
        sh -c 'echo $$ >pid.$OMPI_COMM_WORLD_RANK; exec "$@"' rank "$@" 2>mpirun.err
    code=$?
    grep '^winnow' mpirun.err >&2
    return $code
}

# Groups by text and by vectors; what cannot be meant is refused.
words() { # FROM TO CHANGED
    i=$1
    while [ "$i" -lt "$2" ]; do
        [ "$i" = "$3" ] && printf 'other ' || printf 'word%d ' "$i"
        i=$((i + 1))
    done
}
{
    printf '{"id":"a","prompt":"%s","target":"yes"}\n' "$(words 0 100 -1)"
    printf '{"id":"b","prompt":"%s","target":"yes"}\n' "$(words 0 100 50)"
    printf '{"id":"c","prompt":"%s","target":"no"}\n' "$(words 0 100 50)"
    printf '{"id":"d","prompt":"%s","target":"yes"}\n' "$(words 3 103 50)"
    printf '{"id":"e","prompt":"%s","target":"yes"}\n' "$(words 200 300 -1)"
} >rows.jsonl
winnow dedup --pool rows.jsonl
winnow dedup --pool rows.jsonl --any-target --out any.jsonl
cat any.jsonl
winnow dedup --pool rows.jsonl --threshold 0.95 --json
winnow embed --model $MODELS/bert-tiny --pool rows.jsonl --out s --quiet --precision f32
winnow dedup --store s --threshold 0.999 --quiet | sed 's/\(0\.[0-9]\{3\}\)[0-9]*/\1/g'
winnow dedup --store s --threshold 1 --quiet
fails winnow dedup
fails winnow dedup --pool rows.jsonl --store s
fails winnow dedup --store s --any-target
fails winnow dedup --pool rows.jsonl --threshold 0.1
fails winnow dedup --store s --threshold 2
fails winnow dedup --pool rows.jsonl --out any.jsonl

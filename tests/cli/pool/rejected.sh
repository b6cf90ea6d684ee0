# A bad line is counted with its reason; the others are kept.
{
    rows | head -n 3
    echo '{"prompt": "no end'
    echo '{"target": "no prompt"}'
    echo '[1, 2]'
    echo '{"prompt": "p", "target": "c", "choices": ["a", "b"]}'
    echo '{"prompt": 3, "target": "t"}'
} >rows.jsonl
winnow pool build rows.jsonl --out p
winnow pool info p --json | grep -v sha256
winnow pool info p | sed -n '/^rejected/,/^tasks/p'

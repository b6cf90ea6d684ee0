# A config gives any option; flags win; unknown keys are refused by name.
rows >rows.jsonl
printf 'dedup: none\nout: from-config\nquiet: yes\n' >c.yaml
winnow pool build rows.jsonl rows.jsonl --config c.yaml
winnow pool info from-config --json | grep '"rows": 24'
winnow pool build rows.jsonl rows.jsonl --config c.yaml --dedup=exact --out=flags && ls -d flags from-config
printf 'dedupe: none\n' >wrong.yaml
fails winnow pool build rows.jsonl --config wrong.yaml --out x
printf 'dedup: 3\n' >wrong.yaml
fails winnow pool build rows.jsonl --config wrong.yaml --out x
printf 'quiet: 3\n' >wrong.yaml
fails winnow pool build rows.jsonl --config wrong.yaml --out x
printf 'config: other.yaml\n' >wrong.yaml
fails winnow pool build rows.jsonl --config wrong.yaml --out x
printf -- '- a\n- b\n' >wrong.yaml
fails winnow pool build rows.jsonl --config wrong.yaml --out x
printf 'k: [1\n' >wrong.yaml
fails winnow pool build rows.jsonl --config wrong.yaml --out x
fails winnow pool build rows.jsonl --config nosuch.yaml --out x
gone x
# From standard input.
echo 'k: 1' | winnow search --config - --store nosuch --queries nosuch || echo "read"

winnow model info $MODELS/llama-tiny --json >llama.json
grep -o '"family": *"[a-z]*"' llama.json
winnow model info $MODELS/bert-tiny --params | grep -c 'attention.self.query.weight'
winnow model info $MODELS/llama-tiny --adapter $MODELS/llama-tiny/adapter --params --json | grep -c lora_A
fails winnow model info nosuch
fails winnow model info $MODELS

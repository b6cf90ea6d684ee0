"""Writes a seeded sample of rows whose prompts have 20 to 250 tokens, all lengths alike.

    python bench/rows.py --tokenizer FOLDER/tokenizer.json --rows 4000 --out rows.jsonl POOL.jsonl.gz ...
"""
import argparse
import json
import random
import sys

from tokenizers import Tokenizer

from common import read_rows

BIN = 21


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--tokenizer", required=True)
    p.add_argument("--rows", type=int, default=4000)
    p.add_argument("--least", type=int, default=20)
    p.add_argument("--most", type=int, default=250)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--out", required=True)
    p.add_argument("pool", nargs="+")
    a = p.parse_args()
    tokenizer = Tokenizer.from_file(a.tokenizer)
    tokenizer.no_truncation()
    tokenizer.no_padding()
    rows = [r for path in a.pool for r in read_rows(path)]
    random.Random(a.seed).shuffle(rows)
    bins = (a.most - a.least) // BIN + 1
    room = [-(-a.rows // bins)] * bins
    chosen, tokens = [], 0
    for r in rows:
        n = len(tokenizer.encode(r["prompt"]).ids)
        if a.least <= n <= a.most and room[(n - a.least) // BIN] and len(chosen) < a.rows:
            room[(n - a.least) // BIN] -= 1
            chosen.append(r)
            tokens += n
    random.Random(a.seed).shuffle(chosen)  # lengths in no order
    with open(a.out, "w", encoding="utf-8") as f:
        for r in chosen:
            f.write(json.dumps(r, ensure_ascii=False) + "\n")
    print(f"{len(chosen)} rows, {tokens / max(1, len(chosen)):.1f} tokens a row", file=sys.stderr)


if __name__ == "__main__":
    main()

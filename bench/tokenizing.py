"""Tokenizing lines of text: winnow beside the tokenizers library, at the same number of threads.

    python bench/tokenizing.py --winnow build/winnow --model FOLDER --rows rows.jsonl

The texts are the rows' prompts, a line each. winnow's time is that of a whole process: start, reading
the tokenizer and the lines, writing the ids. The peer is loaded, warm, and keeps its ids in memory.
"""
import argparse
import os
import shutil
import tempfile

from common import alternate, command_seconds, cpu_name, read_rows, report, seconds, threads


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--winnow", default="build/winnow")
    p.add_argument("--model", required=True, help="a folder with tokenizer.json")
    p.add_argument("--rows", required=True, nargs="+")
    p.add_argument("--threads", type=int, default=0)
    p.add_argument("--rounds", type=int, default=5)
    a = p.parse_args()
    a.threads = threads(a.threads)
    os.environ["RAYON_NUM_THREADS"] = str(a.threads)
    os.environ["TOKENIZERS_PARALLELISM"] = "true"
    from tokenizers import Tokenizer

    lines = [" ".join(r["prompt"].split()) for path in a.rows for r in read_rows(path)]
    tokenizer = Tokenizer.from_file(os.path.join(a.model, "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokens = sum(len(e.ids) for e in tokenizer.encode_batch(lines))
    scratch = tempfile.mkdtemp()
    try:
        text = os.path.join(scratch, "lines.txt")
        with open(text, "w", encoding="utf-8") as f:
            f.writelines(line + "\n" for line in lines)
        ours = [a.winnow, "tokenize", text, "--model", a.model, "--out",
                os.path.join(scratch, "ids"), "--overwrite", "--quiet", "--threads",
                str(a.threads)]
        medians = alternate({"winnow": lambda: command_seconds(ours),
                             "tokenizers": lambda: seconds(lambda: tokenizer.encode_batch(lines)),
                             "tokenizers, ids only": lambda: seconds(
                                 lambda: tokenizer.encode_batch_fast(lines))}, a.rounds)
        megabytes = os.path.getsize(text) / 1e6
    finally:
        shutil.rmtree(scratch)
    for name, sec in medians.items():
        report(case=name, seconds=round(sec, 3), tokens_per_sec=round(tokens / sec),
               mb_per_sec=round(megabytes / sec, 1))
    peer = min(medians["tokenizers"], medians["tokenizers, ids only"])
    report(case="winnow over tokenizers", ratio=round(peer / medians["winnow"], 2),
           threads=a.threads, lines=len(lines), cpu=cpu_name())


if __name__ == "__main__":
    main()

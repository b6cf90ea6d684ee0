"""Near-duplicates by text: winnow's MinHash beside datasketch's.

    python bench/dedup.py --winnow build/winnow --rows pool.jsonl.gz ... --peer-rows 2000

Both find pairs of prompts with a Jaccard similarity of 0.8 over five-word runs, targets left aside.
winnow's time is that of a whole process over all rows, reading and confirming the pairs included; the
peer (a MinHash of as many minima and its LSH, one process) reads only the first rows, from memory.
"""
import argparse
import os
import shutil
import tempfile

from common import alternate, command_seconds, cpu_name, read_rows, report, seconds, threads

BANDS, WIDTH, WORDS = 12, 5, 5


def peer(prompts):
    from datasketch import MinHash, MinHashLSH

    lsh = MinHashLSH(num_perm=BANDS * WIDTH, params=(BANDS, WIDTH))
    for i, prompt in enumerate(prompts):
        words = prompt.lower().split()
        runs = {" ".join(words[k:k + WORDS]).encode()
                for k in range(max(1, len(words) - WORDS + 1))}
        m = MinHash(num_perm=BANDS * WIDTH)
        m.update_batch(runs)
        lsh.query(m)
        lsh.insert(i, m)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    p.add_argument("--winnow", default="build/winnow")
    p.add_argument("--rows", required=True, nargs="+")
    p.add_argument("--peer-rows", type=int, default=2000)
    p.add_argument("--threads", type=int, default=0)
    p.add_argument("--rounds", type=int, default=3)
    a = p.parse_args()
    a.threads = threads(a.threads)
    prompts = [r["prompt"] for path in a.rows for r in read_rows(path)]
    few = prompts[::max(1, len(prompts) // a.peer_rows)][:a.peer_rows]
    scratch = tempfile.mkdtemp()
    try:
        pool, out = os.path.join(scratch, "pool"), os.path.join(scratch, "groups.jsonl")
        command_seconds([a.winnow, "pool", "build", *a.rows, "--dedup", "none", "--out", pool,
                         "--quiet"])
        ours = [a.winnow, "dedup", "--pool", pool, "--any-target", "--out", out, "--overwrite",
                "--quiet", "--threads", str(a.threads)]
        medians = alternate({"winnow": lambda: command_seconds(ours),
                             "datasketch": lambda: seconds(lambda: peer(few))}, a.rounds)
    finally:
        shutil.rmtree(scratch)
    rate = {"winnow": len(prompts) / medians["winnow"], "datasketch": len(few) / medians["datasketch"]}
    for name, r in rate.items():
        report(case=name, seconds=round(medians[name], 3), rows_per_sec=round(r))
    report(case="winnow over datasketch", ratio=round(rate["winnow"] / rate["datasketch"], 1),
           rows=len(prompts), threads=a.threads, cpu=cpu_name())


if __name__ == "__main__":
    main()
